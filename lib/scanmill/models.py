"""The nouns of Scanmill: closed enums and frozen records, no input or output."""

import dataclasses
import datetime as dt
import enum
import hashlib
import math
import re
import statistics


class ImageFate(enum.StrEnum):
    """Where an image is; the terms of `images landed = ...` in the law of accounts."""

    PENDING = "pending"
    DECODED = "decoded"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    IGNORED = "ignored"


class PageFate(enum.StrEnum):
    """Where a page is; the terms of `pages found = ...` in the law of accounts."""

    PENDING = "pending"
    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    HELD = "held"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Reason(enum.StrEnum):
    """Why a fate was given: one closed list, explained in docs/reasons.md."""

    # quarantined: the image could not be read
    EMPTY_OBJECT = "empty_object"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    PASSWORD_NEEDED = "password_needed"  # noqa: S105 - no password
    CORRUPT_IMAGE = "corrupt_image"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_SMALL = "image_too_small"
    TOO_MANY_FRAMES = "too_many_frames"
    FRAMES_UNREADABLE = "frames_unreadable"
    DECODER_CRASH = "decoder_crash"
    DECODER_TIMEOUT = "decoder_timeout"
    ENGINE_ERROR = "engine_error"
    ENGINE_CRASH = "engine_crash"
    ENGINE_TIMEOUT = "engine_timeout"
    INCOMPLETE_OUTPUT = "incomplete_output"
    OBJECT_UNREADABLE = "object_unreadable"
    BAD_METADATA = "bad_metadata"
    NO_COLLECTION = "no_collection"
    INTERNAL_ERROR = "internal_error"
    # superseded
    OVERWRITTEN = "overwritten"
    DELETED = "deleted"
    # ignored: a rule with a name
    PLACEHOLDER = "placeholder"
    METADATA_FILE = "metadata_file"
    # rejected: the text broke a row rule of expectations/row_rules.json
    BLANK_PAGE = "blank_page"
    NO_TEXT = "no_text"
    LOW_CONFIDENCE = "low_confidence"
    UNKNOWN_WORDS = "unknown_words"
    # duplicate
    SAME_TEXT = "same_text"
    NEAR_TEXT = "near_text"
    # held, withdrawn
    PAGES_GATE = "pages_gate"
    DATASET_GATE = "dataset_gate"
    DISCARDED = "discarded"


class BatchKind(enum.StrEnum):
    """Why a batch was planned."""

    INTAKE = "intake"  # its images landed
    REPROCESS = "reprocess"  # a person wants images read again that are in the books


class BatchState(enum.StrEnum):
    """How far a batch has come."""

    PLANNED = "planned"
    RECOGNIZED = "recognized"
    PASSED = "passed"
    HELD = "held"
    RELEASED = "released"
    DISCARDED = "discarded"
    BUILT = "built"
    SETTLED = "settled"  # no readable page: nothing to judge or build


FINISHED = frozenset({BatchState.BUILT, BatchState.SETTLED, BatchState.DISCARDED})
"""States after which nothing more happens to a batch by itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One version of one S3 object, the unit of account.

    `version` is the store's version id, or `etag-size-gN` where the bucket keeps no versions.
    """

    bucket: str
    key: str
    version: str
    etag: str
    size_bytes: int
    modified_at: dt.datetime

    @property
    def image_id(self) -> str:
        """The identity in every table: a hash of bucket, key and version, never of the bytes."""
        return hash_id(self.bucket, self.key, self.version)


def generation(etag: str, size_bytes: int, number: int) -> str:
    """Return the version of an object where the bucket keeps none: the n-th under its key."""
    return f"{etag}-{size_bytes}-g{number}"


def counted_etag(version: str) -> str | None:
    """Return the etag in a version that we counted ourselves, None for one of the store's."""
    match = re.fullmatch(r"(.+)-\d+-g\d+", version)
    return match[1] if match else None


def hash_id(*parts: str) -> str:
    """Return 32 hex digits that name these parts, in this order."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def page_id(image_id: str, page_number: int) -> str:
    """Return the identity of one page of an image: the row id of parts, ledger and dataset."""
    return hash_id(image_id, str(page_number))


class EngineName(enum.StrEnum):
    """The OCR engines; each but the first is an extra of the package."""

    TESSERACT = "tesseract"
    TESSEROCR = "tesserocr"
    RAPIDOCR = "rapidocr"


class Way(enum.StrEnum):
    """The second chances of a page that was read badly, in their order."""

    ROTATED = "rotated"
    RESCALED = "rescaled"
    DESKEWED = "deskewed"
    THICKENED = "thickened"
    SEGMENTED = "segmented"
    LANGUAGE = "language"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What read a page: name, version and the sha256 of the model it used."""

    name: str
    version: str
    model_sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """A decoded page on disk: an 8-bit grey PGM that we wrote ourselves."""

    path: str
    width_px: int
    height_px: int
    is_blank: bool = False
    embedded_text: str | None = None
    """The text that the file itself holds for the page, as many PDFs do."""


Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, as Pillow has them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One recognized word; `line` is (block, paragraph, line), confidence runs from 0 to 100."""

    text: str
    confidence: float
    line: tuple[int, int, int]
    box: Box

    @property
    def height_px(self) -> int:
        """Return the height of the word, in pixels."""
        return self.box[3] - self.box[1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """What an engine read on one page; whitespace words are dropped already."""

    words: tuple[Word, ...]
    seconds: float
    """What reading took, second chances included."""
    engine: EngineInfo
    rescue_seconds: float = 0.0
    """What second chances took of it."""
    attempts: tuple[str, ...] = ("plain",)
    """Every way it was tried, the winner last: `plain`, or a rung of the ladder."""

    @property
    def mean_confidence(self) -> float:
        """Return the mean word confidence, 0 to 100; 0 without words."""
        confidences = [word.confidence for word in self.words]
        return statistics.fmean(confidences) if confidences else 0.0


EVEN_CONFIDENCE = 60
"""Below it a word is more likely wrong than right (26,000 words of public scans)."""

_DOUBT_WORDS, _RUBBISH = 5, 40  # 40: what pages upside down or in another script get


def worth(*, mean_confidence: float, word_count: int) -> float:
    """Return the worth of a reading: above 0 when its words are surely more right than wrong.

    The distance of the mean from even odds grows with the root of the number of words, as the
    certainty of any mean does, and a few words of rubbish are added: 200 words at 70 beat one word
    at 96, 180 words at 75 beat both, and three words at 80 on a full page prove nothing. Below even
    odds the number proves nothing either: there the distance itself counts.
    """
    number = word_count + _DOUBT_WORDS
    margin = (mean_confidence * word_count + _RUBBISH * _DOUBT_WORDS) / number - EVEN_CONFIDENCE
    return margin * math.sqrt(number) if margin > 0 else margin


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An image or page that could not be read: the value of a settled `PageError`."""

    reason: Reason
    detail: str
    stage: str
    """`read`, `decode` or `recognize`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """By what a page's text is found again: bands to look it up, a sketch to compare it by."""

    bands: tuple[str, ...]
    sketch: bytes | None = None
    """MinHash values, 4 bytes each; None for a text too short to be nearly another."""
