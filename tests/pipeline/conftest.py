"""What the tests of whole runs share."""

import pytest

from scanmill import report
from scanmill.quality import Verdict
from scanmill.steps import judging


@pytest.fixture(autouse=True)
def _without_decoration(plain_reports):
    pass


@pytest.fixture
def open_gates(monkeypatch):
    """Let every batch pass at no cost: what gates do is the business of test_gate."""

    def judge(_table, *, gate, docs_dir, **_):
        (docs_dir / "index.html").write_text("<p>Data Docs</p>")
        return Verdict(gate=gate, suite="open", suite_sha256="0" * 64, checks=())

    monkeypatch.setattr(judging, "judge", judge)
    monkeypatch.setattr(report, "MOST_WORST_PAGES", 0)  # each picture starts a decoder
