"""A run may start from another one, have notes and a star, and be the baseline; its learning rate
may be changed by hand."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"

COLUMNS = (
    sa.Column("notes", sa.Text, nullable=False, server_default=""),
    sa.Column("starred", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_baseline", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("parent", sa.String(40), nullable=False, server_default=""),
    sa.Column("parent_epoch", sa.Integer),
    sa.Column("wanted_rate", sa.Float),
    sa.Column("rate_changes", sa.Text, nullable=False, server_default="[]"),
    sa.Column("test_looks", sa.Integer, nullable=False, server_default="0"),
)


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("runs", column)
    op.execute("UPDATE runs SET test_looks = 1 WHERE test_accuracy IS NOT NULL")
    op.execute("UPDATE schema_version SET version = 6")
