"""The report: one file that opens anywhere, shows everything and runs nothing."""

import base64
import dataclasses
import datetime as dt
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from scanmill.models import ImageFate, PageFate, Reason
from scanmill.report import (
    MOST_WORST_PAGES,
    CheckRow,
    Effort,
    QuarantinedItem,
    ReportData,
    WorstPage,
    render,
    to_json,
)

HOSTILE = (
    "landing/x/{{ 7*7 }}{% for a in b %}</pre></code><img src=http://evil.example/x onerror=x()>"
    "<script>alert(1)</script>\"'\n\x1b[31m\u202egnp.exe"
)
VOID = {"meta", "link", "img", "br"}


class Elements(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.open = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def jpeg():
    stream = io.BytesIO()
    Image.new("L", (40, 60), 200).save(stream, "JPEG")
    return stream.getvalue()


def check_row(**changes):
    row = CheckRow(
        what="pages whose text reads as nonsense",
        why="The language may be wrong.",
        limit="at most 20 %",
        observed="30.0 % (33 of 110)",
        outcome="critical",
        failing_count=33,
    )
    return dataclasses.replace(row, **changes)


def worst_page(number=1, **changes):
    page = WorstPage(
        page_id=f"page-{number}",
        key=f"landing/forms/{number}.png",
        page_number=1,
        mean_confidence=31.4,
        reason=Reason.LOW_CONFIDENCE,
        text="Fl0w ra1e",
        jpeg=jpeg(),
    )
    return dataclasses.replace(page, **changes)


def report_data(**changes):
    data = ReportData(
        batch="forms-000003",
        gate="pages_gate",
        severity="critical",
        made_at=dt.datetime(2026, 11, 22, 10, 20, tzinfo=dt.UTC),
        images_planned=1012,
        images={ImageFate.DECODED: 1010, ImageFate.QUARANTINED: 2},
        pages_found=120,
        pages={PageFate.HELD: 77, PageFate.REJECTED: 33, PageFate.QUARANTINED: 10},
        checks=(
            check_row(what="rows to judge", observed="120", outcome="passed", failing_count=None),
            check_row(
                what="blank pages",
                observed="only 12 pages read, judged from 30",
                outcome="not judged",
                failing_count=None,
            ),
            check_row(),
        ),
        confidences=(31.4, 90.0, 91.0, 92.0, 100.0),
        confidence_floor=50.0,
        quarantined=(
            QuarantinedItem(
                key="landing/forms/a.png", page_number=0, reason=Reason.EMPTY_OBJECT, detail="0 B"
            ),
        ),
        worst=(worst_page(),),
        suite="pages_gate",
        suite_sha256="ab" * 32,
        docs_href="docs/index.html",
    )
    return dataclasses.replace(data, **changes)


def test_the_report_says_what_reading_took():
    effort = Effort(
        seconds=200.0,
        rescue_seconds=50.0,
        rescued_pages=4,
        better_pages=3,
        reused_pages=1,
        other_language_pages=2,
    )
    text = " ".join(Elements(render(report_data(effort=effort))).text.split())

    assert "4 pages got second chances, 25% of that time; 3 read better for it." in text
    assert "1 page came from copies" in text
    assert "2 pages seem to be in another language" in text
    assert json.loads(to_json(report_data(effort=effort)))["effort"]["rescue_seconds"] == 50


def hostile_data():
    return report_data(
        batch=HOSTILE,
        gate=HOSTILE,
        suite=HOSTILE,
        suite_sha256=HOSTILE,
        checks=(check_row(what=HOSTILE, why=HOSTILE, observed=HOSTILE, limit=HOSTILE),),
        quarantined=(
            QuarantinedItem(
                key=HOSTILE, page_number=1, reason=Reason.CORRUPT_IMAGE, detail=HOSTILE
            ),
        ),
        worst=(worst_page(key=HOSTILE, text=HOSTILE),),
    )


def test_a_held_batch_says_so_first_with_the_numbers_and_what_to_type():
    page = Elements(render(report_data()))

    assert "Held: a person has to decide" in page.text
    assert "77 pages of 120 wait for you. The published dataset did not change." in page.text
    assert './scanmill review forms-000003 --release --because "..."' in page.text
    assert './scanmill review forms-000003 --discard --because "..."' in page.text
    assert page.open == []


@pytest.mark.parametrize(
    ("severity", "title"),
    [
        ("pass", "Passed; 2 images in quarantine"),
        ("warning", "Passed, with something to look at"),
    ],
)
def test_a_batch_that_goes_on_asks_for_no_decision(severity, title):
    text = Elements(render(report_data(severity=severity))).text

    assert title in text
    assert "scanmill review" not in text


def test_the_books_are_shown_as_sums_that_balance():
    text = re.sub("[ \n]+", " ", Elements(render(report_data())).text)

    assert "1\u202f012 images planned = 1\u202f010 decoded + 2 quarantined ✓" in text
    assert "120 pages found = 77 held + 33 rejected + 10 quarantined ✓" in text
    assert "do not balance" not in text


def test_books_that_do_not_balance_are_an_alarm():
    data = report_data(pages_found=121)
    text = Elements(render(data)).text

    assert not data.is_balanced
    assert "do not balance" in text
    assert "120 accounted for" in text


def test_checks_come_worst_first_and_what_was_not_judged_says_so():
    text = Elements(render(report_data())).text
    table = text[text.index("The checks") :]

    assert table.index("nonsense") < table.index("blank pages") < table.index("rows to judge")
    assert "only 12 pages read, judged from 30" in table


def test_quarantine_shows_reason_hint_and_key():
    text = Elements(render(report_data())).text

    for expected in ("empty_object", "The file has no bytes.", "landing/forms/a.png", "0 B"):
        assert expected in text


def test_a_long_quarantine_is_cut_and_says_by_how_much():
    items = tuple(
        QuarantinedItem(key=f"k{each}", page_number=0, reason=Reason.EMPTY_OBJECT, detail="")
        for each in range(60)
    )

    assert "and 10 more" in Elements(render(report_data(quarantined=items))).text


def test_worst_pages_show_picture_and_text_and_are_at_most_twelve():
    page = Elements(render(report_data(worst=tuple(worst_page(each) for each in range(20)))))

    pictures = [attrs["src"] for tag, attrs in page.elements if tag == "img"]
    assert len(pictures) == MOST_WORST_PAGES
    assert base64.b64decode(pictures[0].partition(",")[2]) == jpeg()
    assert "Fl0w ra1e" in page.text


def test_hostile_data_makes_no_element_and_stays_visible():
    hostile, plain = Elements(render(hostile_data())), Elements(render(report_data()))

    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in plain.elements}
    assert len([tag for tag, _ in hostile.elements if tag == "img"]) == 1
    assert "script" not in {tag for tag, _ in hostile.elements}
    assert not any(name.startswith("on") for _, attrs in hostile.elements for name in attrs)
    assert "{{ 7*7 }}" in hostile.text
    assert "\\n\\x1b[31m\\u202egnp.exe" in hostile.text
    assert not {"\x1b", "\u202e"} & set(hostile.text)


