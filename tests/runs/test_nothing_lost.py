"""A locked database, a full disk, a process that dies between two writes: no run is lost."""

import contextlib
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from lab.errors import DiskFullError
from lab.home import atomic_file
from lab.runs import locks, spill
from lab.runs import recorder as recorder_module
from lab.runs.queue import recover, run_in_foreground
from lab.runs.recorder import Recorder
from lab.runs.spill import NAME, Spill
from lab.runs.store import WAITING, Store
from lab.runs.worker import execute
from lab.training.control import Control
from lab.training.events import Event, LogWritten, RunEnded, SaveReached

from .fakes import CONFIG, FakeEngine, ended, epoch, smoothed, started, step
from .test_writing import until


def on_cpu(_: object) -> str:
    return "cpu"


def test_steps_are_recorded_before_the_state_is_saved_and_the_ending_before_it_is_deleted(
    runs: Store,
) -> None:
    seen: list[Any] = []

    def engine(_config: object, folder: Path, *_: object) -> Iterator[Event]:
        yield started()
        yield from (step(number) for number in (1, 2, 3))
        yield SaveReached(3)
        seen.append(len(runs.steps(folder.name)))
        yield ended(steps=3)
        seen.append(runs.run(folder.name).status)

    listened: list[Event] = []
    run_in_foreground(CONFIG, engine=engine, resolve=on_cpu, on_event=listened.append)
    assert seen == [3, "completed"]
    assert not any(isinstance(event, SaveReached) for event in listened)


