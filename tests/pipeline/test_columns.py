import dataclasses

from drivers import drop, pages_at, read_batch
from engines.pdf_paper import printed
from engines.scripted import ScriptedEngine, picture, prose
from scanmill import layout
from scanmill.steps import planning

ENGLISH = (
    "the quick brown fox jumps over the lazy dog and runs home through the wood because his "
    "children are waiting there for their dinner"
)


def part_of(mill):
    """Plan and read what landed, and return the rows of its one part."""
    (batch_id,) = planning.plan_batches(mill)
    read_batch(mill, batch_id)
    return mill.store.read_table(layout.part(batch_id, 0)).to_pylist()


def test_every_word_has_its_box(mill):
    drop(mill, "c/a.png", picture(prose(1)))

    (row,) = part_of(mill)

    assert len(row["word_boxes"]) == len(row["text"].split()) == row["word_count"]
    assert row["word_boxes"][0] == [0, 0, 60, 20]


def test_boxes_are_kept_only_if_wanted(mill):
    settings = mill.settings.model_copy(update={"keep_word_boxes": False})
    drop(mill, "c/a.png", picture(prose(1)))

    (row,) = part_of(dataclasses.replace(mill, settings=settings))

    assert row["word_boxes"] is None
    assert row["word_count"]


def test_the_text_of_a_pdf_stands_beside_what_was_read(mill):
    drop(mill, "c/a.pdf", printed("Total 42", "Page two"))

    rows = part_of(mill)

    assert [row["embedded_text"] for row in rows] == ["Total 42", "Page two"]
    assert [row["engine"] for row in rows] == [ScriptedEngine.info.name] * 2
    assert len(pages_at(mill, "c/a.pdf")) == 2


def test_rows_stand_in_the_order_of_the_plan_whatever_was_read_first(mill):
    for number in range(12):  # the later, the larger: large files are read first
        drop(mill, f"c/{number:02}.png", picture(prose(number)) + bytes(number * 1000))

    rows = part_of(mill)

    assert [row["source_key"] for row in rows] == [
        f"landing/c/{number:02}.png" for number in range(12)
    ]


def test_a_page_in_another_language_than_its_collection_is_flagged(mill):
    settings = mill.settings.model_copy(update={"collection_languages": {"letters": "deu"}})
    both = dataclasses.replace(mill, settings=settings)
    drop(mill, "letters/a.png", picture(ENGLISH))

    (row,) = part_of(both)

    assert (row["language"], row["is_other_language"]) == ("en", True)


def test_a_page_in_the_language_of_the_settings_is_not(mill):
    drop(mill, "c/a.png", picture(ENGLISH))

    (row,) = part_of(mill)

    assert (row["language"], row["is_other_language"]) == ("en", False)
