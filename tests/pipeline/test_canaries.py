"""What uploaders write, in keys, labels, EXIF and on pages, acts nowhere that it is shown."""

import html.parser
import io
import json
import logging
import re

import pytest
from PIL import Image

from drivers import drop, objects, rows_of, run_pipeline, tamper
from engines.scripted import gibberish, picture, prose
from scanmill import alerts, layout
from scanmill.cli import showing
from scanmill.findings import explained
from scanmill.ledger import tables as t
from scanmill.steps.auditing import audit
from scanmill.steps.receipting import receipt
from scanmill.steps.tracing import trace

CANARIES = {
    "template": "{{7191*3}}{% raw %}",
    "markup": "<canary onclick=alert(7191)>",
    "script": "<script>canary()</script>",
    "quote": "\" onload='canary()' x=\"",
    "link": "[canary](javascript:canary)",
    "picture": "![canary](http://127.0.0.1:9/canary)",
    "table": "| canary | --- |",
    "formula": "=canary()+cmd|' /C canary'!A0",
    "escape": "\x1b[31mcanary\x1b]8;;http://127.0.0.1:9\x07",
    "header": "canary\r\nBcc: canary@localhost",
    "path": "../../../canary",
    "bidi": "\u202ecanary\u200b\ufeff",
    "format": "%s{0}{canary.__class__}$(canary)`canary`",
    "yaml": "\n---\ncanary: !!python/object:os.system",
}
SECRET = "the secret that stands on a page"
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Elements(html.parser.HTMLParser):
    """Collects the tags and attributes of a page as a browser sees them."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.fixture
def poisoned(mill, caplog):
    """A mill whose uploads hold every canary in every place, with a held and a published batch."""
    with caplog.at_level(logging.DEBUG, logger="scanmill"):
        for number, word in enumerate(CANARIES.values()):
            drop(mill, f"good/{word}/{word}.png", with_exif(prose(number), word))
            drop(mill, f"good/{word}/broken {word}", b"no image " + word.encode())
            drop(mill, f"bad/{word}/{word}.png", picture(f"{SECRET} {gibberish(number)}"))
            drop(mill, f"bad/{word}/2 {word}.png", picture(f"{SECRET} {gibberish(-number)}"))
            drop(mill, f"bad/{word}/3 {word}.png", picture(gibberish(number + 100)))
        run_pipeline(mill)
    states = {row["batch_id"]: row["state"] for row in rows_of(mill, t.BATCHES)}
    assert states == {"good-000001": "built", "bad-000001": "held"}
    return mill


def with_exif(text, word):
    """Return a page with a canary where cameras write their name."""
    image = Image.open(io.BytesIO(picture(text)))
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = word
    sink = io.BytesIO()
    image.save(sink, "PNG", exif=exif)
    return sink.getvalue()


def test_no_canary_acts_anywhere(poisoned, caplog, capsys):
    pages = {
        key: body.decode()
        for key, body in objects(poisoned, "batches/").items()
        if key.endswith(".html")
    }
    mails = [f"{row['subject']}\n{row['text']}" for row in rows_of(poisoned, t.OUTBOX)]
    shown = on_the_terminal(poisoned, capsys)
    log = "\n".join(record.getMessage() for record in caplog.records)
    card = objects(poisoned, layout.dataset("good") + "README.md").popitem()[1].decode()

    assert len(pages) > 5
    assert any("held" in mail for mail in mails)
    assert shown.count("canary") > 2 * len(CANARIES)
    assert_no_element(pages)
    for words in (*mails, shown, log):
        assert ACTIVE.findall(words.replace("\n", "").replace("\t", "")) == []
    for words in (*pages.values(), *mails, shown, log, card):
        assert "21573" not in words, "a template was rendered"
    assert all("\n" not in row["subject"] for row in rows_of(poisoned, t.OUTBOX))
    _, metadata, words = card.split("---\n", 2)
    labels = [f for f in json.loads(metadata)["dataset_info"]["features"] if f["name"] == "label"]
    names = set(labels[0]["dtype"]["class_label"]["names"].values())
    assert len(names) == len(CANARIES)
    assert "canary" not in words


def assert_no_element(pages):
    for body in pages.values():
        found = Elements()
        found.feed(body)
        assert "canary" not in found.tags
        for name, value in found.attributes:
            assert not name.startswith("on") or "canary" not in value
            assert not (
                name in {"href", "src"} and value.startswith(("javascript:canary", "http://127"))
            )
        assert "<script>canary" not in body


def on_the_terminal(mill, capsys):
    """Return what people see of the receipt, of every finding, and of every image's story."""
    capsys.readouterr()
    for key in objects(mill, "quarantine/"):
        if key.endswith("original"):
            tamper(mill, key, b"other bytes")
    showing.show_findings([explained(finding) for finding in audit(mill)])
    showing.show_receipt(receipt(mill))
    for row in rows_of(mill, t.IMAGES):
        showing.show_story(trace(mill, row["key"]))
    return capsys.readouterr().err


def test_no_text_of_a_page_leaves_the_books(poisoned, caplog):
    words = [f"{row['subject']} {row['text']}" for row in rows_of(poisoned, t.OUTBOX)]
    words += [record.getMessage() for record in caplog.records]
    words += [
        body.decode()
        for key, body in objects(poisoned, "batches/").items()
        if "/docs/" in key or "/verdicts/" in key
        if key.endswith((".html", ".json"))
    ]
    ledger = [str(row) for table in t.BOOKS for row in rows_of(poisoned, table)]

    assert len(words) > 5
    assert [one for one in (*words, *ledger) if SECRET in one] == []


@pytest.mark.parametrize("word", CANARIES.values(), ids=CANARIES)
def test_a_subject_is_one_line_whatever_a_batch_is_called(word):
    message = alerts.run_failed(
        dag_id=word, run_id=word, task_id=word, batch=word, error=word, log_address=word
    )

    assert ACTIVE.findall(message.subject) == []
    assert ACTIVE.findall(message.text.replace("\n", "")) == []
    assert "{{" not in message.text
