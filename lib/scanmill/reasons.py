"""What every reason code means, what usually causes it and what to do about it."""

import dataclasses
import types
from collections.abc import Mapping

from scanmill.models import Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """A reason in plain words, for reports, the CLI and docs/reasons.md."""

    meaning: str
    usual_cause: str
    remedy: str


BY_FATE: Mapping[str, tuple[Reason, ...]] = types.MappingProxyType(
    {
        "quarantined": (
            Reason.EMPTY_OBJECT,
            Reason.NOT_AN_IMAGE,
            Reason.UNSUPPORTED_FORMAT,
            Reason.PASSWORD_NEEDED,
            Reason.CORRUPT_IMAGE,
            Reason.IMAGE_TOO_LARGE,
            Reason.IMAGE_TOO_SMALL,
            Reason.TOO_MANY_FRAMES,
            Reason.FRAMES_UNREADABLE,
            Reason.DECODER_CRASH,
            Reason.DECODER_TIMEOUT,
            Reason.ENGINE_ERROR,
            Reason.ENGINE_CRASH,
            Reason.ENGINE_TIMEOUT,
            Reason.INCOMPLETE_OUTPUT,
            Reason.OBJECT_UNREADABLE,
            Reason.BAD_METADATA,
            Reason.NO_COLLECTION,
            Reason.INTERNAL_ERROR,
        ),
        "rejected": (
            Reason.BLANK_PAGE,
            Reason.NO_TEXT,
            Reason.LOW_CONFIDENCE,
            Reason.UNKNOWN_WORDS,
        ),
        "duplicate": (Reason.SAME_TEXT, Reason.NEAR_TEXT),
        "held": (Reason.PAGES_GATE, Reason.DATASET_GATE),
        "superseded": (Reason.OVERWRITTEN, Reason.DELETED),
        "withdrawn": (Reason.DISCARDED,),
        "ignored": (Reason.PLACEHOLDER, Reason.METADATA_FILE),
    }
)
"""The fate that each reason belongs to."""


