"""A locked database, a full disk, a process that dies between two writes: no run is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ResourceError
from lab.runs.queue import run_in_foreground
from lab.runs.store import Store
from lab.training.events import Event, RunEnded, SaveReached

from .fakes import CONFIG, ended, started, step


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
    record, deleted = Store.record, []

    def full(self: Store, run_id: str, events: Any, **options: Any) -> Any:
        if any(isinstance(event, RunEnded) for event in events):
            raise ResourceError("The disk is full.")
        return record(self, run_id, events, **options)

    def engine(*_: object) -> Iterator[Event]:
        yield started()
        yield ended(steps=1)
        deleted.append(True)

    monkeypatch.setattr(Store, "record", full)
    run_in_foreground(CONFIG, engine=engine, resolve=on_cpu)
    assert not deleted
