import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lab.config import RunConfig
from lab.errors import ConfigError, DataError, NotFoundError, ResourceError
from lab.evaluate.compare import differing_settings
from lab.home import home_folder
from lab.runs import migrations, schema
from lab.runs.status import STATUSES, TRANSITIONS
from lab.runs.store import Store, close_stores, store
from lab.runs.worker import sweep
from lab.runs.writing import change_status
from lab.training.events import LogWritten

from .fakes import CONFIG, ended, epoch, started, step


def test_a_new_run_waits_in_line_with_its_settings(runs: Store) -> None:
    run_id = runs.create_run(CONFIG)
    row = runs.run(run_id)
    assert row.status == "queued"
    assert row.queue_position == 1
    assert row.config == CONFIG
    assert row.settings["epochs"] == 2
    assert row.name == "Simple CNN on Drawn cats and dogs"
    assert (row.dataset, row.architecture) == ("drawn-cats-dogs", "simple-cnn")
    assert abs((datetime.now(UTC) - row.created_at).total_seconds()) < 10
    assert row.started_at is None
    assert row.is_live
    assert not row.is_active
    assert row.best_epoch is None
    assert row.class_names == ()


def test_run_ids_sort_by_age_and_are_many_within_a_second(runs: Store) -> None:
    ids = [runs.create_run(CONFIG, status="completed") for _ in range(150)]
    assert len(set(ids)) == 150
    assert [r.id for r in runs.runs(order="oldest")] == ids
    assert runs.runs()[0].id == ids[-1]


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_name_has_1_to_80_characters(runs: Store, run_id: str, name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 80 characters"):
        runs.rename(run_id, name)


def test_a_run_is_renamed(runs: Store, run_id: str) -> None:
    runs.rename(run_id, "  손 글씨\n the second ")
    assert runs.run(run_id).name == "손 글씨 the second"
    assert runs.run(runs.create_run(CONFIG, name="Mine")).name == "Mine"


@pytest.mark.parametrize("run_id", ["r-none", "", "../../etc", "a'; DROP TABLE runs"])
def test_an_unknown_run_is_named(runs: Store, run_id: str) -> None:
    for action in (
        lambda: runs.run(run_id),
        lambda: runs.rename(run_id, "x"),
        lambda: runs.delete(run_id),
        lambda: runs.request(run_id, "stop"),
        lambda: runs.move(run_id, 1),
        lambda: runs.enqueue(run_id),
    ):
        with pytest.raises(NotFoundError, match="There is no run"):
            action()


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".."])
def test_a_run_id_from_a_url_cannot_leave_the_runs_folder(runs: Store, run_id: str) -> None:
    with pytest.raises(NotFoundError):
        runs.folder(run_id)


def test_runs_are_found_by_status_and_words(runs: Store) -> None:
    sign = CONFIG.changed(dataset="drawn-signs", architecture="sign-cnn")
    a = runs.create_run(CONFIG, name="ÄRGER 50% try", status="completed")
    b = runs.create_run(sign, name="Second", status="failed")
    c = runs.create_run(sign)
    assert {r.id for r in runs.runs()} == {a, b, c}
    assert [r.id for r in runs.runs(status="failed")] == [b]
    assert {r.id for r in runs.runs(status=("failed", "completed"))} == {a, b}
    assert runs.runs(status=()) == []
    assert [r.id for r in runs.runs(search="SECOND sign")] == [b]
    assert [r.id for r in runs.runs(search="50% ärger")] == [a]
    assert {r.id for r in runs.runs(search="sign-cnn")} == {b, c}
    assert runs.runs(search="fifty") == []
    assert runs.runs(search="_rger") == []
    assert [r.id for r in runs.runs(limit=2)] == [c, b]
    assert [r.id for r in runs.runs(search="sign-cnn", order="oldest", limit=1)] == [b]
    assert runs.runs(limit=0) == []


