"""The thread that drives sweeps: who drives what, across processes and restarts."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from lab.errors import ConfigError
from lab.experiments.sweeps import thread
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.table import SweepRow, create_sweep, sweep, sweeps, trial_of
from lab.home import home_folder
from lab.runs.queue import queue, shutdown_queues
from lab.runs.store import Store, close_stores, store
from tests.tiny_data import make_tiny_pack

TINY = {
    "name": "tiny rates",
    "base": {
        "dataset": "tiny",
        "architecture": "mlp",
        "epochs": 1,
        "film_strip": False,
        "device": "cpu",
    },
    "axes": {"learning_rate": [0.01, 0.001]},
}


@pytest.fixture(autouse=True)
def home(lab_home: Path, lab_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(thread, "POLL_SECONDS", 0.02)
    make_tiny_pack()
    yield lab_home
    thread.stop_driving()
    shutdown_queues()
    close_stores()


@pytest.fixture
def runs() -> Store:
    return store()


def tiny(**values: object) -> SweepConfig:
    return SweepConfig.from_mapping({**TINY, **values})


def until(done: Callable[[], bool], *, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_two_sweeps_go_to_their_end_without_anybody_watching(runs: Store) -> None:
    ids = [thread.start_sweep(tiny()), thread.start_sweep(tiny(axes={"batch_size": [8, 16]}))]
    until(lambda: not sweeps(runs, status=("running",)))
    for sweep_id in ids:
        assert sweep(runs, sweep_id).status == "completed"
        rows = runs.runs(origin=f"sweep:{sweep_id}")
        assert [row.status for row in rows] == ["completed"] * 2
        assert {trial_of(row.origin) for row in rows} == {0, 1}
        # As a press of Train would have it: with its open knobs settled.
        assert {row.config.image_size for row in rows} == {16}
    driver = thread._thread
    assert driver is not None
    driver.join(30)
    assert not driver.is_alive()  # no timer stays behind


def test_a_database_that_is_locked_for_a_moment_ends_no_sweep(
    runs: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([OSError("locked"), OSError("locked")])

    def locked_at_first(*args: object, **options: object) -> list[SweepRow]:
        error = (
            None if threading.current_thread() is threading.main_thread() else next(failures, None)
        )
        if error is not None:
            raise error
        return sweeps(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(thread, "sweeps", locked_at_first)
    sweep_id = thread.start_sweep(tiny())
    until(lambda: sweep(runs, sweep_id).status == "completed")
    assert caplog.text.count("polling the sweeps failed") == 2


def test_nothing_runs_while_no_sweep_works(runs: Store) -> None:
    thread.drive()
    assert thread._thread is None or not thread._thread.is_alive()


def test_a_sweep_that_another_process_drives_is_left_to_it_until_it_ends(runs: Store) -> None:
    config = tiny()
    sweep_id = create_sweep(runs, name=config.name, config_json=config.to_json())
    lock = FileLock(home_folder("locks") / f"sweep-{sweep_id}.lock", thread_local=False)
    with lock:
        thread.drive()
        time.sleep(0.3)
        assert runs.runs(origin=f"sweep:{sweep_id}") == []
        assert sweep(runs, sweep_id).status == "running"
    until(lambda: sweep(runs, sweep_id).status == "completed")


def test_a_new_server_takes_up_what_works(runs: Store) -> None:
    config = tiny(base={**TINY["base"], "epochs": 10_000})  # type: ignore[dict-item]
    sweep_id = thread.start_sweep(config)
    until(lambda: bool(runs.runs(origin=f"sweep:{sweep_id}", status="running")))
    thread.stop_driving()
    shutdown_queues()
    (paused,) = runs.runs(origin=f"sweep:{sweep_id}", status="paused")
    thread.drive()
    until(lambda: runs.run(paused.id).is_live)  # in line again, perhaps behind the second one
    assert sweep(runs, sweep_id).status == "running"
    thread.stop_sweep(sweep_id)
    for row in runs.runs(origin=f"sweep:{sweep_id}"):
        assert queue().wait(row.id, timeout=60).status == "stopped"


def test_a_sweep_of_another_version_is_marked_failed_with_the_reason(runs: Store) -> None:
    text = tiny().to_json().replace("learning_rate", "learning_speed")
    sweep_id = create_sweep(runs, name="x", config_json=text)
    thread.drive()
    until(lambda: sweep(runs, sweep_id).status == "failed")
    assert "learning_speed" in sweep(runs, sweep_id).message


def test_a_sweep_that_cannot_be_trained_is_not_entered(runs: Store) -> None:
    with pytest.raises(ConfigError, match="None of the 1 combinations can be trained"):
        thread.start_sweep(tiny(axes={"freeze": ["full"]}))
    assert sweeps(runs) == []
    config = tiny(axes={"freeze": ["scratch", "full"]})
    assert list(thread.left_out(config)) == [1]
    assert "mlp" in thread.left_out(config)[1]
