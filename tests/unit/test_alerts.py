"""The words of alerts: complete, short, and unable to do anything."""

import inspect
import unicodedata

import pytest

from scanmill import alerts
from scanmill.alerts import LASTING
from scanmill.findings import Finding, FindingKind
from scanmill.inert import inert, inert_lines
from scanmill.models import Reason

HOSTILE = (
    "landing/x/{{ 7*7 }}{% raw %}<img src=x onerror=alert(1)>\r\nBcc: a@b\n\x1b[31m\u202egnp.exe"
)
STAKE = alerts.Stake(
    images=100,
    pages_found=120,
    pages_held=77,
    pages_rejected=33,
    images_quarantined=9,
    pages_quarantined=10,
)
CAUSES = ("Nonsense: 30.0 % (33 of 110).", "Blank: 40.0 %.", "Median: 60.", "A fourth.")


def failed(**changes):
    values = {
        "batch": "forms-000003",
        "gate": "pages_gate",
        "stake": STAKE,
        "causes": CAUSES,
        "reasons": {Reason.LOW_CONFIDENCE: 20, Reason.UNKNOWN_WORDS: 13},
        "files": tuple(f"landing/forms/{number}.png" for number in range(9)),
        "report_address": "s3://scanmill/batches/forms-000003/report/pages_gate/index.html",
    }
    return alerts.gate_failed(**values | changes)


def all_messages(text):
    """Every kind of message, with this text wherever it comes from outside."""
    files = [text] * 9
    common = {
        "batch": text,
        "gate": text,
        "stake": STAKE,
        "reasons": {},
        "files": files,
        "report_address": text,
    }
    return [
        alerts.gate_failed(causes=[text], **common),
        alerts.gate_warned(causes=[text], **common),
        alerts.nothing_readable(
            batch=text, images=3, reasons={Reason.EMPTY_OBJECT: 3}, files=files, report_address=text
        ),
        alerts.run_failed(
            dag_id=text, run_id=text, task_id=text, batch=text, error=text, log_address=text
        ),
        alerts.books_do_not_balance(findings=[Finding(FindingKind.NO_PART, text, text)], audit=7),
        alerts.task_hung(
            dag_id=text,
            about=text,
            task_id=text,
            seconds=99,
            limit=60,
            process=text,
            log_address=text,
        ),
        alerts.batch_stuck(batch=text, state="planned", seconds=99),
        alerts.images_pending(batches={text: 3}, seconds=99),
        alerts.component_away(component="store", trouble=text),
        alerts.channel_away(channel="mail", trouble=text, waiting=3),
        *(alerts.over(kind=kind, key=f"{kind}:0", subject=text, seconds=9) for kind in LASTING),
    ]


def test_a_held_batch_says_what_is_at_stake_why_where_and_what_to_type():
    message = failed()

    assert message.subject == "[scanmill] forms-000003 is held: 77 pages wait for your decision"
    assert message.key == "gate_failed:forms-000003:pages_gate"
    for expected in (
        "77 pages of 120",
        "The published dataset did not change.",
        "images              100",
        "images quarantined  9",
        "pages rejected      33",
        "Nonsense: 30.0 % (33 of 110).",
        "s3://scanmill/batches/forms-000003/report/pages_gate/index.html",
        './scanmill review forms-000003 --release --because "..."',
        './scanmill review forms-000003 --discard --because "..."',
    ):
        assert expected in message.text


def test_at_most_five_files_and_three_causes_are_named():
    text = failed().text

    assert text.count("landing/forms/") == 5
    assert "Median" in text
    assert "A fourth" not in text


def test_reasons_fill_up_where_fewer_than_three_checks_failed():
    text = failed(causes=CAUSES[:1]).text
    causes = text[text.index("Main causes") : text.index("First files")].strip().splitlines()[1:]

    assert causes == [
        "  - Nonsense: 30.0 % (33 of 110).",
        "  - 20 x low_confidence: The engine itself does not trust what it read.",
        "  - 13 x unknown_words: Hardly any of the words is in a word list.",
    ]


def test_the_two_gates_of_a_batch_tell_of_different_events():
    assert failed().key != failed(gate="dataset_gate").key


@pytest.mark.parametrize("text", [HOSTILE, "y" * 5000, "\ud800", ""])
def test_hostile_words_are_inert_in_every_message(text):
    for message in all_messages(text):
        assert len(message.subject) <= 120
        assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs"} for each in message.subject)
        assert "\nBcc" not in message.text
        assert not {"\r", "\x1b", "\u202e", "\ud800"} & set(message.text + message.key)
        assert not any(opener in message.text + message.subject for opener in ("{{", "{%"))
        assert max(len(line) for line in message.text.splitlines()) < 800


def test_no_message_can_be_given_the_text_of_a_page():
    builders = [alerts.gate_failed, alerts.gate_warned, alerts.nothing_readable, alerts.run_failed]

    assert not any("text" in inspect.signature(builder).parameters for builder in builders)


def test_a_warning_says_that_nothing_has_to_be_done():
    message = alerts.gate_warned(
        batch="forms-000003",
        gate="pages_gate",
        stake=STAKE,
        causes=CAUSES,
        reasons={},
        files=(),
        report_address="s3://r",
    )

    assert "nothing has to be done" in message.text
    assert "First files" not in message.text
    assert "Nonsense" in message.subject


def test_a_batch_without_a_readable_page_names_reasons_and_remedies():
    message = alerts.nothing_readable(
        batch="forms-000004",
        images=1,
        reasons={Reason.EMPTY_OBJECT: 1},
        files=["landing/forms/0.png"],
        report_address="s3://r",
    )

    assert "1 x empty_object: The file has no bytes." in message.text
    assert "Upload the file again." in message.text
    assert "1 image)" in message.text


def test_a_killed_run_that_left_no_word_still_makes_a_message():
    message = alerts.run_failed(
        dag_id="recognize_pages",
        run_id="run-1",
        task_id="",
        batch="forms-000003",
        error="",
        log_address="http://127.0.0.1/log",
    )

    assert "probably killed" in message.text
    assert message.key == "run_failed:recognize_pages:forms-000003"


def test_what_is_lost_is_counted_in_the_subject():
    one = Finding(FindingKind.NO_PART_ROW, "a", "gone since noon", is_lost=True)
    two = Finding(FindingKind.NO_MANIFEST, "b", "d")

    message = alerts.books_do_not_balance(findings=[one, two], audit=7)

    assert message.subject == "[scanmill] the books do not balance: 2 findings, 1 lost"


def test_an_ending_names_what_is_over_and_how_long_it_was():
    begun = alerts.component_away(component="scheduler", trouble="dead")

    ended = alerts.over(kind=begun.kind, key="k:0", subject=begun.subject, seconds=600)

    assert (ended.key, ended.subject) == ("over:k:0", "[scanmill] over: the scheduler is away")
    assert "10 min after it was told of" in ended.text


def test_inert_text_shows_what_it_disarms():
    assert inert("a\nb\x1b[31m\u202e\ud800é漢{{ }}") == "a\\nb\\x1b[31m\\u202e\\ud800é漢{{ }}"


def test_a_cut_key_keeps_both_its_ends():
    cut = inert("landing/forms/" + "x" * 500 + "/scan-17.png", limit=60)

    assert len(cut) == 60
    assert cut.startswith("landing/forms/")
    assert cut.endswith("/scan-17.png")


def test_the_lines_of_a_text_stay_lines():
    assert inert_lines("one\ntwo\x07\r\nthree") == "one\ntwo\\x07\nthree"
    assert len(inert_lines("word " * 9999, limit=100)) == 101