hints: Mapping[Reason, Hint] = types.MappingProxyType(
    {
        Reason.EMPTY_OBJECT: Hint(
            "The file has no bytes.",
            "An upload that broke off, or a full disk on the scanning machine.",
            "Upload the file again.",
        ),
        Reason.NOT_AN_IMAGE: Hint(
            "The content is not an image, whatever the name says.",
            "A text, archive or office file with the extension of an image.",
            "Export it as PNG, JPEG or TIFF and upload that.",
        ),
        Reason.UNSUPPORTED_FORMAT: Hint(
            "It is an image or document, but of a format that is not read.",
            "A camera's raw file, a DjVu, or a rare compression inside a TIFF.",
            "Convert it to PNG, JPEG, TIFF or PDF and upload that.",
        ),
        Reason.PASSWORD_NEEDED: Hint(
            "The PDF opens with a password only.",
            "It was protected when it was made.",
            "Save it without a password and upload that.",
        ),
        Reason.CORRUPT_IMAGE: Hint(
            "The file begins like an image but cannot be decoded to its end.",
            "A transfer that broke off, or a damaged disk.",
            "Take the file from its source again and upload it.",
        ),
        Reason.IMAGE_TOO_LARGE: Hint(
            "The file or the page is larger than the limit.",
            "A scan at far too high a resolution, or a small file that unpacks to a huge picture.",
            "Scan at 300 dpi, or raise SCANMILL_MAX_PIXELS, SCANMILL_MAX_SIDE_PX or "
            "SCANMILL_MAX_OBJECT_BYTES, and drop it again.",
        ),
        Reason.IMAGE_TOO_SMALL: Hint(
            "The page is too small to hold readable text.",
            "A thumbnail, an icon or a tracking pixel.",
            "Upload the full-size scan.",
        ),
        Reason.TOO_MANY_FRAMES: Hint(
            "The image holds more pages than the limit.",
            "A whole archive scanned into one TIFF, or a file made to do harm.",
            "Split the file, or raise SCANMILL_MAX_FRAMES and drop it again.",
        ),
        Reason.FRAMES_UNREADABLE: Hint(
            "The pages from here on cannot be reached: the chain inside the file is broken.",
            "A multi-page TIFF that was cut off while it was written.",
            "Write the file again from its source. The pages before the break are read.",
        ),
        Reason.DECODER_CRASH: Hint(
            "The program that opens images crashed on this file.",
            "A damaged file that hits a fault of an image library, or one made to do harm.",
            "Open it in an image editor, save it as a new file and upload that.",
        ),
        Reason.DECODER_TIMEOUT: Hint(
            "Opening the image took longer than allowed.",
            "A huge or damaged file, or one made to waste time.",
            "Save it again at 300 dpi, or raise SCANMILL_PAGE_CPU_SECONDS and drop it again.",
        ),
        Reason.ENGINE_ERROR: Hint(
            "The OCR engine refused the page.",
            "A language that is not installed, or a page of an odd shape.",
            "Run `./scanmill doctor`, then drop it again.",
        ),
        Reason.ENGINE_CRASH: Hint(
            "The OCR engine crashed on this page.",
            "A fault of the engine that this page brings out, or too little memory.",
            "Reprocess with another --psm, or raise SCANMILL_CHILD_MEMORY_BYTES.",
        ),
        Reason.ENGINE_TIMEOUT: Hint(
            "Reading the page took longer than allowed.",
            "A page full of noise, dots or a dense drawing.",
            "Reprocess with another --psm, or raise SCANMILL_PAGE_CPU_SECONDS.",
        ),
        Reason.INCOMPLETE_OUTPUT: Hint(
            "The engine's answer did not speak of this page, or not of all of it.",
            "A full disk, or an engine that was stopped half-way.",
            "Check the free disk space, then drop it again.",
        ),
        Reason.OBJECT_UNREADABLE: Hint(
            "The store does not hand out this object, while it hands out others.",
            "No right to read it, a key of another owner, or an archived storage class.",
            "Grant the right or restore the object, then drop it again.",
        ),
        Reason.BAD_METADATA: Hint(
            "The collection's metadata file cannot be understood.",
            "No `file_name` column, a wrong encoding, or a broken line.",
            "Correct metadata.csv or metadata.jsonl and upload it again.",
        ),
        Reason.NO_COLLECTION: Hint(
            "The file lies beside the collections instead of in one.",
            "It was uploaded to landing/ itself, without a folder.",
            "Upload it to landing/<collection>/ and delete this one.",
        ),
        Reason.INTERNAL_ERROR: Hint(
            "Scanmill itself failed on this image, twice, where its mates went through.",
            "A fault in Scanmill.",
            "Report it with the detail shown here; after an update, drop it again.",
        ),
        Reason.OVERWRITTEN: Hint(
            "A newer file took its place under the same key.",
            "Somebody uploaded a better scan.",
            "Nothing to do: the newer version is accounted for by itself.",
        ),
        Reason.DELETED: Hint(
            "The file was deleted before it was read.",
            "Somebody cleaned up, or a lifecycle rule did.",
            "Upload it again if it should be read.",
        ),
        Reason.PLACEHOLDER: Hint(
            "Not a document: a folder marker or a .keep file.",
            "Tools create them so that an empty folder exists.",
            "Nothing to do.",
        ),
        Reason.METADATA_FILE: Hint(
            "Not a document: the labels and document ids of its collection.",
            "Uploaded on purpose as metadata.csv or metadata.jsonl.",
            "Nothing to do: it was read and used.",
        ),
        Reason.BLANK_PAGE: Hint(
            "All pixels of the page are alike.",
            "The blank back of a sheet.",
            "Nothing to do, unless the sheet was fed the wrong way round.",
        ),
        Reason.NO_TEXT: Hint(
            "Something is on the page, but no word was found.",
            "A photograph, a drawing without words, or print that is too pale.",
            "If it holds text, scan it darker, or set SCANMILL_OCR_PSM=11 and drop it again.",
        ),
        Reason.LOW_CONFIDENCE: Hint(
            "The engine itself does not trust what it read.",
            "A poor or tilted scan, handwriting, or another script.",
            "Scan it again at 300 dpi, or add its language to SCANMILL_OCR_LANGUAGES and drop it "
            "again.",
        ),
        Reason.UNKNOWN_WORDS: Hint(
            "Hardly any of the words is in a word list.",
            "Another language, a page of codes only, or letters guessed from noise.",
            "Add its language to SCANMILL_WORD_LANGUAGES, or lower the number in row_rules.json; "
            "then drop it again.",
        ),
        Reason.SAME_TEXT: Hint(
            "Its text is the same as that of a page in the dataset.",
            "The same sheet was scanned or uploaded twice.",
            "Nothing to do: the other page is published.",
        ),
        Reason.NEAR_TEXT: Hint(
            "Its text is nearly that of a page in the dataset.",
            "A second scan of the same sheet, or a form with few entries.",
            "Nothing to do. If such pages differ in what matters, raise SCANMILL_NEAR_DUPLICATE.",
        ),
        Reason.PAGES_GATE: Hint(
            "Its batch waits for a person: too much of what was read looks wrong.",
            "A wrong language or setting, or a bad series of scans.",
            "Read the batch's report, then `./scanmill review BATCH --release` or `--discard`.",
        ),
        Reason.DATASET_GATE: Hint(
            "Its batch waits for a person: the rows to publish break a rule of the dataset.",
            "Metadata that contradicts itself, or a rule that no longer fits.",
            "Read the batch's report, then `./scanmill review BATCH --release` or `--discard`.",
        ),
        Reason.DISCARDED: Hint(
            "A person decided that this batch is not published.",
            "`./scanmill review BATCH --discard`.",
            "Drop the files again: `./scanmill drop FOLDER --again`.",
        ),
    }
)
"""A hint for every reason; a test holds it complete."""


def markdown_table() -> str:
    """Return the tables of docs/reasons.md, one per fate."""
    sections = []
    for fate, reasons in BY_FATE.items():
        lines = [
            f"## {fate}",
            "",
            "| reason | means | usual cause | what to do |",
            "|---|---|---|---|",
        ]
        lines += [_row(reason, hints[reason]) for reason in reasons]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def _row(reason: Reason, hint: Hint) -> str:
    cells = (f"`{reason}`", hint.meaning, hint.usual_cause, hint.remedy)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
