"""Settings in the store; runs know their assignment and how long they will and may take."""

import sqlalchemy as sa
from alembic import op

revision = "9"
down_revision = "8"


def upgrade() -> None:
    assignment = sa.Column("assignment", sa.String(40), nullable=False, server_default="")
    op.add_column("runs", assignment)
    for name in ("expected_seconds", "most_seconds"):
        op.add_column("runs", sa.Column(name, sa.Float))
    op.create_table(
        "settings",
        sa.Column("key", sa.String(60), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.execute("UPDATE schema_version SET version = 9")
