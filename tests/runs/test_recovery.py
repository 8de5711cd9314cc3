"""Processes that die, and processes that share a LAB_HOME: with real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.errors import ConfigError
from lab.runs import locks
from lab.runs.queue import Queue, recover, run_in_foreground
from lab.runs.store import Store

from .fakes import CONFIG, FakeEngine

HOLDING = """
import sys, threading
from lab.runs.queue import Queue, run_in_foreground
from lab.runs.store import store
from tests.runs.fakes import CONFIG, FakeEngine

engine = FakeEngine(hold_at=8)
queue = Queue(store(), engine=engine, resolve=lambda config: "cpu")
queue.start()
run_id = queue.submit(CONFIG)
engine.held.wait()
print(run_id, flush=True)
sys.stdin.readline()
engine.release.set()
print(queue.wait(run_id, 30).status, flush=True)
"""

ON_COMMAND_LINE = """
import sys
from lab.runs.queue import run_in_foreground
from lab.training.events import StepDone
from tests.runs.fakes import CONFIG, FakeEngine

def show(event):
    if isinstance(event, StepDone) and event.step == 7:
        print("at step 7", flush=True)

what = sys.argv[1] if len(sys.argv) > 1 else CONFIG
row = run_in_foreground(what, engine=FakeEngine(hold_at=8), resolve=lambda c: "cpu", on_event=show)
print(row.id, row.status, row.step, flush=True)
"""


@contextlib.contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def test_a_killed_process_leaves_an_interrupted_run_that_resumes(
    runs: Store, home: Path, start_queue: Callable[..., Queue]
) -> None:
    with python(HOLDING) as process:
        run_id = line_of(process)
        for _ in range(200):  # its recorder writes within a quarter of a second
            if runs.run(run_id).step == 7:
                break
            time.sleep(0.01)
        assert runs.run(run_id).status == "running"
        assert recover(runs) == []  # it lives
        with pytest.raises(ConfigError, match="is running; only"):
            run_in_foreground(run_id, engine=FakeEngine(), resolve=lambda _: "cpu")
        owner = runs.run(run_id).owner
        assert (home / "locks" / f"owner-{owner}.lock").exists()
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert runs.run(run_id).status == "running"  # so says the dead
    queue = start_queue(FakeEngine(), poll_seconds=0.05)
    row = queue.wait(run_id, 10)
    assert row.status == "interrupted"
    assert "the process that trained it ended. It can be resumed." in row.message
    assert row.owner == ""
    assert runs.log(run_id)[-1].level == "warning"
    assert not (home / "locks" / f"owner-{owner}.lock").exists()
    queue.resume(run_id)
    row = queue.wait(run_id, 10)
    assert (row.status, row.step) == ("completed", 10)
    assert list(runs.steps(run_id).step) == list(range(1, 11))


def test_a_killed_process_frees_its_device(runs: Store, start_queue: Callable[..., Queue]) -> None:
    queue = start_queue(FakeEngine())
    with python(HOLDING) as process:
        line_of(process)
        ours = queue.submit(CONFIG)
        for _ in range(500):
            if runs.run(ours).progress_text:
                break
            time.sleep(0.01)
        assert runs.run(ours).progress_text == "waiting for another process that trains on cpu"
        assert runs.run(ours).status == "queued"
        process.kill()
        process.wait(60)
        assert queue.wait(ours, 10).status == "completed"


def test_two_servers_share_a_home(runs: Store, start_queue: Callable[..., Queue]) -> None:
    """A second server neither takes a living run for dead nor trains beside it, and a stop pressed
    there reaches the process that trains."""
    with python(HOLDING) as process:
        theirs = line_of(process)
        queue = start_queue(FakeEngine(), poll_seconds=0.02)
        time.sleep(0.1)  # a few looks around
        assert runs.run(theirs).status == "running"
        queue.stop(theirs)
        assert runs.run(theirs).requested == "stop"
        row = queue.wait(theirs, 10)  # though its engine is in the middle of a long step
        assert (row.status, row.step) == ("stopped", 8)
        tell(process)
        assert line_of(process) == "stopped"


def test_a_process_that_ends_in_good_order_pauses_its_run(runs: Store) -> None:
    script = """
from lab.runs import queue as module
from lab.runs.store import store
from tests.runs.fakes import CONFIG, FakeEngine

engine = FakeEngine(hold_at=8)
queue = module._queues[store().url] = module.Queue(store(), engine=engine)
print(module.queue().submit(CONFIG))
engine.held.wait()
"""
    with python(script) as process:
        run_id = line_of(process)
        assert process.wait(60) == 0
    row = runs.run(run_id)
    assert (row.status, row.step) == ("paused", 8)


def test_ctrl_c_stops_a_run_on_the_command_line_within_a_step(runs: Store) -> None:
    with python(ON_COMMAND_LINE) as process:
        assert line_of(process) == "at step 7"
        process.send_signal(signal.SIGINT)
        run_id, status, step = line_of(process).split()
        assert status == "stopped"
        assert step in ("7", "8")  # the signal comes during step 7, or while step 8 is held
        assert process.wait(60) == 0
    assert runs.run(run_id).message == f"stopped after {step} steps"


def test_the_command_line_goes_on_with_a_run(runs: Store) -> None:
    engine = FakeEngine(hold_at=8)
    stopper = threading.Thread(target=lambda: (engine.held.wait(), engine.release.set()))
    stopper.start()
    run_id = runs.create_run(CONFIG)
    runs.remove(run_id)
    row = run_in_foreground(run_id, engine=engine, resolve=lambda _: "cpu")
    stopper.join()
    assert row.status == "completed"
    with pytest.raises(ConfigError, match="is completed; only queued, paused, stopped, interr"):
        run_in_foreground(run_id, engine=engine, resolve=lambda _: "cpu")


def test_owner_locks(home: Path) -> None:
    mine = locks.owner()
    assert locks.owner() == mine
    assert locks.is_alive(mine)
    assert not locks.is_alive("0123456789ab")
    left_behind = home / "locks" / "owner-00000000dead.lock"
    left_behind.touch()
    locks.remove_dead_owners()
    assert not left_behind.exists()
    assert locks.is_alive(mine)
    locks.release_owners()
    assert not locks.is_alive(mine)
    assert locks.owner() != mine


def test_only_one_holds_a_place(home: Path) -> None:
    waited: list[str] = []
    with locks.device_turn(
        "cuda:0", cancelled_within=lambda _: True, on_wait=lambda: None
    ) as first:
        assert first
        with locks.device_turn(
            "cuda:0", cancelled_within=lambda _: True, on_wait=lambda: waited.append("waited")
        ) as second:
            assert not second
        with locks.device_turn(
            "cuda:1", cancelled_within=lambda _: True, on_wait=lambda: None
        ) as other:
            assert other
    assert waited == ["waited"]
    with locks.device_turn(
        "cuda:0", cancelled_within=lambda _: True, on_wait=lambda: None
    ) as again:
        assert again