def test_runs_are_ordered(runs: Store) -> None:
    ids = []
    for accuracy, name in ((0.5, "b"), (0.9, "C"), (None, "a")):
        run_id = runs.create_run(CONFIG, name=name, status="preparing")
        if accuracy is not None:
            runs.record(run_id, [started(), step(1)])
            runs._update(run_id, best_val_accuracy=accuracy, test_accuracy=-accuracy)
        ids.append(run_id)
    low, high, none = ids
    assert [r.id for r in runs.runs(order="best_val_accuracy")] == [high, low, none]
    assert [r.id for r in runs.runs(order="test_accuracy")] == [low, high, none]
    assert [r.id for r in runs.runs(order="name")] == [none, low, high]
    assert [r.id for r in runs.runs(order="newest")] == [none, high, low]


def test_deleting_removes_rows_and_folder(runs: Store, run_id: str) -> None:
    runs.record(run_id, [started(), step(1), epoch(1), ended()])
    other = runs.create_run(CONFIG, status="preparing")
    runs.record(other, [started(), step(1)])
    folder = runs.folder(run_id)
    (folder / "best.safetensors").write_bytes(b"weights")
    runs.delete(run_id)
    assert runs.folder(run_id) == folder  # as a job that still works on it asks
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        runs.run(run_id)
    assert len(runs.steps(run_id)) == len(runs.epochs(run_id)) == len(runs.log(run_id)) == 0
    assert len(runs.steps(other)) == 1


class Killed(BaseException):
    """In place of kill -9: nothing behind it is done."""


