import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, DataError
from lab.runs import locks
from lab.runs.queue import run_in_foreground
from lab.runs.store import Store
from lab.runs.worker import is_in_hand
from lab.training.events import Event, RunEnded, RunStarted, StepDone

from .fakes import CONFIG, FakeEngine


def on_cpu(config: RunConfig) -> str:
    return "cpu"


def test_a_run_in_the_calling_thread(runs: Store) -> None:
    handler = signal.getsignal(signal.SIGINT)
    events: list[Event] = []
    engine = FakeEngine()
    row = run_in_foreground(
        CONFIG, name="Mine", engine=engine, resolve=on_cpu, on_event=events.append
    )
    assert (row.status, row.name, row.step, row.test_accuracy) == ("completed", "Mine", 10, 0.7)
    assert row == runs.run(row.id)
    assert isinstance(events[0], RunStarted)
    assert [e.step for e in events if isinstance(e, StepDone)] == list(range(1, 11))
    assert [type(e) for e in events].count(RunEnded) == 1
    assert isinstance(events[-1], RunEnded)
    assert engine.trained == [(row.id, threading.current_thread().name)]
    assert signal.getsignal(signal.SIGINT) is handler


def test_run_ended_comes_also_when_the_engine_never_starts(runs: Store) -> None:
    events: list[Event] = []

    def missing(*_: Any) -> Iterator[Event]:
        raise DataError("The data set 'x' is not here.")

    row = run_in_foreground(CONFIG, engine=missing, resolve=on_cpu, on_event=events.append)
    assert (row.status, row.message) == ("failed", "The data set 'x' is not here.")
    assert [type(e) for e in events] == [RunEnded]

    def no_device(config: RunConfig) -> str:
        raise ConfigError("device is 'cuda', which is not here.")

    row = run_in_foreground(CONFIG, engine=FakeEngine(), resolve=no_device, on_event=events.append)
    assert (row.status, row.message) == ("failed", "device is 'cuda', which is not here.")
    assert [type(e) for e in events] == [RunEnded, RunEnded]


def test_the_end_is_in_the_store_before_it_is_told(runs: Store) -> None:
    seen: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunEnded):
            seen.append(runs.runs()[0].status)

    run_in_foreground(CONFIG, engine=FakeEngine(), resolve=on_cpu, on_event=listen)
    assert seen == ["completed"]


def test_a_listener_that_breaks_stops_the_run_cleanly(runs: Store) -> None:
    """As `python -m lab train | head` does."""

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_in_foreground(CONFIG, engine=FakeEngine(), resolve=on_cpu, on_event=listen)
    row = runs.runs()[0]
    assert (row.status, row.step) == ("stopped", 3)


def test_the_second_ctrl_c_breaks_off(runs: Store) -> None:
    engine = FakeEngine(fail_at=4, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_in_foreground(CONFIG, engine=engine, resolve=on_cpu)
    row = runs.runs()[0]
    assert (row.status, row.step, row.owner) == ("interrupted", 3, "")
    engine.error = None
    assert run_in_foreground(row.id, engine=engine, resolve=on_cpu).status == "completed"


def test_ctrl_c_twice_within_one_step(runs: Store) -> None:
    def stubborn(*arguments: Any) -> Iterator[Event]:
        for event in FakeEngine()(*arguments):
            yield event
            if isinstance(event, StepDone) and event.step == 2:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_in_foreground(CONFIG, engine=stubborn, resolve=on_cpu)
    assert runs.runs()[0].status == "interrupted"
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(("wish", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_a_run_that_waits_for_the_device_can_be_called_off(
    runs: Store, wish: str, status: str
) -> None:
    rows: list[Any] = []
    with locks.device_turn("cpu", cancelled_within=lambda _: True, on_wait=lambda: None):
        thread = threading.Thread(
            target=lambda: rows.append(
                run_in_foreground(CONFIG, engine=FakeEngine(), resolve=on_cpu)
            )
        )
        thread.start()
        for _ in range(1000):
            waiting = [r for r in runs.runs(status="preparing") if r.progress_text]
            if waiting:
                break
            threading.Event().wait(0.01)
        assert waiting[0].progress_text == "waiting for another process that trains on cpu"
        runs.request(waiting[0].id, wish)  # type: ignore[arg-type]
        thread.join(60)
    assert rows[0].status == status
    assert rows[0].message == f"{status.capitalize()} before training began; it can be resumed."


def test_a_run_that_waits_for_a_place_is_in_hand(runs: Store) -> None:
    """So a queue of the same process does not take it for one that nobody trains."""
    seen: list[bool] = []

    def engine(*_: Any) -> Iterator[Event]:
        yield from FakeEngine()(*_)

    def resolve(_: RunConfig) -> str:
        seen.append(any(is_in_hand(row.id) for row in runs.runs()))
        return "cpu"

    row = run_in_foreground(CONFIG, engine=engine, resolve=resolve, runs=runs)
    assert seen == [True]
    assert not is_in_hand(row.id)
