import pytest

from scanmill.models import Word
from scanmill.textstats import measure, word_lists

KNOWN = word_lists("en,fr")


def words_of(text, confidence=90.0):
    return [
        Word(text=word, confidence=confidence, line=(block, 1, line), box=(0, 0, 60, 20))
        for block, paragraph in enumerate(text.split("\n\n"))
        for line, words in enumerate(paragraph.split("\n"))
        for word in words.split()
    ]


def test_text_keeps_lines_and_sets_blocks_apart():
    text = "Invoice 42\nTotal due\n\nThank you"

    assert measure(words_of(text), known=KNOWN).text == text


def test_a_page_without_words_has_no_shares():
    measures = measure([], known=KNOWN)

    assert (measures.text, measures.char_count, measures.word_count) == ("", 0, 0)
    assert measures.mean_confidence is None
    assert measures.low_confidence_share is None
    assert measures.estimated_accuracy is None
    assert measures.alnum_ratio is None
    assert measures.known_word_share is None


def test_shares_count_characters_and_the_mean_counts_words():
    words = [*words_of("abcdef", confidence=90.0), *words_of("a-", confidence=30.0)]

    measures = measure(words, known=KNOWN)

    assert measures.char_count == 8
    assert measures.mean_confidence == 60.0
    assert measures.low_confidence_share == 0.25
    assert measures.alnum_ratio == pytest.approx(7 / 8)


@pytest.mark.parametrize(
    ("confidence", "share"),
    [
        (0, 0.31),
        (39.9, 0.31),
        (40, 0.43),
        (60, 0.62),
        (79.9, 0.67),
        (92, 0.86),
        (96, 0.99),
        (100, 0.99),
    ],
)
def test_estimated_accuracy_follows_the_measured_table(confidence, share):
    assert measure(words_of("word", confidence), known=KNOWN).estimated_accuracy == share


def test_plain_english_and_french_are_known():
    text = "The valve isn't shut, l'ingénieur; aujourd\u2019hui ELECTRICITE d'été (porte-monnaie)."

    assert measure(words_of(text), known=KNOWN).known_word_share == 1.0


def test_nonsense_is_not_known():
    text = "pdxmp gzmvmadqwn mswsxk zdjamgr tkfqo wblrz vvnq"

    assert measure(words_of(text), known=KNOWN).known_word_share == 0.0


def test_a_word_broken_at_the_end_of_a_line_counts_as_one():
    text = "a beauti-\nful morning with friends and coffee"

    assert measure(words_of(text), known=lambda word: word != "beauti").known_word_share == 1.0


def test_part_numbers_say_nothing_about_words():
    text = "ABC-2000 XKQ9 M12x40 77-QRS 4711/12 QZX_3 total amount"

    assert measure(words_of(text), known=KNOWN).known_word_share is None


def test_ligatures_find_their_words():
    assert measure(words_of("ﬁnd five ofﬁce doors open"), known=KNOWN).known_word_share == 1.0
