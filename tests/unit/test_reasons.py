"""Every reason has a hint, and belongs to one fate."""

import itertools

from scanmill.models import ImageFate, PageFate, Reason
from scanmill.reasons import BY_FATE, hints, markdown_table


def test_every_reason_has_a_hint_in_whole_sentences():
    assert set(hints) == set(Reason)
    for hint in hints.values():
        for words in (hint.meaning, hint.usual_cause, hint.remedy):
            assert words.endswith(".")
            assert words[0].isupper() or words.startswith("`")


def test_every_reason_belongs_to_exactly_one_fate():
    assert sorted(itertools.chain(*BY_FATE.values())) == sorted(Reason)
    assert set(BY_FATE) <= {*ImageFate, *PageFate}


def test_the_table_for_the_documentation_has_one_row_per_reason():
    rows = [line for line in markdown_table().splitlines() if line.startswith("| `")]

    assert len(rows) == len(Reason)
    assert {row.count("|") for row in rows} == {5}
