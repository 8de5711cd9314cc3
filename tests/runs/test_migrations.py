"""Stores that earlier versions wrote, opened by this one."""

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from lab.metrics import METRICS
from lab.runs import migrations, schema
from lab.runs.store import Store, close_stores, store

from .fakes import CONFIG, ended, epoch, started, step

pytestmark = pytest.mark.sqlite  # tests/runs/test_postgresql.py has those of PostgreSQL


def place(version: str, home: Path) -> Path:
    """A store as that version wrote it: a dump made with its code."""
    home.mkdir(parents=True)
    path = home / "lab.sqlite"
    dump = Path(__file__).with_name(f"version_{version}.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump)
        connection.execute("PRAGMA journal_mode = WAL")
    return path


@pytest.fixture
def version_1(lab_home: Path) -> Path:
    """One finished run and one queued; it knew neither who asked for a run nor sweeps."""
    return place("1", lab_home)


@pytest.fixture
def version_2(lab_home: Path) -> Path:
    """One finished run, one stopped after 7 steps, one queued; the last version before Alembic."""
    return place("2", lab_home)


def columns(path: Path, table: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def version_of(path: Path) -> tuple[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((current,),) = connection.execute("SELECT version_num FROM lab_version")
        ((first,),) = connection.execute("SELECT version FROM schema_version")
        return current, first


def test_a_store_of_version_1_keeps_its_runs(version_1: Path) -> None:
    assert "origin" not in columns(version_1, "runs")
    runs = store()
    waiting, finished = runs.runs()
    assert finished.name == "손 글씨 from version 1"
    assert (finished.status, finished.origin, finished.test_accuracy) == ("completed", "", 0.7)
    assert len(runs.steps(finished.id)) == 10
    assert len(runs.epochs(finished.id)) == 2
    assert [line.text for line in runs.log(waiting.id)] == ["It's waiting"]
    assert (waiting.queue_position, waiting.config.seed) == (1, 7)
    new = runs.create_run(CONFIG, status="preparing", origin="sweep:s:0")
    runs.record(new, [started(), step(1), ended(steps=1)])
    assert runs.runs(origin="sweep")[0].status == "completed"
    close_stores()  # opened again, it is a store of this version and left alone
    assert len(store().runs()) == 3
    assert version_of(version_1) == (migrations.HEAD, int(migrations.HEAD))


def test_a_store_of_version_2_keeps_its_runs_and_its_stopped_run_goes_on(version_2: Path) -> None:
    runs = store()
    waiting, stopped, finished = runs.runs()
    assert finished.name == "손 글씨 from version 2"
    assert finished.origin == "recipe:x:quick"
    assert (finished.best_val, finished.test) == (
        {"loss": 0.5, "accuracy": 0.75}, {"loss": 0.6, "accuracy": 0.7},
    )  # fmt: skip
    assert list(runs.epochs(finished.id)["val_accuracy"]) == [0.5, 0.75]
    assert waiting.queue_position == 1
    runs.enqueue(stopped.id)
    assert runs.claim(stopped.id)
    runs.record(stopped.id, [started(7), *(step(n) for n in (8, 9, 10)), epoch(2), ended()])
    assert list(runs.steps(stopped.id).step) == list(range(1, 11))
    assert runs.run(stopped.id).status == "completed"


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_older_store_ends_with_the_tables_of_a_new_one(
    version: str, lab_home: Path, tmp_path: Path
) -> None:
    old, new = place(version, lab_home), tmp_path / "new.sqlite"
    store()
    Store(f"sqlite:///{new}").close()
    for name in schema.metadata.tables:
        assert set(columns(old, name)) == set(columns(new, name)), name
    assert version_of(old) == version_of(new)


def test_head_is_the_newest_revision() -> None:
    folder = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert folder.get_heads() == [migrations.HEAD]


def test_a_store_gains_the_column_of_a_new_metric_when_it_is_opened(lab_home: Path) -> None:
    """As if top-5 accuracy had just been added to METRICS: a store of this version lacks it."""
    runs = store()
    run_id = runs.create_run(CONFIG, status="preparing")
    runs.record(run_id, [started(), step(1)])
    close_stores()
    path = lab_home / "lab.sqlite"
    lacking = {
        "steps": {"top5_accuracy", "top5_accuracy_smoothed"},
        "epochs": {"train_top5_accuracy", "val_top5_accuracy"},
        "runs": {"best_val_top5_accuracy", "test_top5_accuracy"},
    }
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table, names in lacking.items():
            for name in names:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    runs = store()
    for table, names in lacking.items():
        assert names <= set(columns(path, table))
    values = {"loss": 0.5, "accuracy": 0.5, "top5_accuracy": 1.0}
    runs.record(run_id, [step(2, values=values)])
    assert list(runs.steps(run_id)["loss"]) == [1.0, 0.5]
    assert list(runs.steps(run_id)["top5_accuracy"])[1:] == [1.0]


def test_every_metric_has_its_columns() -> None:
    for name, metric in METRICS.items():
        assert (name in schema.steps.c) == metric.of_batches
        assert f"val_{name}" in schema.epochs.c
        assert f"test_{name}" in schema.runs.c


def test_optunas_tables_do_not_mind(version_2: Path) -> None:
    """Its own Alembic version stands in `alembic_version` of the same database."""
    with contextlib.closing(sqlite3.connect(version_2)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('v3.2.0.a')")
        connection.commit()
    store()
    with contextlib.closing(sqlite3.connect(version_2)) as connection:
        assert list(connection.execute("SELECT * FROM alembic_version")) == [("v3.2.0.a",)]


def test_two_that_open_an_older_store_at_once_bring_it_up_once(version_1: Path) -> None:
    url, opened, errors = f"sqlite:///{version_1}", [], []

    def open_it() -> None:
        try:
            opened.append(Store(url))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert [len(each.runs()) for each in opened] == [2] * 4
    for each in opened:
        each.close()


def test_what_fails_half_way_leaves_the_older_store_as_it_was(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: sa.Connection) -> None:
        assert sa.inspect(connection).has_table("sweeps")  # the revisions are through
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "_add_metric_columns", broken)
        with pytest.raises(OSError, match="the power went"):
            store()
    assert "origin" not in columns(version_1, "runs")
    assert columns(version_1, "lab_version") == []
    assert len(store().runs()) == 2
