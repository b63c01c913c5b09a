"""Writes the dataset card, and the features that keep labels right across shards."""

import json
import re
from typing import Any

import pyarrow as pa

from scanmill import schema
from scanmill.dataset.manifests import Manifest

_DTYPES = {
    pa.string(): "string",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.float64(): "float64",
    pa.bool_(): "bool",
}

_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")

_EXTRA_MEANINGS = {
    "document_id": "Pages that belong together share it, and the split.",
    "label": "Class, as an index into the label names.",
    "label_name": "Class, by name; null where the uploader gave none.",
}


def card(manifest: Manifest) -> str:
    """Return the README of a dataset: metadata for `load_dataset`, then words for people.

    It lists the shard files by name, because a pattern would show half of the next publish. It is
    derived from the manifest alone and names it, and holds no recognized text.
    """
    # JSON is YAML, and a label may be called `no`, `1.0` or worse; but some characters YAML wants
    # escaped that JSON does not.
    metadata = json.dumps(_metadata(manifest), indent=1, ensure_ascii=False)
    metadata = _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", metadata)
    return f"---\n{metadata}\n---\n{_words(manifest)}"


def _metadata(manifest: Manifest) -> dict[str, Any]:
    splits = [split for split, rows in manifest.rows.items() if rows]
    files = [{"split": split, "path": _paths(manifest, split)} for split in splits]
    counts = [{"name": split, "num_examples": manifest.rows[split]} for split in splits]
    return {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": _features(manifest.labels), "splits": counts},
        "task_categories": ["text-classification"],
    }


def _paths(manifest: Manifest, split: str) -> list[str]:
    return [shard.path for shard in manifest.shards if shard.split == split]


def _features(labels: tuple[str, ...]) -> list[dict[str, Any]]:
    names = {str(number): label for number, label in enumerate(labels)}
    return [
        {"name": field.name, "dtype": {"class_label": {"names": names}}}
        if field.name == "label" and labels
        else {"name": field.name, **_kind(field.type)}
        for field in schema.DATASET
    ]


def _kind(kind: pa.DataType) -> dict[str, Any]:
    """Return a type in the words of Hugging Face's YAML."""
    if pa.types.is_fixed_size_list(kind):
        return {"list": _DTYPES[kind.value_type], "length": kind.list_size}
    if pa.types.is_list(kind):
        return {"list": _kind(kind.value_type)}
    return {"dtype": _DTYPES[kind]}


def _words(manifest: Manifest) -> str:
    meanings = {column.name: column.meaning for column in schema.PAGE_COLUMNS} | _EXTRA_MEANINGS
    columns = [f"| `{f.name}` | {f.type} | {meanings[f.name]} |" for f in schema.DATASET]
    rows = [f"| {split} | {count} |" for split, count in manifest.rows.items()]
    return "\n".join(
        [
            f"# {manifest.collection}",
            "",
            f"Snapshot {manifest.version}, made by scanmill {manifest.scanmill_version} "
            f"from batch `{manifest.batch_id}`.",
            "",
            "| split | rows |",
            "|---|---|",
            *rows,
            "",
            "| column | type | meaning |",
            "|---|---|---|",
            *columns,
            "",
            "Load it with `scanmill.load_snapshot(uri)`, or download the folder and use "
            "`datasets.load_dataset(folder)`.",
            "",
        ]
    )
