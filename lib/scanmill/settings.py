"""Every setting, read once at the edge from `SCANMILL_*` and passed down."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from scanmill.errors import FatalError
from scanmill.models import EngineName, Way

PREFIX = "SCANMILL_"
_NO_SETTINGS = {
    *("SCANMILL_HOME", "SCANMILL_STACK", "SCANMILL_PROGRAM"),
    *(
        "SCANMILL_LOCAL_STORE",
        "SCANMILL_PROXY_PORT",
        "SCANMILL_DRILL_FOLDER",
        "SCANMILL_REAL_SCANS",
    ),
}
"""Variables that are about the local stack and its processes, the drill or the tests."""

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """The settings of one installation; the table in the README is generated from this class.

    Where the store and the queue are, and who we are there, is AWS's own business:
    `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, or a profile.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_parse_none_str="none", frozen=True, extra="forbid"
    )

    @classmethod
    def load(cls) -> Self:
        """Read the settings from the environment.

        Raises:
            FatalError: one is misspelt or has a value that it cannot have.
        """
        known = {f"{PREFIX}{name}".upper() for name in cls.model_fields} | _NO_SETTINGS
        for name in sorted(name for name in os.environ if name.startswith(PREFIX)):
            if name not in known:
                like = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean [{like[0]}]?" if like else "See the table in the README."
                raise FatalError(f"There is no setting [{name}]. {hint}")
        try:
            return cls()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "_".join(map(str, first["loc"])).upper()
            raise FatalError(f"The setting [{name}] is wrong: {first['msg']}.") from error

    @field_validator("collection_languages", mode="before")
    @classmethod
    def _parted(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.rpartition("=") for part in value.split(",") if part]
        if not all(name and languages for name, _, languages in pairs):
            raise ValueError("it has to look like letters=fra,maps=eng+deu")
        return {name: languages for name, _, languages in pairs}

    @field_validator("rescue_ways", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    def of_collection(self, name: str) -> Self:
        """Return the settings with which the scans of a collection are read."""
        languages = self.collection_languages.get(name, self.ocr_languages)
        return self.model_copy(update={"ocr_languages": languages})

    bucket: str = Field("scanmill", description="The one bucket that holds everything.")
    ledger_url: str = Field(
        "sqlite:///ledger.db", description="SQLAlchemy address of the ledger, SQLite or PostgreSQL."
    )
    expectations_dir: Path = Field(
        Path("expectations"), description="Folder of the Great Expectations suites and row rules."
    )
    queue_url: str = Field(
        "", description="SQS queue that hears of uploads; empty: the sweep alone finds them."
    )
    require_versioning: bool = Field(
        default=True, description="Refuse to plan when the bucket does not keep versions."
    )
    sweep_seconds: Seconds = Field(
        60, description="Interval of the full listing; 0 turns the sweep off."
    )
    audit_seconds: Seconds = Field(300, description="Interval of the audit; 0 turns it off.")
    retry_seconds: Seconds = Field(20, description="Pause before a task is tried again.")
    announce_again_seconds: Seconds = Field(
        90, description="A batch whose consumer has not started is announced again after this."
    )
    stalled_seconds: Seconds = Field(
        600, description="A batch without progress is announced again after this."
    )
    pending_alert_seconds: Seconds = Field(
        1800, description="An image pending for longer raises an alert."
    )
    stuck_alert_seconds: Seconds = Field(
        1800, description="A batch that nothing happens to for longer raises an alert."
    )
    task_alert_seconds: Seconds = Field(
        1800, description="A task that runs for longer raises an alert; nobody ends it."
    )
    task_seconds: Count = Field(
        21600, description="A task that runs for longer is ended and tried again."
    )
    batch_images: Count = Field(2000, description="Most images in one batch.")
    slice_images: Count = Field(200, description="Most images in one slice.")
    slice_seconds: Count = Field(
        120, description="How long a slice should take, going by what its collection took before."
    )
    slices_at_once: Count = Field(
        1, description="Slices read at the same time; each uses `ocr_workers` processes."
    )
    ocr_workers: Count = Field(
        os.cpu_count() or 1, description="OCR processes that one task runs side by side."
    )
    ocr_languages: str = Field("eng", description="Tesseract languages, joined by `+`.")
    collection_languages: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Languages of single collections: `letters=fra,maps=eng+deu`."
    )
    ocr_psm: Annotated[int, Field(ge=0, le=13)] = Field(
        3, description="Tesseract page segmentation mode."
    )
    ocr_engine: EngineName = Field(
        EngineName.TESSERACT,
        description="Engine that reads: `tesseract`, `tesserocr` or `rapidocr`.",
    )
    tessdata_dir: Path | None = Field(
        None, description="Folder of `.traineddata` files, searched before the engine's own."
    )
    chunk_pages: Count = Field(24, description="Most pages in one call of the OCR engine.")
    keep_word_boxes: bool = Field(
        default=True, description="Keep where on the page each word stands."
    )
    page_cpu_seconds: Count = Field(60, description="CPU time that one page may cost.")
    rescue_confidence: Annotated[float, Field(ge=0, le=100)] = Field(
        75, description="A page read with a lower mean confidence gets second chances; 0: none."
    )
    rescue_ways: Annotated[tuple[Way, ...], NoDecode] = Field(
        tuple(Way), description="Second chances that are tried, joined by commas."
    )
    rescue_tries: Count = Field(
        8, description="Most second chances of one page; each may cost `page_cpu_seconds`."
    )
    rescue_engine: EngineName | None = Field(
        EngineName.RAPIDOCR,
        description="Another engine for poor pages, if it is installed; or `none`.",
    )
    rescue_engine_confidence: Annotated[float, Field(ge=0, le=100)] = Field(
        84, description="A page read with a lower mean confidence is given to that engine."
    )
    max_object_bytes: Count = Field(200_000_000, description="Largest object that is opened.")
    max_pixels: Count = Field(100_000_000, description="Largest page, in pixels.")
    max_image_pixels: Count = Field(
        5_000_000_000, description="Pixels of all pages of one image: what it takes on disk."
    )
    max_side_px: Count = Field(32_000, description="Longest side of a page.")
    min_side_px: Count = Field(10, description="Shortest side of a page.")
    pdf_dpi: Annotated[int, Field(ge=100, le=600)] = Field(
        300, description="Resolution in which pages of a PDF are drawn that are no mere scan."
    )
    max_frames: Count = Field(500, description="Most pages in one image.")
    child_memory_bytes: Count = Field(
        2 << 30, description="Address space of a decoding or OCR process."
    )
    word_languages: str = Field(
        "en,fr", description="Word lists that `known_word_share` looks words up in."
    )
    split_salt: str = Field(
        "scanmill-1", description="Salt of the split by document; never change it for a dataset."
    )
    validation_share: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.1, description="Share of documents in the validation split."
    )
    test_share: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.1, description="Share of documents in the test split."
    )
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Jaccard similarity of word 3-grams from which two pages are one."
    )
    smtp_connection: str = Field(
        "",
        validation_alias="AIRFLOW_CONN_SMTP_DEFAULT",
        description="Airflow's `smtp_default` connection, as JSON.",
    )
    alert_from: str = Field("scanmill@localhost", description="Sender of alert e-mails.")
    alert_to: str = Field(
        "operators@localhost", description="Receivers of alert e-mails, joined by commas."
    )
    report_url: str = Field(
        "",
        description="Where reports are read: prefix of the address in alerts; empty: `s3://`.",
    )
    airflow_url: str = Field("", description="Where Airflow's pages and API are.")
    airflow_user: str = Field("admin", description="Who we are at Airflow's API.")
    airflow_password: SecretStr = Field(SecretStr(""), description="And our password there.")
    inbox_dir: Path | None = Field(
        None, description="Maildir of the embedded mail server, shown on the inbox page."
    )
    alert_webhook: SecretStr = Field(
        SecretStr(""), description="Address that gets every alert as JSON by POST."
    )
