"""Who asked for a run; and a store of version 1, which did not know that."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.runs import schema
from lab.runs.queue import Queue, run_here
from lab.runs.store import Store, close_stores, store

from .fakes import CONFIG, FakeEngine, ended, started, step

VERSION_1 = Path(__file__).with_name("version_1.sql")


def test_a_run_knows_who_asked_for_it(runs: Store) -> None:
    assert runs.run(runs.create_run(CONFIG)).origin == ""
    assert runs.run(runs.create_run(CONFIG, origin="fix:r-1")).origin == "fix:r-1"


def test_queue_and_run_here_pass_the_origin_on(
    runs: Store, start_queue: Callable[..., Queue]
) -> None:
    run_id = start_queue().submit(CONFIG, "Mine", origin="recipe:x:full")
    assert runs.run(run_id).origin == "recipe:x:full"
    row = run_here(CONFIG, origin="sweep:s-1:0", engine=FakeEngine(), resolve=lambda c: "cpu")
    assert (row.origin, row.status) == ("sweep:s-1:0", "completed")


def test_runs_are_found_by_origin_or_by_its_beginning(runs: Store) -> None:
    origins = ["", "recipe:sl-cnn", "recipe:sl-cnn:quick", "recipe:sl-cnn-aug:quick", "RECIPE:x"]
    for origin in origins:
        runs.create_run(CONFIG, origin=origin)

    def found(origin: str) -> list[str]:
        return sorted(row.origin for row in runs.runs(origin=origin))

    assert found("recipe:sl-cnn") == ["recipe:sl-cnn", "recipe:sl-cnn:quick"]
    assert found("recipe") == ["recipe:sl-cnn", "recipe:sl-cnn-aug:quick", "recipe:sl-cnn:quick"]
    assert found("recipe:sl-cnn:quick") == ["recipe:sl-cnn:quick"]
    assert found("") == [""]
    assert found("recipe:sl_cnn") == found("%") == found("recip") == []
    assert len(runs.runs()) == len(origins)
    assert len(runs.runs(origin="recipe", status="queued", search="simple-cnn")) == 3


@pytest.fixture
def version_1(lab_home: Path) -> Path:
    """A store as version 1 wrote it: a dump made with its code, one finished run and one queued."""
    lab_home.mkdir(parents=True)
    path = lab_home / "lab.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def _columns(path: Path, table: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_a_store_of_version_1_is_brought_up_and_keeps_its_runs(version_1: Path) -> None:
    assert "origin" not in _columns(version_1, "runs")
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
    with contextlib.closing(sqlite3.connect(version_1)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(2,)]


def test_an_older_store_ends_with_the_tables_of_a_new_one(version_1: Path, tmp_path: Path) -> None:
    store()
    new = tmp_path / "new.sqlite"
    Store(f"sqlite:///{new}").close()
    for name in schema.metadata.tables:
        assert set(_columns(version_1, name)) == set(_columns(new, name)), name


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


def test_a_step_up_that_fails_leaves_the_older_store_as_it_was(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(schema.sweeps, "create", broken)
    with pytest.raises(OSError, match="the power went"):
        store()
    assert "origin" not in _columns(version_1, "runs")
    monkeypatch.undo()