def test_a_hostile_batch_name_cannot_leave_its_word_in_a_command():
    text = Elements(render(report_data(batch="x; rm -rf ~"))).text

    assert "./scanmill review 'x; rm -rf ~' --release" in text


def test_the_report_loads_nothing_from_anywhere():
    html = render(hostile_data())

    for tag, attrs in Elements(html).elements:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            address = attrs.get(name) or ""
            assert address.startswith("data:") or address in {"", "docs/index.html"}
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


def test_it_is_made_for_phones_and_for_dark_rooms():
    html = render(report_data())

    assert "width=device-width" in html
    assert "prefers-color-scheme: dark" in html


def test_an_empty_batch_still_makes_a_report():
    data = report_data(
        severity="pass",
        images_planned=0,
        images={},
        pages_found=0,
        pages={},
        checks=(),
        confidences=(),
        confidence_floor=None,
        quarantined=(),
        worst=(),
        docs_href="",
    )

    assert "All is well" in Elements(render(data)).text


def test_every_page_is_in_one_bar_of_the_histogram():
    html = render(report_data(confidences=(0.0, 4.9, 5.0, 49.9, 50.0, 99.9, 100.0)))

    titles = re.findall(r"<title>(\d+) to \d+: (\d+) page", html)
    assert titles == [("0", "2"), ("5", "1"), ("45", "1"), ("50", "1"), ("95", "2")]
    assert html.count('<rect class="low"') == 3


def test_the_json_holds_the_numbers_and_no_text_and_no_picture():
    content = to_json(hostile_data())
    found = json.loads(content)

    assert found["images"] == {"planned": 1012, "decoded": 1010, "quarantined": 2}
    assert found["is_balanced"] is True
    assert found["checks"][0]["outcome"] == "critical"
    assert set(found["worst"][0]).isdisjoint({"text", "jpeg"})
    assert content.isascii()
