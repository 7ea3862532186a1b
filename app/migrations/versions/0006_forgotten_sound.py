"""Recordings that forget their sound once they are analysed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FORGETTING = sa.text("forgets AND sound_deleted_at IS NULL")
DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    no = sa.text("false")
    op.add_column(
        "recordings", sa.Column("forgets", sa.Boolean(), server_default=no, nullable=False)
    )
    op.add_column(
        "recordings", sa.Column("sound_deleted_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index("ix_recordings_forgetting", "recordings", ["id"], postgresql_where=FORGETTING)
    op.create_index("ix_recordings_deleted", "recordings", ["id"], postgresql_where=DELETED)


def downgrade() -> None:
    op.drop_index("ix_recordings_deleted", table_name="recordings", postgresql_where=DELETED)
    op.drop_index("ix_recordings_forgetting", table_name="recordings", postgresql_where=FORGETTING)
    op.drop_column("recordings", "sound_deleted_at")
    op.drop_column("recordings", "forgets")
