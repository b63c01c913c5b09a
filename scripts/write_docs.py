"""Writes the parts of the documentation that the code already knows: `--check` only compares.

A generated part stands between `<!-- generated: NAME -->` and `<!-- /generated: NAME -->`; what is
outside belongs to people.
"""

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from scanmill import findings, reasons, schema
from scanmill.cli import scanmill
from scanmill.dataset.card import card
from scanmill.dataset.manifests import Manifest
from scanmill.settings import Settings

ROOT = Path(__file__).resolve().parents[1]

_OF_THE_MACHINE: Mapping[str, str] = {"ocr_workers": "number of cores"}
"""Defaults that differ from one machine to the next, in words."""


def main(arguments: list[str] | None = None) -> int:
    """Write every generated part, or name those that are stale; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(arguments)
    stale = list(stale_files())
    for path, content in stale:
        if not options.check:
            path.write_text(content, encoding="utf-8")
        verb = "stale" if options.check else "written"
        sys.stdout.write(f"{verb}: {path.relative_to(ROOT)}\n")
    return 1 if stale and options.check else 0


def stale_files() -> Iterator[tuple[Path, str]]:
    """Yield every file that is not as it should be, with what it should hold."""
    by_file: dict[str, list[tuple[str, Callable[[], str]]]] = {}
    for file, name, make in _PARTS:
        by_file.setdefault(file, []).append((name, make))
    for file, parts in by_file.items():
        path = ROOT / file
        content = before = path.read_text(encoding="utf-8")
        for name, make in parts:
            content = _with_part(content, name, make())
        if content != before:
            yield path, content


def _with_part(content: str, name: str, part: str) -> str:
    start, end = f"<!-- generated: {name} -->", f"<!-- /generated: {name} -->"
    head, found_start, rest = content.partition(start)
    _, found_end, tail = rest.partition(end)
    if not (found_start and found_end):
        raise SystemExit(f"No markers {start} ... {end} to write between.")
    return f"{head}{start}\n{part.strip()}\n{end}{tail}"


# --- settings ------------------------------------------------------------------------------------


def settings_table() -> str:
    """Return the table of all settings, in the order of the class."""
    lines = ["| variable | default | means |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias or f"SCANMILL_{name.upper()}"
        lines.append(f"| `{variable}` | {_default(name, field)} | {field.description} |")
    return "\n".join(lines)


def _default(name: str, field: FieldInfo) -> str:
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    if name in _OF_THE_MACHINE:
        return _OF_THE_MACHINE[name]
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in ("", None, {}) else "-"


# --- commands ------------------------------------------------------------------------------------


def commands_table() -> str:
    """Return the table of all commands with their arguments, options and meaning."""
    lines = ["| command | options | does |", "|---|---|---|"]
    for name, command in scanmill.commands.items():
        if not command.hidden:
            arguments = " ".join(["", *_metavars(command)])
            options = " ".join(f"`{option}`" for option in _options(command)) or "-"
            lines.append(f"| `./scanmill {name}{arguments}` | {options} | {_said(command)} |")
    return "\n".join(line.replace("KEY|ROW_ID", "KEY\\|ROW_ID") for line in lines)


def _metavars(command: click.Command) -> list[str]:
    return [
        parameter.metavar or ""
        for parameter in command.params
        if isinstance(parameter, click.Argument) and parameter.metavar
    ]


def _options(command: click.Command) -> list[str]:
    return [
        " ".join([parameter.opts[0], *([] if parameter.is_flag else [_value_of(parameter)])])
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]


def _value_of(option: click.Option) -> str:
    return "N" if isinstance(option.type, click.FloatRange | click.IntRange) else "TEXT"


def _said(command: click.Command) -> str:
    return " ".join((command.help or "").split()).rstrip(".").replace("|", "\\|")


# --- DAGs ----------------------------------------------------------------------------------------


def dags_text() -> str:
    """Return what every DAG file says of itself and its tasks; Airflow is not imported."""
    return "\n\n".join(_dag(path) for path in sorted((ROOT / "dags").glob("*.py")))


def _dag(path: Path) -> str:
    module = ast.parse(path.read_text(encoding="utf-8"))
    title, _, words = (ast.get_docstring(module) or "").partition("\n")
    rows = [f"| `{task.name}` | {_task_words(task)} |" for task in _tasks(module)]
    table = "\n".join(["| task | does |", "|---|---|", *rows])
    name = path.relative_to(ROOT).as_posix()
    heading = f"## {title.removeprefix('# ')}"
    return f"{heading}\n\nDAG `{path.stem}`, in [{name}](../{name}).\n\n{words.strip()}\n\n{table}"


def _tasks(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and any(map(_is_task, node.decorator_list)):
            yield node


def _is_task(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "task"


def _task_words(task: ast.FunctionDef) -> str:
    given = [
        keyword.value.value
        for decorator in task.decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
        if keyword.arg == "doc_md" and isinstance(keyword.value, ast.Constant)
    ]
    words = str(given[0]) if given else ast.get_docstring(task) or ""
    return words.partition("\n\n")[0].replace("\n", " ")


# --- reasons, findings and columns ---------------------------------------------------------------


def reasons_text() -> str:
    """Return the tables of reason codes."""
    return reasons.markdown_table()


def findings_table() -> str:
    """Return the table of what an audit may find."""
    return findings.markdown_table()


def columns_table() -> str:
    """Return the table of the columns that every card of a dataset shows."""
    lines = card(_NOTHING_PUBLISHED).partition("| column |")[2].splitlines()
    return "\n".join(["| column |" + lines[0], *(line for line in lines[1:] if line[:1] == "|")])


def bookkeeping_table() -> str:
    """Return the table of the columns that only the parts carry."""
    lines = ["| column | type | means |", "|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.type} | {column.meaning} |"
        for column in schema.PAGE_COLUMNS
        if not column.is_published
    ]
    return "\n".join(lines)


_NOTHING_PUBLISHED = Manifest(
    collection="",
    version=0,
    parent=None,
    batch_id="",
    fates="",
    shards=(),
    labels=(),
    metadata=(),
    salt="",
    validation_share=0,
    test_share=0,
    signature_algorithm="",
    scanmill_version="",
)

_PARTS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", "commands", commands_table),
    ("README.md", "settings", settings_table),
    ("docs/dags.md", "dags", dags_text),
    ("docs/reasons.md", "reasons", reasons_text),
    ("docs/operations.md", "findings", findings_table),
    ("docs/dataset.md", "columns", columns_table),
    ("docs/dataset.md", "bookkeeping", bookkeeping_table),
)
"""(file, name of the part, what makes it)."""


if __name__ == "__main__":
    sys.exit(main())
