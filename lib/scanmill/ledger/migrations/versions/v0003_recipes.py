"""By which recipe a page was read, how long that took, and whose reading was used again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Leave what was read before without a recipe: it is of another one, and stale."""
    op.add_column("attempts", sa.Column("seconds", sa.Float(), nullable=True))
    op.add_column("attempts", sa.Column("recipe", sa.String(length=32), nullable=True))
    op.add_column("attempts", sa.Column("reused_from", sa.String(length=32), nullable=True))
    op.create_index("images_by_bytes", "images", ["sha256"], unique=False)
