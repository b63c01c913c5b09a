"""Healing puts back what was written once, from the versions that a bucket keeps."""

import pytest

from drivers import delete, drop, run_pipeline, tamper
from engines.scripted import picture, prose
from scanmill import layout
from scanmill.errors import FatalError
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal

ON_BOTH_STORES = True
PART = layout.part("c-000001", 0)


@pytest.fixture
def settled(new_mill, open_gates):
    """Return a function that makes a mill with one published page."""

    def make(**how):
        mill = new_mill(**how)
        drop(mill, "c/x/a.png", picture(prose("a")))
        run_pipeline(mill)
        assert audit(mill) == []
        return mill

    return make


def test_what_was_overwritten_and_deleted_is_as_it_was_first(settled):
    mill = settled()
    first = mill.store.read(PART)
    for content in (b"second", b"third"):
        tamper(mill, PART, content)
    delete(mill, PART)

    findings = audit(mill)
    healed = heal(mill)

    assert {(one.kind, one.address) for one in findings} == {
        ("no_part", PART),
        ("no_part_row", PART),
    }
    assert healed == len(findings) == 2
    assert mill.store.read(PART) == first
    assert audit(mill) == []


def test_healing_deletes_no_version(settled):
    mill = settled()
    tamper(mill, PART, b"second")
    before = {one.version for one in mill.store.list_versions("batches/")}

    audit(mill)
    heal(mill)

    assert before < {one.version for one in mill.store.list_versions("batches/")}


def test_without_versions_it_says_what_to_do(settled):
    mill = settled(is_versioned=False, require_versioning=False)
    tamper(mill, PART, b"second")
    audit(mill)

    with pytest.raises(FatalError, match=r"no_part.*put the object back from a copy"):
        heal(mill)

    assert mill.store.read(PART) == b"second"
