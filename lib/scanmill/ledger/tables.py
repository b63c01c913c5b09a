"""The tables of the ledger; `BOOKS` can be made again from the bucket."""

import datetime as dt
from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """A moment, in UTC also on SQLite, which forgets time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        """Hand the database a moment in UTC."""
        return value.astimezone(dt.UTC) if value else None

    def process_result_value(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        """Give back the moment that was stored, with its time zone."""
        return value.replace(tzinfo=dt.UTC) if value and value.tzinfo is None else value


IMAGES = sa.Table(
    "images",
    METADATA,
    sa.Column("image_id", sa.String(32), primary_key=True),
    sa.Column("collection", sa.String(128), nullable=False),
    sa.Column("bucket", sa.String(128), nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("version", sa.String(256), nullable=False),
    sa.Column("etag", sa.String(128), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("modified_at", UtcDateTime, nullable=False),
    sa.Column("batch_id", sa.String(160), nullable=False),
    sa.Column("slice", sa.Integer),
    sa.Column("fate", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("detail", sa.Text),
    sa.Column("sha256", sa.String(64)),
    # Written when the image is decoded: `pages found` is the sum of these, not a count of fates.
    sa.Column("page_count", sa.Integer, nullable=False, default=0),
    sa.Column("successor_id", sa.String(32)),
    sa.Index("images_by_key", "collection", "key"),
    sa.Index("images_by_batch", "batch_id", "slice"),
    sa.Index("images_by_fate", "fate", "collection"),
    sa.Index("images_by_bytes", "sha256"),
)

PAGES = sa.Table(
    "pages",
    METADATA,
    sa.Column("page_id", sa.String(32), primary_key=True),
    sa.Column("image_id", sa.String(32), sa.ForeignKey("images.image_id"), nullable=False),
    # Batch and slice of the reading that counts: the row of which part holds the text.
    sa.Column("batch_id", sa.String(160), nullable=False),
    sa.Column("slice", sa.Integer, nullable=False),
    sa.Column("page_number", sa.Integer, nullable=False),
    sa.Column("fate", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("detail", sa.Text),
    sa.Column("other_page_id", sa.String(32)),
    sa.Column("shard", sa.Text),
    sa.Column("split", sa.String(16)),
    # The snapshot that decided the fate: an older one that comes late changes nothing.
    sa.Column("snapshot", sa.Integer),
    sa.Index("pages_by_image", "image_id"),
    sa.Index("pages_by_batch", "batch_id", "fate"),
    sa.Index("pages_by_fate", "fate"),
    sa.Index("pages_by_other", "other_page_id"),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    # Every reading there ever was, page 0 where an image gave no page: history, not fates.
    sa.Column("image_id", sa.String(32), primary_key=True),
    sa.Column("page_number", sa.Integer, primary_key=True),
    sa.Column("batch_id", sa.String(160), primary_key=True),
    sa.Column("slice", sa.Integer, nullable=False),
    sa.Column("fate", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("detail", sa.Text),
    sa.Column("stage", sa.String(16)),
    sa.Column("engine", sa.String(32)),
    sa.Column("engine_version", sa.String(64)),
    sa.Column("word_count", sa.Integer),
    sa.Column("mean_confidence", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("recipe", sa.String(32)),
    sa.Column("reused_from", sa.String(32)),
    sa.Index("attempts_by_batch", "batch_id", "fate"),
)

BATCHES = sa.Table(
    "batches",
    METADATA,
    sa.Column("batch_id", sa.String(160), primary_key=True),
    sa.Column("collection", sa.String(128), nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("image_count", sa.Integer, nullable=False),
    sa.Column("slice_count", sa.Integer, nullable=False),
    sa.Column("planned_at", UtcDateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.UniqueConstraint("collection", "sequence", name="batches_by_sequence"),
    sa.Index("batches_by_state", "state"),
)

DOORBELLS = sa.Table(
    "doorbells",
    METADATA,
    sa.Column("batch_id", sa.String(160), primary_key=True),
    # When it was last rung for, to be read and to be built, and when anything last happened to
    # it: what heals a lost event.
    sa.Column("announced_at", UtcDateTime),
    sa.Column("built_for_at", UtcDateTime),
    sa.Column("touched_at", UtcDateTime),
)

PARTS = sa.Table(
    "parts",
    METADATA,
    sa.Column("batch_id", sa.String(160), primary_key=True),
    sa.Column("slice", sa.Integer, primary_key=True),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("log_url", sa.Text),
)

VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("batch_id", sa.String(160), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("gate", sa.String(32), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("suite_sha256", sa.String(64), nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)

DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("batch_id", sa.String(160), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("verb", sa.String(16), nullable=False),
    sa.Column("gate", sa.String(32), nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("because", sa.Text, nullable=False),
    sa.Column("decided_at", UtcDateTime, nullable=False),
)

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("collection", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("batch_id", sa.String(160), nullable=False),
    sa.Column("train", sa.Integer, nullable=False),
    sa.Column("validation", sa.Integer, nullable=False),
    sa.Column("test", sa.Integer, nullable=False),
)

SIGNATURES = sa.Table(
    "signatures",
    METADATA,
    sa.Column("collection", sa.String(128), primary_key=True),
    sa.Column("band", sa.String(40), primary_key=True),
    sa.Column("page_id", sa.String(32), primary_key=True),
    sa.Index("signatures_by_page", "page_id"),
)

SKETCHES = sa.Table(
    "sketches",
    METADATA,
    sa.Column("page_id", sa.String(32), primary_key=True),
    sa.Column("minhash", sa.LargeBinary, nullable=False),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("key", sa.String(256), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("delivered_at", UtcDateTime),
    # The channels that have it already: one that is away must not make the others repeat it.
    sa.Column("sent_by", sa.Text, nullable=False, default=""),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("error", sa.Text),
)

AUDITS = sa.Table(
    "audits",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("finished_at", UtcDateTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
    sa.Column("findings", sa.JSON, nullable=False),
)

HEARTBEATS = sa.Table(
    "heartbeats",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("beat_at", UtcDateTime, nullable=False),
)

BOOKS = (
    *(IMAGES, PAGES, ATTEMPTS, BATCHES, PARTS),
    *(VERDICTS, DECISIONS, SNAPSHOTS, SIGNATURES, SKETCHES),
)
"""Everything but what was sent, looked at, and rung for."""
