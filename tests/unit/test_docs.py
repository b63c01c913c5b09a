"""What the documentation says is there: commands, settings, links, alerts, decisions."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from scanmill.cli import scanmill
from scanmill.models import BatchState, ImageFate, PageFate
from scanmill.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "expectations" / "README.md",
        ROOT / "data_samples" / "README.md",
    ]
)
GENERATED_BY_OTHERS = {ROOT / "data_samples" / "README.md", ROOT / "expectations" / "README.md"}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_COMMAND = re.compile(r"(?<![\w/])(?:\./)?scanmill (?=[a-z])([^`\n#|]+)")
_CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def text_of(*paths):
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def named(path):
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def write_docs():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield importlib.import_module("write_docs")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_the_generated_parts_are_fresh(write_docs):
    stale = [named(path) for path, _ in write_docs.stale_files()]

    assert stale == [], "type: .venv/bin/python scripts/write_docs.py"


def test_a_page_without_markers_is_refused(write_docs):
    with pytest.raises(SystemExit, match="No markers"):
        write_docs._with_part("no markers here", "settings", "table")


def test_every_command_is_written_about():
    words = text_of(*PAGES)

    assert [name for name in scanmill.commands if f"scanmill {name}" not in words] == []


def test_every_setting_is_written_about():
    words = text_of(*PAGES)
    variables = [
        str(field.validation_alias or f"SCANMILL_{name.upper()}")
        for name, field in Settings.model_fields.items()
    ]

    assert [name for name in variables if f"`{name}`" not in words] == []


def test_every_variable_that_is_written_about_exists():
    known = {f"SCANMILL_{name.upper()}" for name in Settings.model_fields} | {
        "SCANMILL_HOME",
        "SCANMILL_LOCAL_STORE",
    }
    found = set(re.findall(r"\bSCANMILL_[A-Z_]+\b", text_of(*PAGES)))

    assert found - known == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_on_a_page_exists_with_its_options(page):
    assert [line for line in commands_on(page) if not is_understood(line)] == []


def commands_on(page):
    """Every `scanmill ...` that stands in code on a page."""
    pieces = ["".join(match) for match in _CODE.findall(page.read_text(encoding="utf-8"))]
    return [match.group(1).strip() for piece in pieces for match in _COMMAND.finditer(piece)]


def is_understood(line):
    """Tell whether the first word is a command of ours and every option one of its own."""
    words = shlex.split(line.replace("'", ""), posix=False)
    command = scanmill.commands.get(words[0])
    if command is None:
        return False
    options = {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    } | {"--help"}
    given = re.findall(r"(?<!\S)--[a-z-]+", line)
    takes_anything = command.context_settings.get("ignore_unknown_options", False)
    return takes_anything or set(given) <= options


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    broken = [link for link in links_on(page) if not leads_somewhere(page, link)]

    assert broken == []


def links_on(page):
    words = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = ["".join(match) for match in _LINK.findall(words)]
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def leads_somewhere(page, link):
    name, _, anchor = link.partition("#")
    target = (page.parent / name) if name else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors_of(target)


def anchors_of(page):
    """The anchors that a Markdown page gets on a code host: one for every heading."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_are_small_enough_for_everybody():
    large = [
        named(path)
        for path in (ROOT / "docs" / "pictures").iterdir()
        if path.stat().st_size > 300_000
    ]

    assert large == []


def test_every_picture_is_shown_somewhere():
    words = text_of(*PAGES)
    pictures = (ROOT / "docs" / "pictures").iterdir()

    assert [path.name for path in pictures if path.name not in words] == []


def test_decisions_are_numbered_without_gaps():
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(name[:4]) for name in names if name[0].isdigit()]

    assert numbers == list(range(1, len(numbers) + 1))
    assert names[-1] == "README.md"


def test_every_decision_has_its_parts_and_stands_in_the_list():
    folder = ROOT / "docs" / "decisions"
    index = text_of(folder / "README.md")
    for path in sorted(folder.glob("[0-9]*.md")):
        words = text_of(path)

        assert path.name in index
        assert all(f"## {part}" in words for part in ("Context", "Decision", "Consequences"))


def test_every_kind_of_alert_and_finding_has_an_entry():
    steps = ROOT / "lib" / "scanmill"
    words = text_of(*(steps / "alerts").glob("*.py"))
    alerts = re.findall(r'compose\(\s*"(\w+)"', words)
    modules = (steps / "steps" / "auditing").glob("*.py")
    auditing = "".join(text_of(path) for path in modules)
    findings = [*re.findall(r'kind="(\w+)"', auditing), "page_twice", "no_part_row"]
    words = text_of(ROOT / "docs" / "operations.md")

    assert len(set(alerts)) >= 5
    assert [kind for kind in alerts if f"### `{kind}`" not in words] == []
    assert [kind for kind in findings if f"| `{kind}` |" not in words] == []


def test_every_event_that_the_watchdog_knows_names_a_test_that_there_is():
    rows = [
        line
        for line in text_of(ROOT / "docs" / "watchdog.md").splitlines()
        if line.startswith("| ") and not line.startswith("| event ")
    ]
    tests = set(re.findall(r"def (test_\w+)", text_of(*(ROOT / "tests").rglob("test_*.py"))))

    assert len(rows) > 15
    assert [row for row in rows if not set(re.findall(r"`(test_\w+)`", row)) & tests] == []


def test_every_move_between_fates_names_a_test_that_there_is():
    words = text_of(ROOT / "docs" / "transitions.md")
    images, pages = words.split("## Images")[1].split("## Pages")
    moves = [
        line
        for part in (images, pages.split("A reading that")[0])
        for line in part.splitlines()
        if line.startswith(("| `", "| ("))
    ]
    tests = set(re.findall(r"def (test_\w+)", text_of(*(ROOT / "tests").rglob("test_*.py"))))
    named_tests = re.findall(r"`(test_\w+)`", words)

    assert len(moves) > 20
    assert [move for move in moves if "`test_" not in move] == []
    assert [name for name in named_tests if name not in tests] == []


def test_every_module_has_its_place_in_the_architecture():
    package = ROOT / "lib" / "scanmill"
    modules = {path.stem for path in package.iterdir() if not path.name.startswith(("_", "."))}
    words = text_of(ROOT / "ARCHITECTURE.md")

    assert [name for name in sorted(modules) if f"`{name}`" not in words] == []


def test_every_fate_and_state_stands_in_the_table_of_transitions():
    words = text_of(ROOT / "docs" / "transitions.md")

    assert [str(fate) for fate in [*ImageFate, *PageFate] if f"`{fate}`" not in words] == []
    assert [str(state) for state in BatchState if f"`{state}`" not in words] == []


@pytest.mark.parametrize("page", [p for p in PAGES if p not in GENERATED_BY_OTHERS], ids=named)
def test_no_page_names_somebodys_machine(page):
    found = re.findall(r"(?<!\w)/(?:home|work|root|tmp)/\S*", text_of(page))

    assert found == []