def test_a_delete_that_is_killed_leaves_nothing_behind(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.record(run_id, [started(), step(1), epoch(1), ended()])
    weights = runs.folder(run_id) / "best.safetensors"
    weights.write_bytes(b"weights")
    another = home_folder("runs", "r-of-another-store")  # a LAB_DATABASE_URL of before, say
    (another / "best.safetensors").write_bytes(b"weights")

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("lab.runs.store.queue_order.renumber", killed)
        with pytest.raises(Killed):
            runs.delete(run_id)
    assert weights.read_bytes() == b"weights"  # the row is there, and so is the folder
    with monkeypatch.context() as patch:
        patch.setattr("lab.runs.store.shutil.rmtree", killed)
        with pytest.raises(Killed):
            runs.delete(run_id)
    with pytest.raises(NotFoundError):
        runs.run(run_id)
    assert len(list(home_folder("runs").iterdir())) == 2
    sweep(runs)
    assert list(home_folder("runs").iterdir()) == [another]
    assert (another / "best.safetensors").exists()


def test_a_delete_that_is_not_committed_keeps_the_folder(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.record(run_id, [started(), step(1), epoch(1), ended()])
    weights = runs.folder(run_id) / "best.safetensors"
    weights.write_bytes(b"weights")
    real = runs.database.write

    @contextlib.contextmanager
    def locked(**how: float) -> Iterator[sa.Connection]:
        with real(**how) as connection:
            yield connection
            raise ResourceError("locked")  # at the commit

    with monkeypatch.context() as patch:
        patch.setattr(runs.database, "write", locked)
        with pytest.raises(ResourceError):
            runs.delete(run_id)
    assert runs.run(run_id).status == "completed"
    assert weights.read_bytes() == b"weights"
    assert [path.name for path in home_folder("runs").iterdir()] == [run_id]


@pytest.mark.parametrize("status", ["preparing", "running"])
def test_an_active_run_cannot_be_deleted(runs: Store, status: str) -> None:
    run_id = runs.create_run(CONFIG, status=status)
    with pytest.raises(ConfigError, match=f"is {status}; stop it first"):
        runs.delete(run_id)
    assert runs.run(run_id).status == status


def test_only_the_transitions_of_the_table_are_possible(runs: Store) -> None:
    for before, after in itertools.product(STATUSES, STATUSES):
        run_id = runs.create_run(CONFIG, status=before)
        if after in TRANSITIONS[before]:
            with runs.database.write() as connection:
                change_status(connection, run_id, after, message="because")
            assert (runs.run(run_id).status, runs.run(run_id).message) == (after, "because")
        else:
            with (
                pytest.raises(ConfigError, match=f"Run {run_id} is {before}; only "),
                runs.database.write() as connection,
            ):
                change_status(connection, run_id, after)
            assert runs.run(run_id).status == before


@pytest.mark.parametrize(
    ("status", "what", "sentence"),
    [
        ("completed", "stop", "is completed; only queued, preparing, running or paused runs can"),
        ("completed", "finish", "is completed; only running runs can be finished"),
        ("queued", "pause", "is queued; only preparing or running runs can be paused"),
        ("preparing", "finish", "is preparing; only running runs can be finished"),
        ("stopped", "pause", "is stopped; only preparing or running runs can be paused"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    runs: Store, status: str, what: str, sentence: str
) -> None:
    run_id = runs.create_run(CONFIG, status=status)
    with pytest.raises(ConfigError, match=sentence):
        runs.request(run_id, what)  # type: ignore[arg-type]


def test_a_wish_is_kept_until_the_run_ends(runs: Store, run_id: str) -> None:
    runs.record(run_id, [started()])
    runs.request(run_id, "pause")
    runs.request(run_id, "stop")
    assert runs.run(run_id).requested == "stop"
    assert runs.record(run_id, [step(1)]) == "stop"
    runs.record(run_id, [ended("stopped", steps=1)])
    assert runs.run(run_id).requested is None


def test_a_run_that_nobody_works_on_is_stopped_at_once(runs: Store) -> None:
    for status in ("queued", "paused"):
        run_id = runs.create_run(CONFIG, status=status)
        runs.request(run_id, "stop")
        row = runs.run(run_id)
        assert row.status == "stopped"
        assert "can be resumed" in row.message
        assert row.queue_position is None


def test_the_line_keeps_its_order_without_holes(runs: Store) -> None:
    a, b, c, d = (runs.create_run(CONFIG, name=n) for n in "abcd")

    def queued() -> str:
        rows = runs.runs(status="queued", order="queue")
        assert [r.queue_position for r in rows] == list(range(1, len(rows) + 1))
        assert [r.id for r in runs.queued()] == [r.id for r in rows]
        return "".join(r.name for r in rows)

    assert queued() == "abcd"
    runs.move(d, -1)
    assert queued() == "abdc"
    runs.move(a, 2)
    assert queued() == "bdac"
    runs.move(c, -99)
    assert queued() == "cbda"
    runs.move(c, 99)
    assert queued() == "bdac"
    runs.remove(d)
    assert queued() == "bac"
    assert runs.run(d).status == "stopped"
    assert runs.claim(b)
    assert not runs.claim(b)
    assert queued() == "ac"
    runs.enqueue(d)
    assert queued() == "dac"
    runs.delete(a)
    assert queued() == "dc"
    for action in (runs.remove, lambda r: runs.move(r, 1)):
        with pytest.raises(ConfigError, match="only queued runs can be"):
            action(b)
    with pytest.raises(ConfigError, match="only paused, stopped, interrupted or failed runs can"):
        runs.enqueue(b)


def test_a_resumed_run_gets_its_device_anew(runs: Store) -> None:
    auto = runs.create_run(RunConfig())
    cpu = runs.create_run(CONFIG)
    assert [r.id for r in runs.queued("")] == [auto]
    assert [r.id for r in runs.queued("cpu")] == [cpu]
    runs.set_device(auto, "cuda")
    runs.remove(auto)
    runs.enqueue(auto)
    assert runs.run(auto).device == ""


def test_only_one_of_many_claims_a_run(runs: Store) -> None:
    waiting = [runs.create_run(CONFIG) for _ in range(10)]
    won: list[str] = []
    ready = threading.Barrier(4)

    def claim_all() -> None:
        ready.wait()
        won.extend(run_id for run_id in waiting if runs.claim(run_id))

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(waiting)
    assert runs.run(won[0]).status == "preparing"
    assert runs.run(won[0]).started_at is not None


def test_two_processes_write_at_the_same_time(runs: Store, home: Path) -> None:
    script = """
import sys
from lab.runs.store import store
from tests.runs.fakes import CONFIG, ended, started, step
runs = store()
run_id = runs.create_run(CONFIG, name="theirs", status="preparing")
print("ready", flush=True)
sys.stdin.readline()
runs.record(run_id, [started(per_epoch=500)])
for number in range(1, 200):
    runs.record(run_id, [step(number, per_epoch=500)])
runs.record(run_id, [ended("stopped", steps=199)])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        ours = runs.create_run(CONFIG, name="ours", status="preparing")
        runs.record(ours, [started(per_epoch=500)])
        process.stdin.write("go\n")
        process.stdin.flush()
        for number in range(1, 200):
            runs.record(ours, [step(number, per_epoch=500)])
        assert process.wait(30) == 0
    theirs = runs.runs(search="theirs")[0]
    assert theirs.status == "stopped"
    for run_id in (ours, theirs.id):
        np.testing.assert_array_equal(runs.steps(run_id).step, np.arange(1, 200))


def test_two_processes_open_a_new_store_at_the_same_time(home: Path) -> None:
    script = "from lab.runs.store import store; print(len(store().runs()))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate(timeout=60)[0].strip() for p in processes] == ["0", "0"]


@pytest.mark.sqlite
def test_the_store_is_opened_once_for_each_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store()
    assert store() is first
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "other"))
    assert store() is not first
    monkeypatch.setenv("LAB_DATABASE_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    elsewhere = store()
    run_id = elsewhere.create_run(CONFIG)
    assert (tmp_path / "elsewhere.db").exists()
    close_stores()
    assert store() is not elsewhere
    assert store().run(run_id).id == run_id


@pytest.mark.sqlite
def test_the_database_is_set_up_for_sharing(runs: Store) -> None:
    with runs.database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_a_newer_format_is_refused(runs: Store) -> None:
    with runs.database.write() as connection:
        connection.execute(schema.version.update().values(version_num="99"))
    try:
        with pytest.raises(DataError, match=r"newer Epochlab \(format 99.*Update Epochlab"):
            Store(runs.url)
    finally:  # other tests may have the same database
        with runs.database.write() as connection:
            connection.execute(schema.version.update().values(version_num=migrations.HEAD))


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "lab.sqlite").write_text("something else " * 100)
    with pytest.raises(DataError, match="is not a run store"):
        store()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "a database in memory cannot be shared"),
        ("nonsense", "must look like sqlite:"),
        ("cockroach://host/db", "keeps its runs in SQLite .* or in PostgreSQL"),
        ("mysql://host/db", "keeps its runs in SQLite .* or in PostgreSQL"),
    ],
)
def test_a_wrong_database_url_is_explained(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Store(url)


@pytest.mark.sqlite
def test_a_full_disk_is_one_sentence(runs: Store) -> None:
    with runs.database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def no_growth(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(runs.database.engine, "begin", no_growth)

    def fill() -> None:
        for _ in range(1000):
            runs.create_run(CONFIG)

    with pytest.raises(ResourceError, match="The disk is full: the run store"):
        fill()


@pytest.mark.sqlite
def test_a_store_that_another_program_holds_is_one_sentence(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    impatient = Store(runs.url)
    write = impatient.database.write
    monkeypatch.setattr(impatient.database, "write", lambda: write(patience=0.01))
    viewer = sqlite3.connect(runs.url.removeprefix("sqlite:///"))
    viewer.execute("BEGIN IMMEDIATE")
    try:
        assert impatient.runs() == []  # readers never wait
        with pytest.raises(ResourceError, match="locked by another program"):
            impatient.create_run(CONFIG)
    finally:
        viewer.close()
        impatient.close()


def test_settings_of_another_version_spoil_one_run_only(runs: Store, run_id: str) -> None:
    runs._update(run_id, config='{"dataset": "x", "warp_factor": 9}')
    fine = runs.create_run(CONFIG)
    rows = {row.id: row for row in runs.runs()}
    assert rows[fine].config == CONFIG
    assert rows[run_id].settings["warp_factor"] == 9
    with pytest.raises(ConfigError, match="warp_factor"):
        _ = rows[run_id].config


def test_a_knob_that_came_after_a_run_is_no_difference_from_later_runs(
    runs: Store, run_id: str
) -> None:
    written = {k: v for k, v in runs.run(run_id).settings.items() if k != "workers"}
    runs._update(run_id, config=json.dumps(written))
    later = runs.create_run(runs.run(run_id).config)
    both = [runs.run(each).settings for each in (run_id, later)]
    assert both[0]["workers"] == 1
    assert differing_settings(both) == {}


def test_tags_label_runs_and_find_them(runs: Store) -> None:
    a, b, c = (runs.create_run(CONFIG) for _ in range(3))
    assert runs.run(a).tag == ""
    runs.set_tag([a, c, "r-none"], "  Übung\n 3 ")
    assert [runs.run(run_id).tag for run_id in (a, b, c)] == ["Übung 3", "", "Übung 3"]
    assert {r.id for r in runs.runs(search="übung")} == {a, c}
    runs.set_tag([a], "")
    assert {r.id for r in runs.runs(search="übung")} == {c}
    with pytest.raises(ConfigError, match="has 0 to 40 characters"):
        runs.set_tag([a], "x" * 41)


def test_names_that_a_person_typed_are_text_without_commands(runs: Store) -> None:
    run_id = runs.create_run(CONFIG, name="my run [/done] ![x](http://a)")
    assert runs.run(run_id).name == "my run [/done] ![x](http://a)"
    for refused in ("\x1b[31mred", "a\u202eb", "\ud800"):
        with pytest.raises(ConfigError, match="control character"):
            runs.rename(run_id, refused)
        with pytest.raises(ConfigError, match="control character"):
            runs.set_tag([run_id], refused)
        with pytest.raises(ConfigError, match="control character"):
            runs.set_notes(run_id, f"line\n{refused}")
    with runs.database.write() as connection:  # as an earlier version took it
        connection.execute(schema.runs.update().values(name="\x1b[31mred"))
    assert runs.run(run_id).name == "\ufffd[31mred"


@pytest.mark.sqlite
def test_a_read_only_home_is_one_sentence(runs: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("lab.runs.database.FileLock.acquire", refuse)
    with pytest.raises(ResourceError, match=r"Read-only file system.*Set LAB_HOME to a folder"):
        Store(runs.url)


@pytest.mark.sqlite
@pytest.mark.parametrize("created_at", [1e300, -1e9, 253402300799.0, "soon"])
def test_a_time_that_no_clock_shows_spoils_no_list(
    runs: Store, run_id: str, created_at: object
) -> None:
    runs._update(run_id, ended_at=1e300)
    with runs.database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET created_at = ?", (created_at,))
    row = runs.runs()[0]
    assert (row.created_at.year, row.ended_at) == (1970, None)


def test_a_clock_that_is_set_back_changes_no_order(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    runs.record(run_id, [started(), step(1), LogWritten("info", "first")])
    now -= 86_400
    runs.record(run_id, [step(2), LogWritten("info", "second")])
    queued = [runs.create_run(CONFIG) for _ in range(2)]
    now -= 86_400
    queued.append(runs.create_run(CONFIG))
    runs.record(run_id, [ended("stopped", steps=2)])
    row = runs.run(run_id)
    assert (row.step, row.seconds) == (2, 0.02)  # durations are not the clock's
    assert row.started_at is not None
    assert row.ended_at is not None
    assert row.ended_at >= row.started_at
    assert [line.text for line in runs.log(run_id)][:2] == ["first", "second"]
    assert [r.id for r in runs.queued()] == queued


@pytest.mark.parametrize("damage", ["{", "[1]", "x", '{"a": 1}'])
def test_one_damaged_row_does_not_take_the_list_with_it(
    runs: Store, run_id: str, damage: str
) -> None:
    other = runs.create_run(CONFIG)
    with runs.database.write() as connection:
        damaged = schema.runs.update().where(schema.runs.c.id == run_id)
        connection.execute(damaged.values(config=damage, class_names=damage, rate_changes=damage))
    rows = {row.id: row for row in runs.runs()}
    assert rows[other].config == CONFIG
    assert rows[run_id].rate_changes == ()
    with pytest.raises(ConfigError):
        _ = rows[run_id].config
