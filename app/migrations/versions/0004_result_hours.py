"""result hours."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "result_hours",
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("family", "sha256", "hour", name=op.f("pk_result_hours")),
    )
    op.create_index(op.f("ix_result_hours_hour"), "result_hours", ["hour"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_result_hours_hour"), table_name="result_hours")
    op.drop_table("result_hours")
