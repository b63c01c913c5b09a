"""What the tests of whole runs share."""

import pytest


@pytest.fixture(autouse=True)
def _without_decoration(plain_reports):
    pass
