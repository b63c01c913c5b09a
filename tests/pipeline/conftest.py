"""What the tests of whole runs share."""

import pytest

from drivers import page_counts, run_pipeline, stubbed_judge
from one_of_each import drop_one_of_each
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


@pytest.fixture
def settled(mill, open_gates):
    """A mill that has published one of each."""
    drop_one_of_each(mill)
    run_pipeline(mill)
    assert page_counts(mill) == {"found": 5, "published": 3, "duplicate": 1, "rejected": 1}
    return mill
