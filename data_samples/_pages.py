"""The six kinds of pages of a spare-parts catalogue, laid out clean, before the scanner."""

from collections.abc import Callable
from dataclasses import dataclass

from _drawings import balloons, curve, dimension, machine
from _paper import BLACK, BLUE, GREEN, GREY, HEIGHT, MARGIN, RED, WIDTH, Box, Ink, Sheet
from _words import (
    CHECKS,
    ENGLISH,
    FRENCH,
    FRENCH_CHECKS,
    FRENCH_RHYTHMS,
    FRENCH_SPECS,
    OUTCOMES,
    RHYTHMS,
    SPECS,
    VIEWS,
    Writer,
)
from PIL import Image

STYLES = ("grid", "lines", "bands")
INKS: tuple[Ink, ...] = (BLUE, RED, GREEN)
RIGHT = WIDTH - MARGIN

TITLES = {
    "data_sheet": ("Technical data sheet", "Product data", "Performance sheet", "Selection data"),
    "drawing_list": ("List of drawings", "Drawing register", "Index of sheets", "Document index"),
    "certificate": ("Pressure test certificate", "Material certificate", "Inspection certificate",
                    "Certificate of conformity", "Calibration certificate"),
    "spare_part_list": ("Spare part list", "Recommended spares", "Parts catalogue", "Wear parts"),
    "assembly_drawing": ("Assembly drawing", "Sectional view", "General assembly", "Fitting plan"),
    "maintenance_sheet": ("Maintenance sheet", "Service instruction", "Inspection round",
                          "Care and lubrication"),
}  # fmt: skip
FRENCH_TITLES = {
    "data_sheet": ("Fiche technique",),
    "drawing_list": ("Liste de plans",),
    "certificate": ("Certificat de conformité", "Certificat de contrôle"),
    "spare_part_list": ("Liste de rechanges", "Pièces de rechange"),
    "assembly_drawing": ("Plan de montage",),
    "maintenance_sheet": ("Fiche de maintenance", "Consignes de service"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which page to draw: its class, its machine, and the seed of everything else."""

    label: str
    machine: str


def draw_page(page: Page) -> Image.Image:
    """Draw a page; the same page is always drawn the same."""
    french = page.machine in FRENCH
    subject = (FRENCH if french else ENGLISH)[page.machine]
    writer = Writer(f"{page.label}/{page.machine}", subject, french=french)
    sheet = Sheet()
    LAYOUTS[page.label](sheet, writer)
    return sheet.image


# --- blocks that several kinds share -------------------------------------------------------------


def _title(writer: Writer, label: str) -> str:
    """Return one of the headings that pages of this class go by."""
    titles = FRENCH_TITLES if writer.french else TITLES
    return writer.draw("titles", titles[label])


def _letterhead(sheet: Sheet, writer: Writer, label: str) -> None:
    """Draw the head of the page in one of three manners."""
    title, name, code = _title(writer, label), writer.machine.name, writer.code()
    colour = writer.rng.choice(INKS)
    manner = writer.rng.randrange(3)
    if manner == 0:
        sheet.mark((MARGIN, sheet.y), 92, writer.rng.randrange(3), colour)
        sheet.text((MARGIN + 122, sheet.y - 4), title, 46, bold=True)
        sheet.text((MARGIN + 122, sheet.y + 56), f"{name}   {code}", 28, ink=colour)
        sheet.y += 116
        sheet.rule(width=4, after=34)
    elif manner == 1:
        sheet.draw.rectangle((MARGIN, sheet.y, RIGHT, sheet.y + 128), outline=BLACK, width=3)
        sheet.draw.line((RIGHT - 300, sheet.y, RIGHT - 300, sheet.y + 128), fill=BLACK, width=3)
        sheet.text((MARGIN + 24, sheet.y + 18), title, 42, bold=True)
        sheet.text((MARGIN + 24, sheet.y + 76), name, 30)
        sheet.text((RIGHT - 272, sheet.y + 46), code, 28, bold=True)
        sheet.y += 162
    else:
        sheet.draw.rectangle((0, 0, WIDTH, 22), fill=colour)
        sheet.mark((RIGHT - 88, sheet.y), 84, writer.rng.randrange(3), colour)
        sheet.text((MARGIN, sheet.y), name, 50, bold=True)
        sheet.text((MARGIN, sheet.y + 66), f"{title}   {code}", 28, ink=GREY)
        sheet.y += 128
        sheet.rule(width=2, after=34)


def _illustration(sheet: Sheet, writer: Writer, height: float, inset: float = 190) -> None:
    """Draw the machine across the page with a dimension below and move on."""
    box: Box = (MARGIN + inset, sheet.y, RIGHT - inset, sheet.y + height)
    machine(sheet, box, writer.machine.shape, writer.rng)
    dimension(sheet, (box[0], box[3] + 46), box[2] - box[0], writer.number() + "0 mm")
    sheet.y = box[3] + 84


def _stamp(sheet: Sheet, writer: Writer, y: float) -> None:
    """Stamp the page somewhere to the right at this height."""
    texts = ("VALIDE", "REÇU", "COPIE") if writer.french else ("APPROVED", "RECEIVED", "CHECKED")
    lines = [writer.rng.choice(texts), writer.code()]
    angle = writer.rng.choice((-9, -5, 6, 11))
    sheet.stamp((RIGHT - 370, y), lines, angle=angle, ink=writer.rng.choice(INKS))


def _foot(sheet: Sheet, writer: Writer) -> None:
    """Write the foot line."""
    y = HEIGHT - 92
    sheet.draw.line((MARGIN, y - 14, RIGHT, y - 14), fill=GREY, width=2)
    word = "Feuille" if writer.french else "Sheet"
    sheet.text((MARGIN, y), writer.code(), 20, ink=GREY)
    sheet.text((RIGHT - 130, y), f"{word} {writer.rng.randrange(1, 48)}", 20, ink=GREY)


def _style(writer: Writer) -> str:
    """Return how this page rules its tables."""
    return writer.draw("styles", STYLES)


# --- the six layouts -----------------------------------------------------------------------------


def _data_sheet(sheet: Sheet, writer: Writer) -> None:
    """Text, a table of values, and a drawing or a chart."""
    french = writer.french
    _letterhead(sheet, writer, "data_sheet")
    sheet.paragraph(writer.paragraph("design", 4))
    rows = []
    for _ in range(writer.rng.randrange(6, 9)):
        quantity, unit = writer.draw("specs", FRENCH_SPECS if french else SPECS).split(", ")
        rows.append((quantity, str(writer.rng.randrange(11, 990)), unit, writer.material()))
    header = (
        ("Grandeur", "Valeur", "Mesure", "Version")
        if french
        else ("Property", "Value", "Unit", "Wetted side")
    )
    sheet.table(header, rows, (5, 2, 4, 4), style=_style(writer))
    if writer.rng.random() < 0.4 and not french:
        curve(sheet, (MARGIN + 60, sheet.y + 10, RIGHT - 60, sheet.y + 330), writer.rng)
        sheet.y += 360
    else:
        _illustration(sheet, writer, 330)
    sheet.columns([writer.paragraph("design", 3), writer.paragraph("fitting", 3)])
    _foot(sheet, writer)


def _drawing_list(sheet: Sheet, writer: Writer) -> None:
    """A register of drawings between two blocks of remarks."""
    _letterhead(sheet, writer, "drawing_list")
    sheet.paragraph(writer.paragraph("register", 3))
    rows = []
    for _ in range(writer.rng.randrange(13, 18)):
        part = writer.item()
        view = (
            f"Plan : {part}" if writer.french else f"{writer.draw('views', VIEWS)} {part.lower()}"
        )
        size = f"A{writer.rng.randrange(5)}"
        rows.append((writer.code(), view, size, writer.rng.choice("ABCDEFGH")))
    header = (
        ("Plan", "Objet", "Format", "Indice")
        if writer.french
        else ("Drawing", "Subject", "Size", "Issue")
    )
    sheet.table(header, rows, (5, 12, 2.4, 2.4), style=_style(writer), size=22)
    sheet.heading("Remarques" if writer.french else "Notes", 26)
    sheet.bullets(writer.sentences("register", 5), 23)
    _stamp(sheet, writer, HEIGHT - 290)
    _foot(sheet, writer)


def _certificate(sheet: Sheet, writer: Writer) -> None:
    """A framed page with statements, readings, a signature and a stamp."""
    for inset, width in ((40, 6), (54, 2)):
        frame = (inset, inset, WIDTH - inset, HEIGHT - inset)
        sheet.draw.rectangle(frame, outline=BLUE, width=width)
    sheet.mark((WIDTH / 2 - 50, 92), 100, writer.rng.randrange(3), BLUE)
    sheet.centred(WIDTH / 2, 214, _title(writer, "certificate"), 50, bold=True)
    number = "Numéro" if writer.french else "Number"
    sheet.centred(WIDTH / 2, 284, f"{number} {writer.code()}", 28, ink=GREY)
    sheet.centred(WIDTH / 2, 334, writer.machine.name, 34, ink=BLUE, bold=True)
    sheet.y = 412
    sheet.paragraph(writer.paragraph("proof", 5), 25)
    header = ("Pièce", "Valeur", "Avis") if writer.french else ("Item", "Reading", "Finding")
    rows = [
        (
            writer.item(),
            f"{writer.rng.randrange(11, 99)}.{writer.rng.randrange(10)}",
            "conforme" if writer.french else writer.draw("outcomes", OUTCOMES),
        )
        for _ in range(6)
    ]
    sheet.table(header, rows, (5, 3, 4), style=_style(writer))
    sheet.paragraph(writer.paragraph("proof", 5), 25)
    y = HEIGHT - 250
    sheet.signature((MARGIN + 40, y), writer.rng)
    sheet.draw.line((MARGIN, y + 52, MARGIN + 420, y + 52), fill=BLACK, width=2)
    sheet.text((MARGIN, y + 64), "Le contrôleur" if writer.french else "The inspector", 22)
    _stamp(sheet, writer, y - 50)


def _spare_part_list(sheet: Sheet, writer: Writer) -> None:
    """A long table of parts, with advice and often a drawing above it."""
    _letterhead(sheet, writer, "spare_part_list")
    if writer.rng.random() < 0.6:
        _illustration(sheet, writer, 300, 240)
    else:
        sheet.columns([writer.paragraph("stock", 2), writer.paragraph("design", 2)])
    rows = [
        (
            str(index * 10),
            writer.item(),
            writer.code(),
            str(writer.rng.randrange(1, 13)),
            writer.material().capitalize(),
        )
        for index in range(1, writer.rng.randrange(9, 12))
    ]
    header = (
        ("Rep", "Nom", "Commande", "Nb", "Fabrication")
        if writer.french
        else ("Item", "Name", "Order code", "Qty", "Made of")
    )
    sheet.table(header, rows, (1.6, 6, 4.4, 1.4, 5), style=_style(writer))
    sheet.bullets(writer.sentences("stock", 7), 24)
    _foot(sheet, writer)


def _assembly_drawing(sheet: Sheet, writer: Writer) -> None:
    """A framed drawing with numbered parts, their names, notes and a title block."""
    sheet.draw.rectangle((44, 44, WIDTH - 44, HEIGHT - 44), outline=BLACK, width=2)
    sheet.draw.rectangle((66, 66, WIDTH - 66, HEIGHT - 66), outline=BLACK, width=5)
    for share in (0.25, 0.5, 0.75):
        for x in (44, WIDTH - 66):
            sheet.draw.line((x, HEIGHT * share, x + 22, HEIGHT * share), fill=BLACK, width=3)
        for y in (44, HEIGHT - 66):
            sheet.draw.line((WIDTH * share, y, WIDTH * share, y + 22), fill=BLACK, width=3)
    box: Box = (250, 150, WIDTH - 250, 690)
    points = machine(sheet, box, writer.machine.shape, writer.rng)
    balloons(sheet, box, points)
    dimension(sheet, (box[0], box[3] + 62), box[2] - box[0], writer.number() + "0 mm")
    sheet.y = 810
    half = (len(points) + 1) // 2
    names = [(str(n), writer.item(), writer.material()) for n in range(1, len(points) + 1)]
    header = ("Rep", "Nom", "Fabrication") if writer.french else ("No", "Part", "Made of")
    top, style = sheet.y, _style(writer)
    for x, rows in ((MARGIN, names[:half]), (WIDTH / 2 + 16, names[half:])):
        sheet.y = top
        width = WIDTH / 2 - MARGIN - 16
        sheet.table(header, rows, (1.2, 4, 4), style=style, size=21, x=x, width=width)
    sheet.y = top + (half + 2) * 21 * 1.85
    sheet.heading("Notes", 26)
    sheet.bullets(writer.sentences("fitting", 9), 23, marks="number")
    _title_block(sheet, writer)


def _title_block(sheet: Sheet, writer: Writer) -> None:
    """Draw the block in the lower right corner that names the drawing."""
    left, top, right, bottom = 560, HEIGHT - 226, WIDTH - 66, HEIGHT - 66
    sheet.draw.rectangle((left, top, right, bottom), outline=BLACK, width=4, fill="white")
    sheet.draw.line((left, top + 84, right, top + 84), fill=BLACK, width=2)
    sheet.draw.line((right - 200, top + 84, right - 200, bottom), fill=BLACK, width=2)
    sheet.mark((left + 18, top + 12), 60, writer.rng.randrange(3), BLACK)
    sheet.text((left + 104, top + 22), writer.machine.name, 34, bold=True)
    sheet.text((left + 20, top + 104), _title(writer, "assembly_drawing"), 26)
    sheet.text((right - 184, top + 106), writer.code(), 24)


def _maintenance_sheet(sheet: Sheet, writer: Writer) -> None:
    """A warning, a table of tasks and steps to tick off."""
    french = writer.french
    _letterhead(sheet, writer, "maintenance_sheet")
    top = sheet.y
    sheet.y += 26
    sheet.paragraph(writer.paragraph("care", 2), x=MARGIN + 130, width=WIDTH - 2 * MARGIN - 160)
    triangle = [(MARGIN + 66, top + 26), (MARGIN + 26, top + 94), (MARGIN + 106, top + 94)]
    sheet.draw.polygon(triangle, outline=RED, width=6)
    sheet.text((MARGIN + 60, top + 46), "!", 40, ink=RED, bold=True)
    sheet.y = max(sheet.y, top + 110)
    sheet.draw.rectangle((MARGIN, top, RIGHT, sheet.y), outline=RED, width=3)
    sheet.y += 34
    rows = [
        (
            f"{writer.draw('checks', FRENCH_CHECKS if french else CHECKS)} {writer.part()}",
            writer.draw("rhythms", FRENCH_RHYTHMS if french else RHYTHMS),
            f"{writer.number()} min",
        )
        for _ in range(writer.rng.randrange(7, 10))
    ]
    header = ("Travail", "Rythme", "Temps") if french else ("Task", "Rhythm", "Time")
    sheet.table(header, rows, (7, 4, 2), style=_style(writer))
    sheet.bullets(writer.sentences("care", 8), 24, marks=writer.rng.choice(("box", "number")))
    _stamp(sheet, writer, HEIGHT - 280)
    _foot(sheet, writer)


LAYOUTS: dict[str, Callable[[Sheet, Writer], None]] = {
    "data_sheet": _data_sheet,
    "drawing_list": _drawing_list,
    "certificate": _certificate,
    "spare_part_list": _spare_part_list,
    "assembly_drawing": _assembly_drawing,
    "maintenance_sheet": _maintenance_sheet,
}