def test_an_ending_that_cannot_be_recorded_deletes_nothing(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = []

    def full(*_: object, **__: object) -> None:
        raise DiskFullError("The disk is full.")

    def engine(*_: object) -> Iterator[Event]:
        yield started()
        monkeypatch.setattr(Store, "record", full)
        monkeypatch.setattr(Store, "record_spill", full)
        monkeypatch.setattr(Spill, "append", full)
        yield ended(steps=1)
        deleted.append(True)

    with pytest.raises(DiskFullError):  # no exit status 0 without a recorded ending
        run_in_foreground(CONFIG, engine=engine, resolve=on_cpu)
    assert not deleted


@contextlib.contextmanager
def locked(runs: Store) -> Iterator[sqlite3.Connection | sa.Connection]:
    """Another program has the database, as a backup has."""
    if runs.database.engine.dialect.name == "postgresql":
        with runs.database.engine.begin() as blocking:
            blocking.exec_driver_sql("LOCK TABLE runs, owners IN EXCLUSIVE MODE")
            yield blocking
        return
    other = sqlite3.connect(runs.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield other
    finally:
        other.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATIENCE", "RETRY_PATIENCE", "RETRY_SECONDS"):
        monkeypatch.setattr(recorder_module, name, 0.01)


def train(recorder: Recorder, first: int, last: int) -> None:
    for number in range(first, last + 1):
        recorder.add(step(number))
        if number % 5 == 0:
            recorder.add(epoch(number // 5))


@pytest.mark.usefixtures("impatient")
def test_events_wait_beside_the_run_while_the_database_is_locked(runs: Store, run_id: str) -> None:
    recorder = Recorder(runs, run_id, Control())  # without its thread
    recorder.add(started())
    train(recorder, 1, 3)
    with locked(runs):
        recorder.add(LogWritten("info", "a word"))
        train(recorder, 4, 10)
        assert runs.run(run_id).progress_text == WAITING
        recorder._retry()
        assert runs.run(run_id).step < 10
        recorder.add(ended(steps=10))
        assert runs.run(run_id).status == "completed"  # told at once, recorded later
    runs.write_waiting(run_id)
    assert not runs.waiting
    assert not (runs.folder(run_id) / NAME).exists()
    row = runs.run(run_id)
    assert (row.status, row.owner, row.step, row.test_accuracy) == ("completed", "", 10, 0.7)
    steps = runs.steps(run_id)
    assert list(steps.step) == list(range(1, 11))
    expected = smoothed([1 / n for n in range(1, 11)])
    np.testing.assert_allclose(steps["loss_smoothed"], expected, rtol=1e-12)
    assert list(runs.epochs(run_id).epoch) == [1, 2]
    lines = runs.log(run_id)
    assert [line.text for line in lines] == ["a word", "completed after 10 steps"]
    assert lines[0].at <= lines[1].at == row.ended_at


@pytest.mark.usefixtures("impatient")
def test_training_goes_on_and_the_recorder_writes_when_the_lock_goes(
    runs: Store, run_id: str
) -> None:
    with Recorder(runs, run_id, Control()) as recorder:
        recorder.add(started())
        with locked(runs):
            train(recorder, 1, 5)
        until(lambda: len(runs.epochs(run_id)) == 1)
        assert not runs.waiting
        train(recorder, 6, 7)
    recorder.flush()
    np.testing.assert_allclose(
        runs.steps(run_id)["loss_smoothed"], smoothed([1 / n for n in range(1, 8)]), rtol=1e-12
    )


@pytest.mark.usefixtures("impatient")
def test_a_process_that_dies_while_events_wait_loses_none(runs: Store, run_id: str) -> None:
    recorder = Recorder(runs, run_id, Control())
    with locked(runs):
        recorder.add(started())
        train(recorder, 1, 7)
        recorder.flush()
    path = runs.folder(run_id) / NAME
    path.write_bytes(path.read_bytes() + b'{"at": 1, "events": [["StepDone", {"ste')  # it died here
    runs.waiting.clear()
    locks.release_owners()  # as the death of the process does
    assert recover(runs) == [run_id]
    row = runs.run(run_id)
    assert (row.status, row.step) == ("interrupted", 7)
    assert row.message.startswith("Interrupted after step 7:")
    assert list(runs.steps(run_id).step) == list(range(1, 8))
    assert not path.exists()


@pytest.mark.usefixtures("impatient")
def test_an_ending_that_waited_is_the_ending_after_a_crash(runs: Store, run_id: str) -> None:
    recorder = Recorder(runs, run_id, Control())
    recorder.add(started())
    with locked(runs):
        train(recorder, 1, 10)
        recorder.add(ended(steps=10))
    runs.waiting.clear()
    locks.release_owners()
    assert recover(runs) == []
    assert runs.run(run_id).status == "completed"


@pytest.mark.usefixtures("impatient")
def test_what_is_recorded_twice_is_there_once(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may die between the transaction and the removal of the file."""
    recorder = Recorder(runs, run_id, Control())
    with locked(runs):
        recorder.add(started())
        recorder.add(LogWritten("info", "once"))
        train(recorder, 1, 6)
        recorder.flush()
    with monkeypatch.context() as patch:
        patch.setattr(Spill, "clear", lambda self: None)
        runs.write_waiting(run_id)
    runs.waiting[run_id] = Spill(runs.folder(run_id))
    runs.write_waiting(run_id)
    assert [line.text for line in runs.log(run_id)] == ["once"]
    assert list(runs.steps(run_id).step) == list(range(1, 7))
    assert len(runs.epochs(run_id)) == 1


@pytest.mark.usefixtures("impatient")
def test_training_waits_at_the_bound_and_a_stop_ends_that(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "MOST_BYTES", 1000)
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.005)
    control, reached = Control(), []
    with Recorder(runs, run_id, control) as recorder:
        recorder.add(started())

        def work() -> None:
            for number in range(1, 1000):
                if control.wanted == "stop":
                    return
                recorder.add(step(number))
                recorder.flush()
                reached.append(number)

        with locked(runs):
            thread = threading.Thread(target=work)
            thread.start()
            until(lambda: recorder._spill.is_full)
            control.request_stop()
            thread.join(60)
    assert len(reached) < 20
    assert list(runs.steps(run_id).step)[: len(reached)] == reached


def test_a_full_disk_pauses_whatever_the_engine_was_writing(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SafetensorError(Exception):
        pass

    def engine(_config: object, folder: Path, *_: object) -> Iterator[Event]:
        yield started()
        yield step(1)
        with atomic_file(folder / "last.safetensors"):
            raise SafetensorError("I/O error: No space left on device (os error 28)")

    row = run_in_foreground(CONFIG, engine=engine, resolve=on_cpu)
    assert (row.status, row.step) == ("paused", 1)
    assert re.match(r"The disk is full: .*last\.safetensors .* Resume does so now", row.message)
    assert row.can_resume
    assert [entry.level for entry in runs.log(row.id)] == ["info"]  # no traceback


def test_a_full_disk_at_the_very_start_pauses_the_run(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskFullError("The disk is full: nothing could be written.")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "report", full)
        patch.setattr(Store, "record", full)
        patch.setattr(Spill, "append", full)
        row = run_in_foreground(CONFIG, engine=FakeEngine(), resolve=on_cpu)
    assert (row.status, row.step) == ("paused", 0)
    assert run_in_foreground(row.id, engine=FakeEngine(), resolve=on_cpu).status == "completed"


def test_an_ending_that_only_the_file_has_room_for_is_recorded_once(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Store.record

    def full(self: Store, run_id: str, events: Any, **options: Any) -> Any:
        if isinstance(events[-1], RunEnded):
            raise DiskFullError("The disk is full.")
        return record(self, run_id, events, **options)

    monkeypatch.setattr(Store, "record", full)
    row = run_in_foreground(CONFIG, engine=FakeEngine(), resolve=on_cpu)
    assert (row.status, row.owner) == ("completed", "")
    assert not runs.waiting


def test_a_run_that_somebody_deletes_ends_quietly(
    runs: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folders: list[Path] = []

    def engine(_config: object, folder: Path, *_: object) -> Iterator[Event]:
        yield started()
        yield step(1)
        folders.append(folder)
        with runs.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM runs")
        shutil.rmtree(folder)
        folder.mkdir()
        for number in range(2, 1000):
            yield step(number)
            yield SaveReached(number)

    run_id = runs.create_run(CONFIG, status="preparing")
    result = execute(runs, run_id, control=Control(), engine=engine)
    assert result.message == "The run was deleted while it trained."
    assert not folders[0].exists()
    assert [r.message for r in caplog.records if r.levelname != "INFO"] == [
        f"run {run_id} was deleted while it trained: its files are removed"
    ]


def test_a_run_that_must_begin_again_says_so(runs: Store) -> None:
    row = run_in_foreground(
        CONFIG, engine=FakeEngine(hold_at=0, fail_at=6, error=ValueError()), resolve=on_cpu
    )
    (runs.folder(row.id) / "resume.json").unlink()
    (runs.folder(row.id) / "network.json").touch()  # an empty folder is refused
    row = run_in_foreground(row.id, engine=FakeEngine(), resolve=on_cpu)
    assert row.status == "completed"
    texts = [entry.text for entry in runs.log(row.id) if entry.level == "warning"]
    assert texts == [
        "No saved state was there to resume from: the run begins again, and its 5 recorded steps "
        "are replaced."
    ]
