"""The gates and the row rules, judged with the suites that are shipped."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pytest

from scanmill.errors import FatalError
from scanmill.models import Reason
from scanmill.quality import Check, RowRules, Verdict, find, judge
from scanmill.settings import Settings

EXPECTATIONS = Path(__file__).parents[2] / "expectations"
PAGES_GATE = EXPECTATIONS / "pages_gate.json"
RULES = EXPECTATIONS / "row_rules.json"
NONSENSE = "pages whose text reads as nonsense"
UNREADABLE = "images and pages that could not be read"


def pages(*, good=0, nonsense=0, blank=0, unreadable=0, gone=0):
    kinds = (
        [("read", "none")] * good
        + [("read", "low_confidence")] * (nonsense - nonsense // 2)
        + [("read", "unknown_words")] * (nonsense // 2)
        + [("read", "blank_page")] * blank
        + [("unreadable", "none")] * unreadable
        + [("gone", "none")] * gone
    )
    return table_of([page(number, *kind) for number, kind in enumerate(kinds)])


def page(number, outcome, row_rule):
    is_read = outcome == "read"
    return {
        "page_id": f"page-{number}",
        "image_id": f"image-{number}",
        "source_key": f"landing/forms/{number}.png",
        "page_number": int(is_read),
        "outcome": outcome,
        "row_rule": row_rule,
        "mean_confidence": 90.0 if is_read and row_rule != "blank_page" else None,
        "low_confidence_share": 0.1 if is_read else None,
        "estimated_accuracy": 0.9 if is_read else None,
        "alnum_ratio": 0.9 if is_read else None,
        "known_word_share": 0.8 if is_read else None,
        "word_count": 50 if is_read else None,
        "is_other_language": False if is_read else None,
    }


COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("page_id", "image_id", "source_key", "outcome", "row_rule")]
    + [(name, pa.int32()) for name in ("page_number", "word_count")]
    + [("is_other_language", pa.bool_())]
    + [
        (name, pa.float64())
        for name in (
            "mean_confidence",
            "low_confidence_share",
            "estimated_accuracy",
            "alnum_ratio",
            "known_word_share",
        )
    ]
)


def table_of(rows):
    return pa.Table.from_pylist(rows, schema=COLUMNS)


def dataset_rows(count, **changes):
    row = {
        "label": "invoice",
        "split": "train",
        "source_key": "landing/forms/1.png",
        "document_id": "document-1",
        "char_count": 400,
        "mean_confidence": 90.0,
    }
    rows = [{"page_id": f"page-{number}"} | row | changes for number in range(count)]
    return pa.Table.from_pylist(rows)


@pytest.fixture
def judge_pages(tmp_path):
    def run(
        table, *, planned=None, suite=EXPECTATIONS / "pages_gate.json", docs="docs", rules=RULES
    ):
        return judge(
            table,
            gate="pages_gate",
            suite_path=suite,
            rules_path=rules,
            parameters={"planned_images": table.num_rows if planned is None else planned},
            docs_dir=tmp_path / docs,
            run_name="manual__2026-11-22T10:00:00+00:00",
        )

    return run


@pytest.fixture
def judge_dataset(tmp_path):
    def run(table, *, known_labels=("invoice",)):
        return judge(
            table,
            gate="dataset_gate",
            suite_path=EXPECTATIONS / "dataset_gate.json",
            rules_path=RULES,
            parameters={"known_labels": list(known_labels)},
            docs_dir=tmp_path / "docs",
            run_name="build",
        )

    return run


def outcomes(verdict, what):
    return {check.severity: check.outcome for check in verdict.checks if check.what == what}


# --- the pages gate ------------------------------------------------------------------------------


def test_a_good_batch_passes_and_its_docs_are_small_and_hold_no_fonts(judge_pages, tmp_path):
    verdict = judge_pages(pages(good=40))

    assert (verdict.severity, verdict.passed, verdict.causes) == ("pass", True, ())
    files = [path for path in (tmp_path / "docs").rglob("*") if path.is_file()]
    assert any(path.parent.name != "docs" and path.suffix == ".html" for path in files)
    assert not [path for path in files if path.suffix in {".gif", ".otf"}]
    assert sum(path.stat().st_size for path in files) < 400_000


def test_ten_percent_nonsense_warns_and_passes(judge_pages):
    verdict = judge_pages(pages(good=90, nonsense=10))

    assert (verdict.severity, verdict.passed) == ("warning", True)
    assert outcomes(verdict, NONSENSE) == {"critical": "passed", "warning": "warning"}


def test_thirty_percent_nonsense_holds_the_batch_and_names_the_pages(judge_pages):
    verdict = judge_pages(pages(good=70, nonsense=30))

    assert (verdict.severity, verdict.passed) == ("critical", False)
    (cause,) = verdict.causes
    assert cause.sentence == (
        "Pages whose text reads as nonsense: 30.0 % (30 of 100); allowed: at most 20 %."
    )
    assert (cause.failing_count, len(cause.failing_ids)) == (30, 20)
    assert cause.failing_ids[0] == "page-70"


def test_the_limit_itself_is_allowed(judge_pages):
    assert judge_pages(pages(good=80, nonsense=20)).passed


def test_twenty_nine_pages_of_nonsense_are_not_judged_and_say_so(judge_pages):
    verdict = judge_pages(pages(nonsense=29))

    assert verdict.severity == "pass"
    assert outcomes(verdict, NONSENSE) == {"critical": "not judged", "warning": "not judged"}
    idle = next(check for check in verdict.checks if check.what == NONSENSE)
    assert idle.observed == "only 29 pages read, judged from 30"


def test_thirty_pages_of_nonsense_are_judged(judge_pages):
    assert judge_pages(pages(nonsense=30)).severity == "critical"


def test_one_number_in_the_json_flips_the_verdict(judge_pages, tmp_path):
    suite = json.loads(PAGES_GATE.read_text())
    critical = next(
        entry
        for entry in suite["expectations"]
        if entry["meta"]["what"] == NONSENSE and entry["severity"] == "critical"
    )
    critical["kwargs"]["mostly"] = 0.6
    copy = tmp_path / "pages_gate.json"
    copy.write_text(json.dumps(suite))
    table = pages(good=70, nonsense=30)

    assert not judge_pages(table).passed
    assert judge_pages(table, suite=copy).passed


def test_unreadable_files_only_warn_until_they_are_most_of_the_batch(judge_pages):
    some = judge_pages(pages(good=30, unreadable=10))
    most = judge_pages(pages(good=30, unreadable=31))

    assert (some.severity, some.causes[0].what) == ("warning", UNREADABLE)
    assert (most.severity, most.causes[0].what) == ("critical", UNREADABLE)


def test_images_that_are_gone_are_no_part_of_any_share(judge_pages):
    verdict = judge_pages(pages(good=25, unreadable=6, gone=100))

    assert verdict.causes[0].observed == "19.4 % (6 of 31)"


def test_gone_images_alone_do_not_make_a_check_count(judge_pages):
    verdict = judge_pages(pages(unreadable=5, gone=100))

    assert outcomes(verdict, UNREADABLE)["critical"] == "not judged"


def test_a_batch_of_nothing_but_blank_pages_only_warns(judge_pages):
    untyped = pa.Table.from_pylist(pages(blank=40).to_pylist())
    verdict = judge_pages(untyped)

    assert pa.types.is_null(untyped["mean_confidence"].type)
    assert verdict.severity == "warning"
    assert "blank" in verdict.causes[0].what


def test_an_image_without_a_row_holds_the_batch(judge_pages):
    verdict = judge_pages(pages(good=40), planned=41)

    assert not verdict.passed
    assert verdict.causes[0].sentence == "Images in the results: 40; allowed: exactly 41."


def test_an_empty_batch_is_held(judge_pages):
    verdict = judge_pages(pages(), planned=3)

    assert not verdict.passed
    assert {cause.what for cause in verdict.causes} == {"rows to judge", "images in the results"}


def test_a_page_that_is_there_twice_holds_the_batch(judge_pages):
    table = table_of([page(0, "read", "none"), page(0, "read", "none")])

    verdict = judge_pages(table, planned=1)

    assert not verdict.passed
    assert verdict.causes[0].failing_ids == ("page-0", "page-0")


def test_a_check_that_raises_is_critical_though_declared_a_warning(judge_pages):
    verdict = judge_pages(pages(good=40).drop_columns(["mean_confidence"]))

    (broken,) = [check for check in verdict.checks if check.raised]
    assert (broken.severity, broken.outcome) == ("warning", "critical")
    assert "mean_confidence" in broken.observed
    assert not verdict.passed


def test_without_outcomes_nothing_is_skipped(judge_pages):
    verdict = judge_pages(pages(good=3).drop_columns(["outcome"]))

    assert not verdict.passed
    assert outcomes(verdict, NONSENSE) == {"critical": "critical", "warning": "critical"}


def test_docs_that_cannot_be_written_do_not_look_like_bad_data(judge_pages, tmp_path):
    (tmp_path / "file").write_text("in the way")

    assert judge_pages(pages(good=40), docs="file/docs").severity == "pass"


def test_a_table_with_text_is_not_taken(judge_pages):
    table = pages(good=1).append_column("text", pa.array(["secret"]))

    with pytest.raises(ValueError, match="never text"):
        judge_pages(table)


@pytest.mark.parametrize("parameters", [{}, {"planned_images": None}])
def test_a_parameter_that_is_missing_or_none_is_refused(tmp_path, parameters):
    with pytest.raises(FatalError, match="planned_images"):
        judge(
            pages(good=1),
            gate="pages_gate",
            suite_path=PAGES_GATE,
            rules_path=RULES,
            parameters=parameters,
            docs_dir=tmp_path,
            run_name="run",
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "expect_no_such_thing"}, "expect_no_such_thing"),
        ({"severity": "dire"}, "severity"),
        ({"severity": "info"}, "severity"),
        ({"kwargs": {"colum": "page_id"}}, "colum"),
        ({"meta": {"what": "something"}}, "why"),
        ({"severty": "critical"}, "severty"),
    ],
)
def test_a_mistake_in_a_suite_names_the_file_and_the_entry(judge_pages, tmp_path, change, named):
    good = {
        "type": "expect_column_values_to_be_unique",
        "severity": "critical",
        "kwargs": {"column": "page_id"},
        "meta": {"what": "twins", "why": "no twins"},
    }
    suite = tmp_path / "own.json"
    suite.write_text(json.dumps({"name": "own", "expectations": [good, good | change]}))

    with pytest.raises(FatalError, match=r"own\.json.*entry 2") as caught:
        judge_pages(pages(good=1), suite=suite)
    assert named in str(caught.value)


def test_a_suite_without_checks_is_refused(judge_pages, tmp_path):
    suite = tmp_path / "own.json"
    suite.write_text('{"name": "own", "expectations": []}')

    with pytest.raises(FatalError, match="expectations"):
        judge_pages(pages(good=1), suite=suite)


def test_the_hash_speaks_of_the_suite_and_of_the_row_rules(judge_pages, tmp_path):
    rules = tmp_path / "row_rules.json"
    rules.write_text(RULES.read_text().replace(": 60", ": 61"))
    table = pages(good=1)

    assert judge_pages(table).suite_sha256 != judge_pages(table, rules=rules).suite_sha256


# --- the dataset gate ----------------------------------------------------------------------------


def test_good_rows_pass_the_dataset_gate(judge_dataset):
    assert judge_dataset(dataset_rows(40)).severity == "pass"


def test_nothing_new_to_publish_passes_with_every_check_not_judged(judge_dataset):
    verdict = judge_dataset(dataset_rows(1).slice(0, 0))

    assert verdict.passed
    assert {check.outcome for check in verdict.checks} == {"not judged"}


@pytest.mark.parametrize(
    "changes", [{"split": "holdout"}, {"document_id": None}, {"char_count": 0}]
)
def test_a_row_that_must_not_be_published_holds_the_build(judge_dataset, changes):
    assert judge_dataset(dataset_rows(2, **changes)).severity == "critical"


def test_a_new_label_warns_and_the_first_snapshot_has_none_that_is_old(judge_dataset):
    assert judge_dataset(dataset_rows(2, label="invocie")).severity == "warning"
    assert judge_dataset(dataset_rows(2), known_labels=()).severity == "pass"


# --- verdicts ------------------------------------------------------------------------------------


def check(**changes):
    plain = Check(
        expectation="expect_x",
        column="page_id",
        what="things",
        why="because",
        severity="warning",
        success=True,
        raised=False,
        is_judged=True,
        observed="1",
        limit="at least 1",
        failing_count=None,
        failing_ids=(),
    )
    return dataclasses.replace(plain, **changes)


def verdict_of(*checks):
    return Verdict(gate="pages_gate", suite="own", suite_sha256="0" * 64, checks=checks)


def test_a_verdict_survives_being_written_and_read():
    verdict = verdict_of(check(), check(success=False, failing_count=2, failing_ids=("a", "b")))

    assert Verdict.from_json(verdict.to_json()) == verdict
    assert json.loads(verdict.to_json())["severity"] == "warning"


def test_a_verdict_that_contradicts_its_checks_is_refused():
    forged = verdict_of(check(severity="critical", success=False)).to_json()

    with pytest.raises(FatalError, match="contradicts"):
        Verdict.from_json(forged.replace('"passed": false', '"passed": true'))


def test_what_is_no_verdict_is_refused():
    with pytest.raises(FatalError, match="no verdict"):
        Verdict.from_json('{"gate": "pages_gate"}')


def test_causes_are_the_worst_three_and_name_a_thing_once():
    verdict = verdict_of(
        check(what="few", success=False, failing_count=1),
        check(what="many", success=False, failing_count=9),
        check(what="some", success=False, failing_count=5),
        check(what="grave", severity="critical", success=False, failing_count=3),
        check(what="grave", success=False, failing_count=3),
        check(what="fine"),
    )

    assert [(cause.what, cause.outcome) for cause in verdict.causes] == [
        ("grave", "critical"),
        ("many", "warning"),
        ("some", "warning"),
    ]


# --- row rules -----------------------------------------------------------------------------------

READABLE = {"is_blank": False, "word_count": 40, "mean_confidence": 88.0, "known_word_share": 0.7}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"is_blank": True, "word_count": 0, "mean_confidence": None}, Reason.BLANK_PAGE),
        ({"word_count": 0, "mean_confidence": None, "known_word_share": None}, Reason.NO_TEXT),
        ({"mean_confidence": 59.9, "known_word_share": 0.0}, Reason.LOW_CONFIDENCE),
        ({"mean_confidence": 60.0}, None),
        ({"known_word_share": 0.1}, Reason.UNKNOWN_WORDS),
        ({"known_word_share": None}, None),
        ({"known_word_share": float("nan")}, None),
    ],
)
def test_the_first_rule_that_a_page_breaks_is_its_reason(changes, reason):
    assert RowRules.load(RULES).reason_for(READABLE | changes) == reason


def test_a_rule_with_when_leaves_other_pages_alone(tmp_path):
    rules = load_rules(
        tmp_path,
        {
            "reason": "unknown_words",
            "column": "known_word_share",
            "min": 0.25,
            "when": {"column": "word_count", "min": 20},
            "why": "short pages say little",
        },
    )

    assert rules.reason_for({"known_word_share": 0.1, "word_count": 20}) == Reason.UNKNOWN_WORDS
    assert rules.reason_for({"known_word_share": 0.1, "word_count": 19}) is None


def test_the_floor_of_the_confidence_can_be_shown():
    assert RowRules.load(RULES).minimum_of("mean_confidence") == 60


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"column": "beauty"}, "beauty"),
        ({"column": "text"}, "text"),
        ({"reason": "ugly"}, "reason"),
        ({"reason": "corrupt_image"}, "corrupt_image"),
        ({"min": "50"}, "min"),
        ({"min": None}, "min, max, equals"),
        ({"column": "is_blank"}, "is_blank"),
        ({"minimum": 3}, "minimum"),
        ({"why": ""}, "why"),
    ],
)
def test_a_mistake_in_the_row_rules_names_the_file_and_the_entry(tmp_path, change, named):
    good = {"reason": "low_confidence", "column": "mean_confidence", "min": 50, "why": "x"}

    with pytest.raises(FatalError, match=r"rules\.json.*entry 2") as caught:
        load_rules(tmp_path, good, good | change)
    assert named in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_row_rules_that_hold_no_rules_are_refused(tmp_path, content):
    path = tmp_path / "rules.json"
    path.write_text(content)

    with pytest.raises(FatalError, match=r"rules\.json"):
        RowRules.load(path)


def load_rules(folder, *entries):
    path = folder / "rules.json"
    path.write_text(json.dumps(entries))
    return RowRules.load(path)


# --- where the rules are -------------------------------------------------------------------------


def test_a_collection_may_bring_its_own_rules(tmp_path):
    settings = Settings(expectations_dir=tmp_path)
    (tmp_path / "row_rules.json").write_text("[]")
    (tmp_path / "receipts").mkdir()
    own = tmp_path / "receipts" / "row_rules.json"
    own.write_text("[]")

    assert find(settings, collection="receipts", name="row_rules.json") == own
    default = tmp_path / "row_rules.json"
    assert find(settings, collection="books", name="row_rules.json") == default


def test_missing_rules_say_what_to_set(tmp_path):
    with pytest.raises(FatalError, match="SCANMILL_EXPECTATIONS_DIR"):
        find(Settings(expectations_dir=tmp_path), collection="books", name="row_rules.json")
