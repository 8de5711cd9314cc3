"""A run can have a tag, a person's own label."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    op.add_column("runs", sa.Column("tag", sa.String(40), nullable=False, server_default=""))
    op.execute("UPDATE schema_version SET version = 5")
