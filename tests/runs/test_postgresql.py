"""What is PostgreSQL's own: its errors as sentences, deadlocks, older tables, several servers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks import shared_queue
from lab.errors import ConfigError, DiskFullError, ResourceError
from lab.runs import database as database_module
from lab.runs import migrations, schema
from lab.runs.database import BrokenOffError, Database, retried
from lab.runs.queue import run_in_foreground
from lab.runs.store import RunRow, Store, close_stores, store

from ..postgresql import Server
from .fakes import CONFIG, FakeEngine, ended, epoch, started, step
from .served import HELD_AT
from .test_migrations import place
from .test_writing import until


@pytest.fixture(autouse=True)
def url(home: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store."""
    postgresql.empty("postgres")
    monkeypatch.setenv("LAB_DATABASE_URL", postgresql.url("postgres"))
    return postgresql.url("postgres")


# --- errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("/postgres?", "/nothing?"), "knows no such database. Make it with createdb"),
        (("lab@", "nobody@"), "refuses this user or this machine"),
        (("?host=", "?host=/none"), "no database server answers there. Start it"),
        (("@/postgres", "@no.such.host.invalid/postgres?x"), "no machine of that name is known"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_sentence(
    url: str, change: tuple[str, str], sentence: str
) -> None:
    address = url.replace(*change)
    if "invalid" in address:
        address = address.partition("?")[0]
    with pytest.raises(ResourceError, match=sentence):
        Database(address)


def test_a_password_is_refused_and_never_shown(postgresql: Server, url: str) -> None:
    hba = Path(url.partition("host=")[2]) / "data" / "pg_hba.conf"
    before = hba.read_text()
    postgresql.execute("CREATE USER mina PASSWORD 'right'")
    try:
        hba.write_text(f"local all mina scram-sha-256\n{before}")
        postgresql.execute("SELECT pg_reload_conf()")
        with pytest.raises(ResourceError, match="refuses the password") as caught:
            until(lambda: Database(url.replace("lab@", "mina:wrong@")).close() is not None)
        assert "wrong" not in str(caught.value)
    finally:
        hba.write_text(before)
        postgresql.execute("SELECT pg_reload_conf()", "DROP USER mina")


CODES = {
    "40P01": ("broke a change off", BrokenOffError),
    "40001": ("broke a change off", BrokenOffError),
    "53100": ("the disk of the database server is full", ResourceError),
    "53300": ("has no connection free", ResourceError),
    "42501": ("does not let this user change its tables", ResourceError),
    "25006": ("is a read-only copy", ResourceError),
    "57P01": ("the connection to the server broke", BrokenOffError),
    "55P03": ("is locked by another program", ResourceError),
}


@pytest.mark.parametrize("code", CODES)
def test_each_error_is_one_sentence(code: str) -> None:
    sentence, kind = CODES[code]
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'oh' USING ERRCODE = '{code}'; END $$"
    with (
        pytest.raises(ResourceError, match=sentence) as caught,
        store().database.write() as connection,
    ):
        connection.exec_driver_sql(raising)
    assert type(caught.value) is kind
    assert not isinstance(caught.value, DiskFullError)  # the disk of the lab's own folder has room


def test_another_program_that_holds_the_tables_is_waited_for_no_longer_than_asked() -> None:
    runs = store()
    run_id = runs.create_run(CONFIG, status="preparing")
    with runs.database.engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE runs IN EXCLUSIVE MODE")
        assert [row.id for row in runs.runs()] == [run_id]  # readers never wait
        with pytest.raises(ResourceError, match="is locked by another program"):
            runs.record(run_id, [started()], patience=0.01)
    runs.record(run_id, [started()], patience=0.01)


def test_a_connection_that_broke_is_made_anew(postgresql: Server) -> None:
    runs = store()
    run_id = runs.create_run(CONFIG)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    postgresql.execute(cut)
    assert runs.run(run_id).status == "queued"
    postgresql.execute(cut)
    runs.rename(run_id, "again")
    assert runs.run(run_id).name == "again"


def test_a_server_that_is_away_ends_no_run(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.runs.recorder.RETRY_SECONDS", 0.05)
    runs, engine, rows = store(), FakeEngine(hold_at=8), []
    run_id = runs.create_run(CONFIG)
    thread = threading.Thread(
        target=lambda: rows.append(
            run_in_foreground(run_id, engine=engine, resolve=lambda _: "cpu", runs=runs)
        )
    )
    thread.start()
    assert engine.held.wait(60)
    until(lambda: runs.run(run_id).step == 7)
    postgresql.stop(signal.SIGINT)
    try:
        with pytest.raises(ResourceError, match="no database server answers there"):
            runs.run(run_id)
        engine.release.set()
        assert engine.finished_cleanly.wait(60)  # trained to its end meanwhile
    finally:
        postgresql.start()
    thread.join(30)
    assert [row.status for row in rows] == ["completed"]
    assert list(runs.steps(run_id).step) == list(range(1, 11))
    assert [line.text for line in runs.log(run_id)].count("completed after 10 steps") == 1


# --- writers at the same time ---------------------------------------------------------------------
def test_a_deadlock_with_another_program_is_tried_again(postgresql: Server) -> None:
    """Two transactions want each other's run: PostgreSQL breaks one off, and the lab's tries again
    if it is that one."""
    postgresql.execute("ALTER SYSTEM SET deadlock_timeout = '10ms'", "SELECT pg_reload_conf()")
    runs = store()
    a, b = (runs.create_run(CONFIG) for _ in range(2))
    broken: list[str] = []

    @retried
    def ours() -> None:
        try:
            with runs.database.write() as connection:
                for run_id in (a, b):
                    connection.execute(
                        schema.runs.update().where(schema.runs.c.id == run_id).values(tag="ours")
                    )
                    has_first.set()
                    wanted.wait(60)
        except BrokenOffError:
            broken.append("ours")
            raise

    has_first, wanted = threading.Event(), threading.Event()
    thread = threading.Thread(target=ours)
    with runs.database.engine.connect() as other, other.begin() as theirs:
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '10s'")  # so ours is broken off
        other.exec_driver_sql(f"UPDATE runs SET tag = 'theirs' WHERE id = '{b}'")
        thread.start()
        assert has_first.wait(60)
        blocked = threading.Thread(
            target=lambda: other.exec_driver_sql(f"UPDATE runs SET tag = 'theirs' WHERE id = '{a}'")
        )
        blocked.start()
        until(lambda: "Lock" in str(postgresql.execute(WAITING)))
        wanted.set()
        blocked.join(60)
        theirs.commit()
    thread.join(60)
    assert broken == ["ours"]
    assert {row.tag for row in runs.runs()} == {"ours"}
    postgresql.execute("ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()")


WAITING = "SELECT wait_event_type FROM pg_stat_activity WHERE query LIKE 'UPDATE runs%'"


def test_what_is_broken_off_again_and_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module.time, "sleep", lambda _: None)
    tried = []

    @retried
    def call() -> None:
        tried.append(1)
        raise BrokenOffError("again")

    with pytest.raises(BrokenOffError):
        call()
    assert len(tried) == database_module.TRIES


def test_servers_change_one_queue_and_one_is_killed() -> None:
    """The short form of benchmarks/shared_queue.py."""
    figures = shared_queue.measure(count=2, changes=160, threads=4, lease=1.5)
    assert figures["changes"] == 160
    assert figures["claim"] > 0


@contextlib.contextmanager
def served(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that trains, with a LAB_HOME of its own (tests/runs/served.py)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.served"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_HOME": str(home)},
    )
    try:
        assert process.stdout is not None
        assert "owner" in json.loads(process.stdout.readline())
        yield process
    finally:
        process.kill()
        process.communicate()


