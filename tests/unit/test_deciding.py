"""The fates of a build's pages, decided from nothing but what it is given."""

import itertools

from scanmill.models import PageFate, Reason
from scanmill.steps.deciding import Build, decide


def page(key, number=1, image=None):
    """Return a page whose id is its key and number."""
    name = f"{key}#{number}"
    return {"page_id": name, "image_id": image or key, "source_key": key, "page_number": number}


def alike(*groups, reason=Reason.SAME_TEXT):
    """Return the likeness of groups of pages that hold one text each."""
    return {
        one: {other: reason for other in group if other != one} for group in groups for one in group
    }


class Known:
    """Texts whose likeness is known beforehand."""

    def __init__(self, likeness):
        self._likeness = likeness

    def alike(self, page_id):
        return self._likeness.get(page_id, {})

    def keep(self, page_id):
        pass


def decided(rows, *, replaced=(), stale=(), likeness=None, broken=None):
    """Return (fate, reason, original) by page id."""
    texts = Known(likeness or {})
    build = Build(rows=rows, replaced=replaced, outdated_images=stale, texts=texts)
    fates = decide(build, rule_broken_by=lambda row: (broken or {}).get(row["page_id"]))
    assert len({fate["page_id"] for fate in fates}) == len(fates)
    return {
        fate["page_id"]: (fate["fate"], fate["reason"], fate["other_page_id"]) for fate in fates
    }


PUBLISHED = (PageFate.PUBLISHED, None, None)


def test_a_good_page_is_published():
    assert decided([page("a")]) == {"a#1": PUBLISHED}


def test_a_page_that_breaks_a_rule_is_rejected_for_it():
    fates = decided([page("a"), page("b")], broken={"a#1": Reason.NO_TEXT})

    assert fates == {"a#1": (PageFate.REJECTED, Reason.NO_TEXT, None), "b#1": PUBLISHED}


def test_of_pages_with_one_text_the_first_by_key_stays():
    rows = [page("c"), page("a"), page("b")]
    fates = decided(rows, likeness=alike(["a#1", "b#1", "c#1"]))

    assert fates == {
        "a#1": PUBLISHED,
        "b#1": (PageFate.DUPLICATE, Reason.SAME_TEXT, "a#1"),
        "c#1": (PageFate.DUPLICATE, Reason.SAME_TEXT, "a#1"),
    }


def test_pages_of_one_image_are_compared_in_their_order():
    rows = [page("a", 10), page("a", 2)]
    fates = decided(rows, likeness=alike(["a#2", "a#10"]))

    assert fates["a#2"] == PUBLISHED
    assert fates["a#10"] == (PageFate.DUPLICATE, Reason.SAME_TEXT, "a#2")


def test_a_page_in_the_dataset_wins_over_all_new_ones():
    fates = decided([page("a")], likeness={"a#1": {"old#1": Reason.NEAR_TEXT}})

    assert fates == {"a#1": (PageFate.DUPLICATE, Reason.NEAR_TEXT, "old#1")}


def test_an_exact_original_is_named_before_a_near_one():
    likeness = {"a#1": {"near#1": Reason.NEAR_TEXT, "zz#1": Reason.SAME_TEXT}}

    assert decided([page("a")], likeness=likeness)["a#1"][2] == "zz#1"


def test_a_rejected_page_is_nobodys_original():
    rows = [page("a"), page("b")]
    fates = decided(rows, likeness=alike(["a#1", "b#1"]), broken={"a#1": Reason.LOW_CONFIDENCE})

    assert fates["b#1"] == PUBLISHED


def test_a_duplicate_is_nobodys_original():
    likeness = alike(["a#1", "b#1"]) | {"c#1": {"b#1": Reason.NEAR_TEXT}}
    fates = decided([page("a"), page("b"), page("c")], likeness=likeness)

    assert fates["b#1"][0] == PageFate.DUPLICATE
    assert fates["c#1"] == PUBLISHED


def test_a_page_that_leaves_is_superseded_and_nobodys_original():
    old, new = page("a", image="a-v1"), page("a2", image="a-v2")
    fates = decided([new], replaced=[old], likeness=alike(["a#1", "a2#1"]))

    assert fates == {
        "a#1": (PageFate.SUPERSEDED, Reason.OVERWRITTEN, None),
        "a2#1": PUBLISHED,
    }


def test_when_an_original_leaves_its_first_duplicate_takes_its_place():
    orphans = [page("c"), page("b")]
    fates = decided(
        orphans,
        replaced=[page("a")],
        likeness=alike(["a#1", "b#1", "c#1"], reason=Reason.NEAR_TEXT),
    )

    assert fates["b#1"] == PUBLISHED
    assert fates["c#1"] == (PageFate.DUPLICATE, Reason.NEAR_TEXT, "b#1")


def test_a_page_whose_newer_version_is_in_the_dataset_is_superseded_before_any_rule():
    fates = decided([page("a")], stale={"a"}, broken={"a#1": Reason.BLANK_PAGE})

    assert fates == {"a#1": (PageFate.SUPERSEDED, Reason.OVERWRITTEN, None)}


def test_the_order_in_which_pages_are_given_decides_nothing():
    rows = [page("a"), page("b", 1), page("b", 2), page("c")]
    likeness = alike(["a#1", "b#2"]) | alike(["b#1", "c#1"], reason=Reason.NEAR_TEXT)
    broken = {"c#1": Reason.NO_TEXT}
    results = [
        decided(order, likeness=likeness, broken=broken) for order in itertools.permutations(rows)
    ]

    assert all(result == results[0] for result in results)
