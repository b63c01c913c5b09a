"""Tesseract's table of words (TSV), and what has to be true of one that is complete."""

from collections.abc import Sequence

from scanmill.models import EngineInfo, Raster, Reason, Recognition, SetAside, Word
from scanmill.ocr.engine import Reading, set_aside

_PAGE, _WORD = "1", "5"  # levels of rows; between them are blocks, paragraphs and lines


def readings(
    table: str, rasters: Sequence[Raster], *, seconds: float, engine: EngineInfo
) -> list[Reading]:
    """Return the words of each page of a table that was read in so many seconds.

    A page counts as read only when the table has exactly one page row for it, of the page's size:
    a program that lost a page or ran out of memory may well end with status 0.
    """
    sizes: dict[int, list[tuple[int, int]]] = {}
    words: dict[int, list[Word]] = {}
    for line in table.split("\n"):
        cells = line.split("\t", 11)
        if cells[0] == _PAGE:
            sizes.setdefault(int(cells[1]), []).append((int(cells[8]), int(cells[9])))
        # One word row in twenty is white space with a confidence of 95.
        elif cells[0] == _WORD and cells[-1].strip():
            words.setdefault(int(cells[1]), []).append(_word(cells))
    share = seconds / len(rasters)
    return [
        Recognition(words=tuple(words.get(number, ())), seconds=share, engine=engine)
        if sizes.get(number) == [(raster.width_px, raster.height_px)]
        else _incomplete(sizes.get(number, []), raster)
        for number, raster in enumerate(rasters, start=1)
    ]


def _word(cells: Sequence[str]) -> Word:
    left, top, width, height = map(int, cells[6:10])
    return Word(
        text=cells[11].strip(),
        confidence=float(cells[10]),
        line=(int(cells[2]), int(cells[3]), int(cells[4])),
        box=(left, top, left + width, top + height),
    )


def _incomplete(found: Sequence[tuple[int, int]], raster: Raster) -> SetAside:
    detail = f"Page rows {list(found)} for a page of {raster.width_px} x {raster.height_px}."
    return set_aside(Reason.INCOMPLETE_OUTPUT, detail)