def let_train(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    print("go on", file=process.stdin, flush=True)


@pytest.mark.parametrize("killed", [0, 1])
def test_of_two_servers_either_may_be_killed(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trains a run; the dead one's is interrupted once, and goes on where its files are."""
    homes = [tmp_path / "home-0", tmp_path / "home-1"]
    ids: list[str] = []
    runs = store()
    for home in homes:  # as a command line on each machine
        monkeypatch.setenv("LAB_HOME", str(home))
        ids.append(runs.create_run(CONFIG))

    def row(number: int) -> RunRow:
        return runs.run(ids[number])

    living = 1 - killed
    with served(homes[living]) as survivor:
        with served(homes[killed]) as victim:
            until(lambda: all(row(n).step == HELD_AT - 1 for n in (0, 1)), seconds=60)
            victim.kill()  # SIGKILL
            until(lambda: row(killed).status == "interrupted", seconds=60)
            assert row(living).status == "running"
            assert list(runs.steps(ids[killed]).step) == list(range(1, HELD_AT))
        let_train(survivor)
        until(lambda: row(living).status == "completed", seconds=60)
        with served(homes[killed]) as again:
            assert row(killed).status == "interrupted"
            let_train(again)
            runs.enqueue(ids[killed])
            until(lambda: row(killed).status == "completed", seconds=60)
    for run_id in ids:
        assert list(runs.steps(run_id).step) == list(range(1, 11))
        assert list(runs.epochs(run_id).epoch) == [1, 2]
    lines = ["\n".join(line.text for line in runs.log(run_id)) for run_id in ids]
    assert lines[killed].count("Interrupted after step 7") == 1
    assert "nterrupted" not in lines[living]


def test_recording_runs_wait_neither_for_each_other_nor_for_the_queue() -> None:
    runs = store()
    one, other = (runs.create_run(CONFIG, status="preparing") for _ in range(2))
    with runs.database.write() as connection:  # the queue's turn, and a row of another run
        connection.execute(schema.runs.update().where(schema.runs.c.id == other).values(tag="x"))
        runs.record(one, [started(), step(1)], patience=0.05)
    assert len(runs.steps(one)) == 1


# --- older stores ---------------------------------------------------------------------------------
@pytest.fixture
def older(
    request: pytest.FixtureRequest,
    postgresql: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A store with the tables and rows of an earlier version; tests/runs/version_N.sql."""
    address = postgresql.new_database()
    monkeypatch.setenv("LAB_DATABASE_URL", address)
    file = sa.create_engine(f"sqlite:///{place(request.param, tmp_path / 'older')}")
    server = sa.create_engine(database_module.with_driver(address))
    tables = sa.MetaData()
    with file.connect() as source, server.begin() as target:
        tables.reflect(source)
        tables.create_all(target)
        for table in tables.sorted_tables:
            rows = [dict(row) for row in source.execute(sa.select(table)).mappings()]
            if rows:
                target.execute(table.insert(), rows)
        target.exec_driver_sql("SELECT setval('log_seq_seq', (SELECT max(seq) FROM log))")
    file.dispose()
    server.dispose()
    yield address
    close_stores()


@pytest.mark.parametrize("older", ["1", "2"], indirect=True)
def test_an_older_store_keeps_its_runs_and_gets_the_tables_of_a_new_one(
    older: str, postgresql: Server
) -> None:
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store(older))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(opened) == 3  # at once, and it was brought up once
    runs = opened[0]
    finished = runs.runs(status="completed")[0]
    assert (finished.test_accuracy, finished.test_looks) == (0.7, 1)
    assert len(runs.steps(finished.id)) == 10
    run_id = runs.runs(status=("stopped", "queued"))[0].id
    assert runs.claim(run_id, statuses=["stopped", "queued"])
    runs.record(run_id, [started(), *(step(n) for n in range(1, 11)), epoch(2), ended()])
    assert runs.run(run_id).status == "completed"
    new = store_of_now(postgresql)
    inspect_old, inspect_new = sa.inspect(runs.database.engine), sa.inspect(new.database.engine)
    for name in schema.metadata.tables:
        old_columns, new_columns = (
            {column["name"]: str(column["type"]) for column in inspector.get_columns(name)}
            for inspector in (inspect_old, inspect_new)
        )
        assert old_columns == new_columns, name
    with runs.database.read() as connection:
        assert migrations._current(connection) == migrations.HEAD
    for each in (*opened, new):
        each.close()


def store_of_now(postgresql: Server) -> Store:
    return Store(postgresql.new_database())


def test_a_metric_that_is_no_number_is_null_as_in_sqlite() -> None:
    runs = store()
    run_id = runs.create_run(CONFIG, status="preparing")
    runs.record(run_id, [started(), step(1, loss=float("nan")), step(2)])
    with runs.database.read() as connection:
        query = sa.text("SELECT count(*) FROM steps WHERE loss IS NULL")
        assert connection.execute(query).scalar() == 1


def test_a_url_names_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        monkeypatch.setenv("LAB_DATABASE_URL", f"{scheme}://host/lab")
        assert database_module.database_url() == "postgresql+psycopg://host/lab"
    with pytest.raises(ConfigError, match="keeps its runs in SQLite"):
        Database("postgresql+asyncpg://host/lab")
    with pytest.raises(ConfigError, match="must look like") as caught:
        Database("postgresql://lab:secret@host:port/lab")
    assert "secret" not in str(caught.value)


def test_the_clock_is_the_servers() -> None:
    runs = store()
    with runs.database.read() as connection:
        first, second = (
            connection.execute(sa.select(runs.database.clock)).scalar_one() for _ in range(2)
        )
    assert second > first  # not the time at which the transaction began
