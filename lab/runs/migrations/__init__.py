"""Upgrades an older store to the tables of `lab.runs.schema`, by Alembic.

A change of a table is a file in `versions/`, and HEAD names the last one. Columns of metrics are no
such change: whatever `lab.metrics` has and a table lacks is added whenever a store is opened.
Everything runs in the caller's transaction, so a store is of the old version or of the new one,
never between.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from lab.runs import schema

HEAD = "10"
"""The newest revision in `versions/`."""

_FOLDER = Path(__file__).parent


def stamp(connection: sa.Connection) -> None:
    """Record that the tables, which have just been made, are those of HEAD."""
    connection.execute(schema.version.insert().values(version_num=HEAD))
    connection.execute(schema.first_version.insert().values(version=int(HEAD)))


def upgrade(connection: sa.Connection) -> None:
    """Alter the tables of an older store; of a current one nothing. Raises ValueError for a newer
    store, whose revision this lab does not know."""
    current = _current(connection)
    if current != HEAD:
        _run_migrations(connection, current)
    _add_metric_columns(connection)


def _current(connection: sa.Connection) -> str | None:
    """The store's revision; None where none is recorded, as in the first release."""
    if sa.inspect(connection).has_table(schema.version.name):
        return connection.execute(sa.select(schema.version.c.version_num)).scalar()
    # Before Alembic. Its first two revisions are what was then called versions 1 and 2.
    schema.version.create(connection)
    version = connection.execute(sa.select(schema.first_version.c.version)).scalar()
    if version is None:
        return None
    connection.execute(schema.version.insert().values(version_num=str(version)))
    return str(version)


def _run_migrations(connection: sa.Connection, current: str | None) -> None:
    # Imported late: a store of this version, as nearly all are, needs none of it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _FOLDER.as_posix().replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise ValueError(current)
    command.upgrade(config, "head")


def _add_metric_columns(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    for table, columns in (
        (schema.steps, schema.STEP_METRICS),
        (schema.epochs, schema.EPOCH_METRICS),
        (schema.runs, schema.RUN_METRICS),
    ):
        existing = {column["name"] for column in inspector.get_columns(table.name)}
        for name in columns:
            if name not in existing:
                column = sa.schema.CreateColumn(table.c[name]).compile(connection)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")
