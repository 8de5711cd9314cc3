"""Runs and sweeps know who started them, and the lab who has signed in."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    for table in ("runs", "sweeps"):
        for name, length in (("person", 40), ("person_name", 80)):
            text = sa.Column(name, sa.String(length), nullable=False, server_default="")
            op.add_column(table, text)
    op.create_index("runs_by_person", "runs", ["person"])
    op.create_table(
        "people",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("account", sa.String(200), nullable=False, server_default=""),
        sa.Column("joined_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
        sa.Index("people_by_account", "account"),
    )
    op.execute("UPDATE schema_version SET version = 8")
