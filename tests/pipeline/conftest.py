"""What the tests of whole runs share."""

import pytest

from drivers import stubbed_judge
from scanmill import report
from scanmill.steps import judging


@pytest.fixture(autouse=True)
def _without_decoration(plain_reports):
    pass


@pytest.fixture
def open_gates(monkeypatch):
    """Let every batch pass at no cost: what gates do is the business of test_gate."""
    monkeypatch.setattr(judging, "judge", stubbed_judge())
    monkeypatch.setattr(report, "MOST_WORST_PAGES", 0)  # each picture starts a decoder
