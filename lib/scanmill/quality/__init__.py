"""Judges pages one by one (row rules) and batches as a whole (Great Expectations suites)."""

from scanmill.quality.files import find
from scanmill.quality.rules import RowRules
from scanmill.quality.runner import judge
from scanmill.quality.verdicts import Check, Severity, Verdict

__all__ = ["Check", "RowRules", "Severity", "Verdict", "find", "judge"]
