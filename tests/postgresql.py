"""A PostgreSQL server of the tests' own: on a socket, in a temporary folder, without fsync."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def programs() -> Path | None:
    """The folder with initdb and postgres; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    which = shutil.which("initdb")
    return Path(which).parent if which else found[-1].parent if found else None


class Server:
    """One running server; `url` is the address of one of its databases."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self._bin = bin_folder
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.user = "lab"
        as_other: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            names = [each.pw_name for each in pwd.getpwall()]
            other = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(folder, other.pw_uid, other.pw_gid)
            as_other = [f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"]
        # The server ends with the process that started it, however that ends.
        self._as = ["setpriv", *as_other, "--pdeathsig", "QUIT"]
        self._run(
            "initdb", "-U", self.user, "-E", "UTF8", "--no-locale", "--no-sync", "-A", "trust"
        )

    def _run(self, program: str, *options: str) -> None:
        command = [*self._as, str(self._bin / program), "-D", str(self._folder / "data"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)

    def start(self, *settings: str) -> None:
        options = [
            word for each in (*QUICK, *settings, "listen_addresses=") for word in ("-c", each)
        ]
        data = ("-D", str(self._folder / "data"), "-k", str(self._folder))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, str(self._bin / "postgres"), *data, *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        for _ in range(600):
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """By default at once, which loses what was committed last; SIGINT keeps it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self._folder}"

    def execute(self, *statements: str, database: str = "postgres") -> Sequence[sa.Row]:
        """Executes the statements, each by itself; returns the rows of the last one."""
        engine = sa.create_engine(
            self.url(database).replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.NullPool,
        )
        rows: Sequence[sa.Row] = ()
        with engine.connect() as connection:
            for statement in statements:
                result = connection.execute(sa.text(statement))
                rows = result.all() if result.returns_rows else ()
        return rows

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except sa.exc.OperationalError:
            return False
        return True

    def new_database(self) -> str:
        """The address of a new, empty database."""
        self._made += 1
        self.execute(f"CREATE DATABASE lab_{self._made}")
        return self.url(f"lab_{self._made}")

    def empty(self, database: str) -> None:
        """Deletes all rows of the lab's tables and of Optuna's: quicker than a new database."""
        versions = ("lab_version", "schema_version", "alembic_version", "version_info")
        rows = self.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database
        )
        names = [name for (name,) in rows if name not in versions]
        if names:
            truncate = f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"
            self.execute(truncate, database=database)


def serve() -> Iterator[Server]:
    """For a fixture: a server that runs until the tests end. Skips them where there is none, but
    fails with LAB_POSTGRESQL=required."""
    found = programs()
    if found is None:
        missing = "PostgreSQL is not installed (Debian's package is called postgresql)"
        if os.environ.get("LAB_POSTGRESQL") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    pytest.importorskip("psycopg", reason="psycopg is not installed (requirements-postgres.txt)")
    with tempfile.TemporaryDirectory(prefix="lab-postgresql-") as folder:
        server = Server(found, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
