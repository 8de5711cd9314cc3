"""Opening the database so that threads and processes share it without surprises."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from lab.errors import ConfigError, DataError, DiskFullError, LabError, ResourceError
from lab.home import home_folder, lab_home, writing
from lab.runs import migrations, schema

BUSY_SECONDS = 30.0
"""How long a writer waits for another one, unless it has something better to do; the lab's own
transactions take milliseconds."""


def database_url() -> str:
    """LAB_DATABASE_URL, or the file lab.sqlite in LAB_HOME."""
    return os.environ.get("LAB_DATABASE_URL") or f"sqlite:///{lab_home() / 'lab.sqlite'}"


class Database:
    """One SQLAlchemy engine, used through `read` and `write`.

    SQLite runs in WAL mode: readers see a consistent state and never wait; writers take turns. A
    write takes its turn at the start (BEGIN IMMEDIATE), so that it cannot fail half-way because
    somebody else wrote after its first query.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            address = sa.make_url(url)
        except ArgumentError:
            raise ConfigError(
                f"LAB_DATABASE_URL is {url!r}; it must look like sqlite:////folder/lab.sqlite."
            ) from None
        self._sqlite = address.get_backend_name() == "sqlite"
        self._location = address.database if self._sqlite else address.render_as_string()
        if self._sqlite and address.database in (None, "", ":memory:"):
            raise ConfigError(
                f"LAB_DATABASE_URL is {url!r}; a database in memory cannot be shared by the "
                "trainer and the pages. Name a file, for example sqlite:////folder/lab.sqlite."
            )
        options: dict[str, Any] = {"pool_size": 8, "max_overflow": 24}
        if self._sqlite:
            options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        try:
            self.engine = sa.create_engine(address, **options)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"LAB_DATABASE_URL is {self._location!r} and its driver is not installed "
                f"({error}). Install it, or unset LAB_DATABASE_URL to use a file."
            ) from None
        if self._sqlite:
            event.listen(self.engine, "connect", _set_up_connection)
            event.listen(self.engine, "begin", _begin)
        self._reader = self.engine.execution_options(lab_reads=True)
        try:
            self._create_tables()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection with one consistent view of the database."""
        with self._translate_errors(), self._reader.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self, *, patience: float = BUSY_SECONDS) -> Iterator[sa.Connection]:
        """A connection in one transaction: committed at the end, rolled back on an exception.

        Raises ResourceError when another program has the database for longer than `patience`
        seconds.
        """
        engine = self.engine.execution_options(lab_patience=patience)
        with self._translate_errors(), engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    def _create_tables(self) -> None:
        # The lock: two processes that start together must not both create the tables, and the
        # switch to WAL does not wait for others by itself.
        lock = home_folder("locks") / "store.lock"
        with writing(lock), FileLock(lock), self._translate_errors():
            if self._sqlite:
                with contextlib.closing(self.engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode = WAL").close()
            with self.write() as connection:
                if not sa.inspect(connection).has_table(schema.runs.name):
                    schema.metadata.create_all(connection)
                    migrations.stamp(connection)
                    return
                try:
                    migrations.upgrade(connection)
                except ValueError as error:
                    raise DataError(
                        f"The run store {self._location} was written by a newer Epochlab (format "
                        f"{error}; this one knows up to {migrations.HEAD}). Update Epochlab, or "
                        "set LAB_HOME to another folder."
                    ) from None

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:  # the latter while a connection is set up
            cause = error.orig if isinstance(error, DBAPIError) else error
            translated = self._lab_error(str(cause).lower())
            if translated is None:
                raise
            raise translated from error

    def _lab_error(self, text: str) -> LabError | None:
        """The LabError for a driver's message `text` (lower case); None for an unknown one."""
        if "disk is full" in text or "disk i/o error" in text:
            return DiskFullError(
                f"The disk is full: the run store {self._location} could not be written. Free some "
                "space (the Runs and Data pages show what can be deleted) and try again."
            )
        if "locked" in text:
            return ResourceError(
                f"The run store {self._location} is locked by another program. Close what holds it "
                "open (a database viewer, a backup) and try again."
            )
        if "readonly" in text or "unable to open" in text:
            return ResourceError(
                f"The run store {self._location} cannot be written. Set LAB_HOME to a folder you "
                "can write to."
            )
        if "not a database" in text or "malformed" in text:
            return DataError(
                f"{self._location} is not a run store, or is damaged ({text}). Move it away, and "
                "the lab starts a new one."
            )
        return None


def _set_up_connection(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin
    cursor = connection.cursor()
    # NORMAL with WAL: a power cut may cost the last moments, never the database's integrity.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    read_only = options.get("lab_reads", False)
    patience = options.get("lab_patience", BUSY_SECONDS)
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {1000 * patience:.0f}").close()
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
