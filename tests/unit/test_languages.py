import pytest

from scanmill.errors import FatalError
from scanmill.languages import MIN_WORDS, Detected, detect
from scanmill.ocr import choose_engine
from scanmill.settings import Settings

GERMAN = (
    "Der schnelle braune Fuchs springt über den faulen Hund und läuft durch den Wald nach Hause, "
    "weil dort seine Kinder auf das Essen warten"
)
ENGLISH = (
    "The quick brown fox jumps over the lazy dog and runs home through the wood because his "
    "children are waiting there for their dinner"
)


@pytest.mark.parametrize(
    ("text", "expected", "language", "is_other"),
    [
        (ENGLISH, "eng", "en", False),
        (GERMAN, "eng", "de", True),
        (GERMAN, "eng+deu", "de", False),
        (GERMAN, "frk", "de", False),
        (GERMAN, "deu_latf", "de", False),
        (GERMAN, "nld", "de", True),
        (GERMAN, "script/Latin", "de", None),
    ],
)
def test_a_language_is_compared_with_those_that_were_asked_for(text, expected, language, is_other):
    assert detect(text, expected=expected) == Detected(
        language=language, is_other_language=is_other
    )


@pytest.mark.parametrize(
    "text",
    ["", "Rechnung", " ".join(GERMAN.split()[: MIN_WORDS - 1]), "4711 42.00 M8 " * 20],
)
def test_little_text_and_numbers_are_in_no_language(text):
    assert detect(text, expected="eng") == Detected()


def test_a_collection_may_be_read_in_languages_of_its_own(monkeypatch):
    monkeypatch.setenv("SCANMILL_COLLECTION_LANGUAGES", "letters=deu,old maps=eng+deu")

    settings = Settings.load()

    assert settings.of_collection("letters").ocr_languages == "deu"
    assert settings.of_collection("old maps").ocr_languages == "eng+deu"
    assert settings.of_collection("books").ocr_languages == "eng"


@pytest.mark.parametrize("value", ["deu", "letters=", "=deu", "letters=deu,maps"])
def test_a_choice_of_languages_that_says_half_is_refused(monkeypatch, value):
    monkeypatch.setenv("SCANMILL_COLLECTION_LANGUAGES", value)

    with pytest.raises(FatalError, match=r"COLLECTION_LANGUAGES\] is wrong.*letters=fra"):
        Settings.load()


def test_a_language_that_is_missing_for_one_collection_is_named_before_anything_is_read():
    settings = Settings(collection_languages={"letters": "fra"}).of_collection("letters")

    with pytest.raises(FatalError, match=r"\[fra\].*SCANMILL_TESSDATA_DIR"):
        choose_engine(settings)
