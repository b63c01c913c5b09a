"""Readings beyond the first: which one counts for a page, and the history of all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Say of what is in the books where it comes from; `ledger rebuild` enters older attempts."""
    op.add_column(
        "batches", sa.Column("kind", sa.String(length=16), nullable=False, server_default="intake")
    )
    op.add_column("pages", sa.Column("slice", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE pages SET slice = "
        "(SELECT images.slice FROM images WHERE images.image_id = pages.image_id)"
    )
    op.create_table(
        "attempts",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("page_number", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(length=160), nullable=False),
        sa.Column("slice", sa.Integer(), nullable=False),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("engine", sa.String(length=32), nullable=True),
        sa.Column("engine_version", sa.String(length=64), nullable=True),
        sa.Column("word_count", sa.Integer(), nullable=True),
        sa.Column("mean_confidence", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("image_id", "page_number", "batch_id"),
    )
    op.create_index("attempts_by_batch", "attempts", ["batch_id", "fate"], unique=False)
