"""A run keeps what a person expected of it before it started."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    op.add_column("runs", sa.Column("forecast", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE schema_version SET version = 7")
