"""What the tests of whole runs share."""

import pytest

from scanmill import report
from scanmill.quality import runner


@pytest.fixture(autouse=True)
def plain_reports(monkeypatch):
    """Make reports with one picture and one page of Data Docs: they cost more than all the rest.

    How these look is the business of test_report and test_quality.
    """

    def write(_run, _context, docs_dir):
        (docs_dir / "index.html").write_text("<p>Data Docs</p>")

    monkeypatch.setattr(runner._Run, "_write_docs", write)
    monkeypatch.setattr(report, "MOST_WORST_PAGES", 1)
