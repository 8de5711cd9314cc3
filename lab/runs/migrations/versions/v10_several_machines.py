"""Which processes live is in the store, and where a run's files are."""

import sqlalchemy as sa
from alembic import op

revision = "10"
down_revision = "9"


def upgrade() -> None:
    for table, name in (("runs", "home"), ("sweeps", "driver")):
        column = sa.Column(name, sa.String(40), nullable=False, server_default="")
        op.add_column(table, column)
    op.create_table(
        "homes",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
    )
    op.create_table(
        "owners",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("home", sa.String(40), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("alive_until", sa.Float, nullable=False),
        sa.Column("suspected_at", sa.Float),
    )
    op.execute("UPDATE schema_version SET version = 10")
