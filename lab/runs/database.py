"""Opening the database so that threads, processes and machines share it without surprises."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lab.errors import ConfigError, DataError, DiskFullError, LabError, ResourceError
from lab.home import home_folder, lab_home, writing
from lab.installation import how_to_install_extra
from lab.runs import migrations, schema

BUSY_SECONDS = 30.0
"""How long a writer waits for another one, unless it has something better to do; the lab's own
transactions take milliseconds."""

CONNECT_SECONDS = 5
"""Until a server of which nothing is heard counts as away."""

P = ParamSpec("P")
R = TypeVar("R")

TRIES = 5
"""Of a transaction that the database breaks off."""


class BrokenOffError(ResourceError):
    """The database broke a transaction off, and nothing of it was kept: `retried` tries again."""


def retried(call: Callable[P, R]) -> Callable[P, R]:
    """Calls a function, which is one transaction, again when the database broke it off."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for failures in range(1, TRIES):
            try:
                return call(*args, **kwargs)
            except BrokenOffError:
                time.sleep(random.uniform(0.01, 0.05) * 2**failures)
        return call(*args, **kwargs)

    return wrapped


def database_url() -> str:
    """LAB_DATABASE_URL, or the file lab.sqlite in LAB_HOME."""
    url = os.environ.get("LAB_DATABASE_URL") or f"sqlite:///{lab_home() / 'lab.sqlite'}"
    return with_driver(url)


