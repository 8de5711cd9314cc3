"""The tables of the first release."""

revision = "1"
down_revision = None


def upgrade() -> None:
    """Nothing: a store begins with the newest tables, so this is only where older ones start."""
