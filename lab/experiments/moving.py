"""Moves what the lab knows from its file (SQLite) into an empty PostgreSQL database.

Runs, curves, logs, people, settings and sweeps go over in one transaction; the file is only read,
and files of runs and data sets stay in LAB_HOME.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import sqlalchemy as sa

from lab.errors import ConfigError, DataError, NotFoundError, StateError
from lab.experiments.sweeps.study import make_tables
from lab.runs import schema
from lab.runs.database import Database, database_url
from lab.runs.status import ACTIVE

NOT_MOVED = ("alembic_version", "version_info", "lab_version", "schema_version", "owners")
"""Versions of the tables, which the new ones have of their own, and which processes live."""

ROWS = 2000
"""Rows that are copied at a time."""


def move_to_postgresql(url: str) -> dict[str, int]:
    """Copy the lab's file into the PostgreSQL database at `url`; returns the rows of each table.

    Raises ConfigError for a wrong address, NotFoundError without a file, StateError while a run
    trains, DataError when the database is not empty or does not hold the same in the end.
    """
    address = sa.make_url(database_url())
    if address.get_backend_name() != "sqlite":
        raise ConfigError("LAB_DATABASE_URL names a PostgreSQL database already; unset it to move.")
    if not url.startswith(("postgresql:", "postgres:", "postgresql+psycopg:")):
        raise ConfigError(
            f"The address is {url!r:.80}; it must look like "
            "postgresql://name:password@host/database."
        )
    file = Path(str(address.database))
    if not file.is_file():
        raise NotFoundError(f"There is no run store {file} to move.")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        source = Database(f"sqlite:///{_copy(file, Path(folder))}")  # in the format of now
        opened.callback(source.close)
        target = Database(url)
        opened.callback(target.close)
        return _move(source, target)


def _copy(file: Path, folder: Path) -> Path:
    copy = folder / file.name
    with (
        contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as old,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        old.backup(new)
    return copy


def _move(source: Database, target: Database) -> dict[str, int]:
    with source.read() as reading:
        active = schema.runs.c.status.in_(ACTIVE)
        busy = reading.execute(sa.select(schema.runs.c.id).where(active)).scalars().all()
        if busy:
            raise StateError(f"Run {busy[0]} trains. Pause it, end the lab's processes, then move.")
        names = [name for name in _tables(reading) if name not in NOT_MOVED]
        if "studies" in names:
            make_tables(target)
        with target.write() as writing:
            _require_empty(writing)
            counts = {name: _copy_table(name, reading, writing) for name in names}
            for name, count in counts.items():
                if count != (there := _count(writing, name)):
                    raise DataError(
                        f"{name} has {count:,} rows in the file and {there:,} in the database: "
                        "nothing was moved."
                    )
    return counts


def _tables(connection: sa.Connection) -> list[str]:
    """Each table behind those to which it refers."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table.name for table in found.sorted_tables]


def _require_empty(connection: sa.Connection) -> None:
    for name in _tables(connection):
        if name not in NOT_MOVED and (count := _count(connection, name)):
            raise DataError(
                f"The database is not empty: {name} has {count:,} rows. Make another one with "
                "createdb; nothing was moved."
            )


def _copy_table(name: str, reading: sa.Connection, writing: sa.Connection) -> int:
    known = schema.metadata.tables.get(name)
    old = known if known is not None else sa.Table(name, sa.MetaData(), autoload_with=reading)
    new = known if known is not None else sa.Table(name, sa.MetaData(), autoload_with=writing)
    count = 0
    rows = reading.execute(sa.select(old).execution_options(yield_per=ROWS)).mappings()
    for part in rows.partitions():
        writing.execute(new.insert(), [dict(row) for row in part])
        count += len(part)
    _continue_numbers(new, writing)
    return count


def _continue_numbers(table: sa.Table, connection: sa.Connection) -> None:
    """New rows get numbers behind those that were copied."""
    for column in table.primary_key:
        serial = sa.func.pg_get_serial_sequence(f'"{table.name}"', column.name)
        if connection.execute(sa.select(serial)).scalar() is not None:
            last = sa.select(sa.func.max(column)).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(serial, sa.func.coalesce(last, 1))))


def _count(connection: sa.Connection, name: str) -> int:
    query = sa.select(sa.func.count()).select_from(sa.table(name))
    return int(connection.execute(query).scalar() or 0)
