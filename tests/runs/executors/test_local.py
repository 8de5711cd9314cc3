"""Each graphics card of this machine is a place of its own; told by a machine that has two."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.runs import locks
from lab.runs.executors import Place, local
from lab.runs.executors.choice import executor, places_of
from lab.runs.executors.local import LocalExecutor
from lab.runs.foreground import run_in_foreground
from lab.runs.queue import Queue
from lab.runs.queue_order import seconds_until
from lab.runs.store import Store
from tests.runs.fakes import CONFIG, FakeEngine
from tests.runs.test_queue import wait_until

CUDA = CONFIG.changed(device="cuda")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns the cards that were made the thread's own, in order."""
    used: list[int] = []

    @contextlib.contextmanager
    def card(index: int) -> Iterator[None]:
        used.append(index)
        yield

    monkeypatch.setattr(local, "_cards", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", card)
    return used


def on_cuda(config: RunConfig) -> str:
    return "cuda"


def test_one_cpu_is_one_place() -> None:
    assert LocalExecutor().places("cpu") == (Place("cpu", "cpu"),)
    assert executor() is executor()
    assert places_of(executor(), "cpu") == 1


def test_a_setting_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_EXECUTOR", "kubernetes")
    with pytest.raises(ConfigError, match="LAB_EXECUTOR is 'kubernetes'; it must be local"):
        executor()


def test_two_cards_train_two_runs_at_a_time_and_the_third_waits(
    start_queue: Callable[..., Queue],
    runs: Store,
    two_cards: list[int],
) -> None:
    engine = FakeEngine(hold_at=2)
    queue = start_queue(engine, resolve=on_cuda)
    first, second, third = (queue.submit(CUDA) for _ in range(3))
    for each in (first, second):
        wait_until(runs, each, lambda row: row.status == "running")
    users = {place.name: user for place, user in queue.places().items() if user}
    assert runs.run(third).status == "queued"
    assert queue.places_for(CUDA) == 2
    assert set(users) <= {"cuda:0", "cuda:1"}
    engine.release.set()
    for each in (first, second, third):
        assert queue.wait(each, 20).status == "completed"
    assert set(two_cards) == {0, 1}


def test_a_command_line_takes_the_card_that_is_free(
    runs: Store,
    two_cards: list[int],
) -> None:
    hold: dict[str, Any] = {"cancelled_within": lambda _: True, "on_wait": lambda: None}
    with locks.device_turn("cuda:0", **hold) as held:
        assert held
        row = run_in_foreground(CUDA, engine=FakeEngine(), resolve=on_cuda)
    assert row.status == "completed"
    assert two_cards == [1]


def test_a_run_begins_when_a_place_is_free(runs: Store) -> None:
    ahead = []
    for seconds in (10.0, 30.0, 5.0):
        each = runs.create_run(CONFIG)
        runs.set_device(each, "cpu", expected_seconds=seconds)
        ahead.append(runs.run(each))
    assert seconds_until(ahead) == 45
    assert seconds_until(ahead, places=2) == 15  # the third follows the first
    assert seconds_until(ahead, places=4) == 0
    assert seconds_until(ahead, places=4, workers=2) == 5  # one place is free, and it waits for two
    both = runs.create_run(CONFIG.changed(workers=2))
    runs.set_device(both, "cpu", expected_seconds=10.0)
    ahead.append(runs.run(both))
    assert seconds_until(ahead, places=3) == 20  # the two of 5 and 10 s, then those workers
    assert seconds_until(ahead, places=3, workers=3) == 30
