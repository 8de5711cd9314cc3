"""A run says what it does beside training steps, and how long that and the rest will take."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    op.alter_column("runs", "progress_text", new_column_name="activity")
    for name, type_ in (("done", sa.BigInteger), ("total", sa.BigInteger)):
        column = sa.Column(f"activity_{name}", type_, nullable=False, server_default="0")
        op.add_column("runs", column)
    op.add_column(
        "runs", sa.Column("activity_unit", sa.String(20), nullable=False, server_default="")
    )
    for name in ("activity_seconds_left", "elapsed", "seconds_left"):
        op.add_column("runs", sa.Column(name, sa.Float))
    op.add_column("epochs", sa.Column("elapsed", sa.Float))
    op.execute("UPDATE schema_version SET version = 4")
