"""The pages table, defined once: parts, dataset features and documentation derive from it."""

import dataclasses

import pyarrow as pa

SCHEMA_VERSION = 1
"""Written into every part and manifest; a reader that meets another major refuses to guess."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of the pages table."""

    name: str
    type: pa.DataType
    meaning: str
    is_published: bool = True
    """Whether the dataset carries it; the others are bookkeeping."""


PAGE_COLUMNS = (
    Column("page_id", pa.string(), "Row id: hash of image id and page number."),
    Column("image_id", pa.string(), "Hash of bucket, key and version."),
    Column("batch_id", pa.string(), "The batch that read it."),
    Column("slice", pa.int32(), "Its slice of the batch.", is_published=False),
    Column("source_bucket", pa.string(), "Bucket of the scan.", is_published=False),
    Column("source_key", pa.string(), "Key of the scan."),
    Column("source_version", pa.string(), "Version of the object that was read."),
    Column("sha256", pa.string(), "Of the bytes that were read; null when none could be."),
    Column("page_number", pa.int32(), "From 1; 0 stands for an image without any page."),
    Column("page_count", pa.int32(), "Pages found in the image."),
    Column("image_fate", pa.string(), "Fate of the image after reading.", is_published=False),
    Column("fate", pa.string(), "`pending` when read, else why not.", is_published=False),
    Column("reason", pa.string(), "Reason code of the fate.", is_published=False),
    Column("detail", pa.string(), "The reason in the decoder's own words.", is_published=False),
    Column("stage", pa.string(), "Where it was set aside.", is_published=False),
    Column("text", pa.string(), "Recognized text, lines joined by newlines."),
    Column(
        "embedded_text", pa.string(), "Text that the file itself held for the page, as PDFs do."
    ),
    Column(
        "word_boxes",
        pa.list_(pa.list_(pa.int16(), 4)),
        "Left, top, right, bottom of each word of `text` in pixels; null if not kept.",
    ),
    Column("width_px", pa.int32(), "Width of the page as read."),
    Column("height_px", pa.int32(), "Height of the page as read."),
    Column("is_blank", pa.bool_(), "All pixels alike.", is_published=False),
    Column("char_count", pa.int32(), "Characters of all words."),
    Column("word_count", pa.int32(), "Words; whitespace words are dropped."),
    Column("mean_confidence", pa.float64(), "Mean word confidence, 0 to 100; null without words."),
    Column("low_confidence_share", pa.float64(), "Share of characters in words below 60."),
    Column("estimated_accuracy", pa.float64(), "Expected share of right words, 0 to 1."),
    Column("alnum_ratio", pa.float64(), "Share of letters and digits among the characters."),
    Column("known_word_share", pa.float64(), "Share of words found in a word list, 0 to 1."),
    Column("language", pa.string(), "ISO 639 code of the text's language; null if not plain."),
    Column(
        "is_other_language",
        pa.bool_(),
        "Whether `language` is none of those it was read in; null if not plain.",
    ),
    Column("seconds", pa.float64(), "Time that reading took."),
    Column("rescue_seconds", pa.float64(), "What second chances took of it."),
    Column("attempts", pa.string(), "Ways it was tried, the winner last."),
    Column("engine", pa.string(), "OCR engine."),
    Column("engine_version", pa.string(), "Version of the engine."),
    Column("model_sha256", pa.string(), "Hash of the engine's model."),
    Column("recipe", pa.string(), "Hash of the engines and settings that it was read with."),
    Column(
        "reused_from",
        pa.string(),
        "Image with the same bytes whose reading this is; null where it was read itself.",
    ),
)

LARGE_COLUMNS = frozenset({"text", "embedded_text", "word_boxes"})
"""What nobody needs who only judges or counts pages."""

PAGES = pa.schema([pa.field(column.name, column.type) for column in PAGE_COLUMNS])
"""Schema of `batches/<batch_id>/pages/<slice>.parquet`."""

PLAN = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("bucket", pa.string()),
        pa.field("key", pa.string()),
        pa.field("version", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_at", pa.timestamp("us", tz="UTC")),
        pa.field("slice", pa.int32()),  # null: its fate was plain when it was planned
        pa.field("fate", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("successor_id", pa.string()),
    ]
)
"""Schema of `batches/<batch_id>/plan.parquet`."""

REPROCESS = b"reprocess"
"""In the metadata of a plan to read images again: who asked, why, and the settings, as JSON."""

DATASET = pa.schema(
    [
        *[pa.field(column.name, column.type) for column in PAGE_COLUMNS if column.is_published],
        pa.field("document_id", pa.string()),
        pa.field("label", pa.int64()),  # index into the manifest's append-only list of labels
        pa.field("label_name", pa.string()),
    ]
)
"""Schema of the shards of a dataset."""

FATES = pa.schema(
    [
        pa.field("page_id", pa.string()),
        pa.field("image_id", pa.string()),
        pa.field("fate", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("other_page_id", pa.string()),  # the original of a duplicate
        pa.field("shard", pa.string()),
        pa.field("split", pa.string()),
        # Of a page read again: the reading that counts from now on, and what it looks like.
        pa.field("batch_id", pa.string()),
        pa.field("slice", pa.int32()),
        pa.field("bands", pa.list_(pa.string())),
        pa.field("sketch", pa.binary()),
    ]
)
"""Schema of the fates that a build decided, committed with its snapshot."""