def with_driver(url: str) -> str:
    """Returns the address with the one driver of PostgreSQL that the lab uses."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


class Database:
    """One SQLAlchemy engine, used through `read` and `write`.

    Readers see a consistent state and never wait; writers take turns. A write takes its turn at the
    start, so that it cannot fail half-way because somebody else wrote after its first query: in
    SQLite, which runs in WAL mode, by BEGIN IMMEDIATE, in PostgreSQL by an advisory lock.

    PostgreSQL also lets those write at the same time who say `alone=False`: they change one run,
    and lock its row first (`lock_run`). They wait for nothing more while they hold it, so nobody
    waits in a circle.
    """

    def __init__(self, url: str) -> None:
        self.url = url = with_driver(url)
        try:
            address = sa.make_url(url)
        except (ArgumentError, ValueError):
            shown = re.sub(r"//[^/]*@", "//***@", url)  # without a password
            raise ConfigError(
                f"LAB_DATABASE_URL is {shown!r}; it must look like sqlite:////folder/lab.sqlite or "
                "postgresql://name:password@host/database."
            ) from None
        self._sqlite = address.get_backend_name() == "sqlite"
        self._location = address.database if self._sqlite else address.render_as_string()
        if not self._sqlite and address.drivername != "postgresql+psycopg":
            raise ConfigError(
                f"LAB_DATABASE_URL is {self._location!r}; the lab keeps its runs in SQLite "
                "(sqlite:////folder/lab.sqlite) or in PostgreSQL "
                "(postgresql://name:password@host/database)."
            )
        if self._sqlite and address.database in (None, "", ":memory:"):
            raise ConfigError(
                f"LAB_DATABASE_URL is {url!r}; a database in memory cannot be shared by the "
                "trainer and the pages. Name a file, for example sqlite:////folder/lab.sqlite."
            )
        try:
            self.engine = sa.create_engine(address, **engine_options(url))
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"LAB_DATABASE_URL is {self._location!r} and its driver is not installed "
                f"({error}). Run {how_to_install_extra('postgres')}, or unset LAB_DATABASE_URL to "
                "use a file."
            ) from None
        if self._sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
            self._reader = self.engine.execution_options(lab_reads=True)
        else:
            event.listen(self.engine, "connect", _set_up_postgresql)
            self._reader = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        try:
            self._create_tables()
        except BaseException:
            self.close()
            raise

    @property
    def clock(self) -> sa.ColumnElement[float]:
        """The database's time of day, in seconds since 1970."""
        if self._sqlite:
            return (sa.func.julianday("now") - 2440587.5) * 86400.0
        return sa.func.date_part("epoch", sa.func.clock_timestamp())

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection with one consistent view of the database."""
        with self._translate_errors(), self._reader.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(
        self, *, alone: bool = True, patience: float = BUSY_SECONDS
    ) -> Iterator[sa.Connection]:
        """A connection in one transaction: committed at the end, rolled back on an exception.

        `alone`: no other one of these runs at the same time. Raises ResourceError when another
        program has the database for longer than `patience` seconds.
        """
        engine = self.engine.execution_options(lab_patience=patience)
        with self._translate_errors() as state, engine.begin() as connection:
            if not self._sqlite:
                wait = f"SELECT set_config('lock_timeout', '{1000 * patience:.0f}ms', true)"
                turn = f", pg_advisory_xact_lock({_key('write')})" if alone else ""
                connection.exec_driver_sql(wait + turn)
            yield connection
            state.is_committing = True

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """The right to do what `name` says, for one at a time of all processes and machines."""
        if self._sqlite:
            lock = home_folder("locks") / f"{name}.lock"
            with writing(lock), FileLock(lock):
                yield
        else:
            with self._translate_errors(), self.engine.begin() as connection:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_key(name)})")
                # That this connection is idle meanwhile is no sign of a machine that went to sleep.
                idle = "SET LOCAL idle_in_transaction_session_timeout = '10min'"
                connection.exec_driver_sql(idle)
                yield

    def close(self) -> None:
        self.engine.dispose()

    def _create_tables(self) -> None:
        # Two processes that start together must not both create the tables, and the switch to WAL
        # does not wait for others by itself.
        with self.turn("store"), self._translate_errors():
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
    def _translate_errors(self) -> Iterator[_Progress]:
        state = _Progress()
        try:
            yield state
        except PoolTimeoutError as error:
            raise ResourceError(
                f"The run store {self._location} is busy: all connections of this process are in "
                "use. Try again in a moment."
            ) from error
        except (DBAPIError, sqlite3.Error) as error:  # the latter while a connection is set up
            cause = error.orig if isinstance(error, DBAPIError) else error
            if self._sqlite:
                translated = self._sqlite_error(str(cause).lower())
            else:
                translated = self._postgresql_error(
                    str(cause), getattr(cause, "sqlstate", None) or "", state
                )
            if translated is None:
                raise
            raise translated from error

    def _sqlite_error(self, text: str) -> LabError | None:
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

    def _postgresql_error(self, text: str, code: str, state: _Progress) -> LabError | None:
        """The LabError for a driver's message and SQLSTATE, which it lacks where no connection
        could be made; None for an unknown one."""
        told = f"{code} {text}"
        known = (s for p, s in _SENTENCES if re.search(p, told, re.IGNORECASE | re.DOTALL))
        if (sentence := next(known, None)) is None:
            return None
        message = sentence.format(where=f"The run store {self._location}")
        if sentence in (_DEADLOCK, _LOST) and not state.is_committing:
            return BrokenOffError(message)
        if sentence == _LOST:
            message += " Whether the last change was kept is not known; look before you repeat it."
        # A full disk of the server is no DiskFullError, which is about LAB_HOME: there is room for
        # what waits.
        return ResourceError(message)


class _Progress:
    """How far a transaction is."""

    is_committing = False


_DEADLOCK = (
    "{where} broke a change off, since another program changed the same things at the same time. "
    "Try again."
)
_LOST = "{where} was lost: the connection to the server broke. Try again in a moment."
_SENTENCES = (
    ("^(40P01|40001) ", _DEADLOCK),
    (
        "^55P03 ",
        "{where} is locked by another program. Close what holds its tables (a database viewer, a "
        "backup) and try again.",
    ),
    (
        "^(53100|58030) |no space left",
        "{where} cannot be written: the disk of the database server is full, or fails. Free some "
        "space there.",
    ),
    (
        "^53300 |too many clients|remaining connection slots",
        "{where} has no connection free. Raise max_connections of the server, or run fewer "
        "processes.",
    ),
    (
        "^28P01 |password authentication failed|no password supplied",
        "{where} refuses the password. Correct it in LAB_DATABASE_URL.",
    ),
    (
        '^28000 |no pg_hba.conf entry|role "[^"]*" does not exist',
        "{where} refuses this user or this machine. Check the name in LAB_DATABASE_URL, and the "
        "server's pg_hba.conf.",
    ),
    (
        '^3D000 |database "[^"]*" does not exist',
        "{where} is not there: the server knows no such database. Make it with createdb, or "
        "correct LAB_DATABASE_URL.",
    ),
    (
        "^42501 ",
        "{where} does not let this user change its tables. Make the user the owner of the "
        "database.",
    ),
    ("^25006 ", "{where} takes no changes: the server is a read-only copy of another one."),
    (
        "failed to resolve|could not translate host|name or service not known",
        "{where} cannot be reached: no machine of that name is known. Correct LAB_DATABASE_URL, or "
        "mend the network.",
    ),
    # Before "lost": what is refused or not answered never was a connection.
    (
        "^57P03 |connection (failed|is bad|timeout)|connection to server (at|on)|timeout expired",
        "{where} cannot be reached: no database server answers there. Start it, or correct "
        "LAB_DATABASE_URL.",
    ),
    (
        "^(08...|57P01|57P02|57P05|25P03) |server closed the connection|consuming input failed"
        "|sending query failed|terminating connection|SSL connection has been"
        "|connection (is|already) (lost|closed)",
        _LOST,
    ),
)
"""Of PostgreSQL: a pattern of "SQLSTATE message", and the sentence for a person."""


def engine_options(url: str) -> dict[str, Any]:
    """Returns the options with which SQLAlchemy opens this database, for whoever does so besides
    the run store."""
    if url.startswith("sqlite"):
        file = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        return {"pool_size": 8, "max_overflow": 24, "connect_args": file}
    # A server on a machine that vanished is noticed within half a minute.
    given = sa.make_url(url).query
    connect: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
        "client_encoding": "utf8",
        "fallback_application_name": "epochlab",
    }
    return {
        "pool_size": 4,
        "max_overflow": 12,
        "pool_pre_ping": True,  # the server may have been restarted since the connection was made
        "connect_args": {name: value for name, value in connect.items() if name not in given},
    }


def lock_run(connection: sa.Connection, run_id: str) -> None:
    """Wait until nobody else changes the run, and keep others from it until the transaction's end.
    In SQLite writers take turns anyway."""
    row = sa.select(schema.runs.c.id).where(schema.runs.c.id == run_id)
    if connection.dialect.name != "sqlite":
        connection.execute(row.with_for_update(key_share=True))


def upsert(
    connection: sa.Connection, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Insert the row with that primary key, or bring it up to date."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values(**key, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def _key(name: str) -> int:
    """The number of an advisory lock; others who use the database have numbers of their own."""
    return 0x5452_4149_4E00_0000 + int.from_bytes(name.encode()[:3])


def _set_up_postgresql(connection: Any, _record: object) -> None:
    from psycopg.adapt import Dumper

    class FloatDumper(Dumper):
        """NaN as NULL, as SQLite keeps it: a column of metrics then sorts alike in both."""

        oid = 701

        def dump(self, obj: float) -> bytes | None:
            return None if math.isnan(obj) else repr(obj).encode()

    connection.adapters.register_dumper(float, FloatDumper)
    with connection.cursor() as cursor:
        # A machine that goes to sleep within a transaction must not keep the others waiting.
        cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
    connection.commit()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    cursor = connection.cursor()
    # NORMAL with WAL: a power cut may cost the last moments, never the database's integrity.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    read_only = options.get("lab_reads", False)
    patience = options.get("lab_patience", BUSY_SECONDS)
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {1000 * patience:.0f}").close()
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
