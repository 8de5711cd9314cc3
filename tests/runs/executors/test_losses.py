"""A run that loses its place goes on by itself, but not for ever."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.config import RunConfig
from lab.errors import PlaceLostError
from lab.progress import Report
from lab.runs.executors import Place
from lab.runs.executors.choice import places_of
from lab.runs.executors.local import LocalExecutor
from lab.runs.foreground import run_in_foreground
from lab.runs.queue import MOST_LOSSES, Queue
from lab.runs.store import Store
from lab.runs.worker import Engine
from lab.training import devices
from lab.training.control import Control
from lab.training.devices import resolve_device
from lab.training.events import Event, RunStarted, StepDone
from tests.runs.fakes import CONFIG, FakeEngine, started, step
from tests.runs.test_queue import wait_until

LOST = "Interrupted: the machine that trained it died or was taken away."


class Dying:
    """An engine whose machine dies after the first step, the first few `times`."""

    def __init__(self, times: int, wish: str = "run") -> None:
        self.left = times
        self.wish = wish

    def __call__(
        self, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Iterator[Event]:
        if not self.left:
            yield from FakeEngine()(config, folder, control, report)
            return
        self.left -= 1
        (folder / "resume.json").write_text("0")  # what a run has before its first step
        yield started()
        yield step(1)
        if self.wish == "stop":
            control.request_stop()
        raise PlaceLostError(LOST)


def losses(runs: Store, run: str) -> int:
    return sum(line.text == LOST for line in runs.log(run))


def test_a_run_goes_on_after_three_losses(start_queue: Callable[..., Queue], runs: Store) -> None:
    queue = start_queue(Dying(MOST_LOSSES), poll_seconds=0.05)
    run = queue.submit(CONFIG)
    wait_until(runs, run, lambda row: row.status == "completed")
    assert losses(runs, run) == MOST_LOSSES == 3
    assert list(runs.steps(run).step) == list(range(1, 11))


def test_after_the_fourth_loss_it_waits_for_a_person(
    start_queue: Callable[..., Queue], runs: Store
) -> None:
    queue = start_queue(Dying(MOST_LOSSES + 1), poll_seconds=0.05)
    run = queue.submit(CONFIG)
    last = "Its place was lost 4 times; it does not go on by itself any more."
    wait_until(runs, run, lambda row: any(line.text == last for line in runs.log(run)))
    assert runs.run(run).status == "interrupted"
    assert runs.run(run).message == LOST
    queue.resume(run)
    assert queue.wait(run, 20).status == "completed"


def test_a_run_that_was_to_stop_does_not_go_on(
    start_queue: Callable[..., Queue], runs: Store
) -> None:
    queue = start_queue(Dying(1, "stop"), poll_seconds=0.05)
    run = queue.submit(CONFIG)
    assert queue.wait(run, 20).status == "interrupted"
    assert losses(runs, run) == 1


def test_a_command_line_is_told(runs: Store) -> None:
    with pytest.raises(PlaceLostError, match="the machine that trained it died"):
        run_in_foreground(CONFIG, engine=Dying(1), resolve=lambda _: "cpu")
    assert runs.runs()[0].status == "interrupted"
    assert runs.runs()[0].message == LOST


class Changing(LocalExecutor):
    """A cluster whose kinds of places change while its machines die; `used`: what runs got."""

    def __init__(self, losses: int, **there: int) -> None:
        super().__init__()
        self.there = there
        self.used: list[str] = []
        self._dying = Dying(losses)

    def resolve(self, config: RunConfig) -> str:
        return resolve_device(config, self.there)

    def places(self, device: str) -> tuple[Place, ...]:
        return tuple(Place(f"{device} {n}", device) for n in range(self.there[device]))

    def engine(self, place: Place) -> Engine:
        return functools.partial(self._train_on, place.device)

    def _train_on(
        self, device: str, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Iterator[Event]:
        self.used.append(device)
        for event in self._dying(config, folder, control, report):
            yield replace(event, device=device) if isinstance(event, RunStarted) else event
            if isinstance(event, StepDone) and self._next is not None:
                self.there, self._next = self._next, None

    _next: dict[str, int] | None = None

    def then(self, **there: int) -> None:
        """Have these places after the next step."""
        self._next = there


AUTO = CONFIG.changed(device="auto")


def test_a_run_goes_on_with_the_kind_of_device_that_it_began_on(
    start_queue: Callable[..., Queue], runs: Store
) -> None:
    cluster = Changing(1, cuda=0, mps=0, cpu=1)
    cluster.then(cuda=1, mps=0, cpu=1)
    run = start_queue(executor=cluster, poll_seconds=0.05).submit(AUTO)
    wait_until(runs, run, lambda row: row.status == "completed")
    assert cluster.used == ["cpu", "cpu"]
    assert "Goes on with" not in "\n".join(line.text for line in runs.log(run))


def test_where_there_is_none_of_that_kind_any_more_the_log_says_so(
    start_queue: Callable[..., Queue], runs: Store
) -> None:
    cluster = Changing(2, cuda=1, mps=0, cpu=1)
    cluster.then(cuda=0, mps=0, cpu=1)
    run = start_queue(executor=cluster, poll_seconds=0.05).submit(AUTO)
    wait_until(runs, run, lambda row: row.status == "completed")
    assert cluster.used == ["cuda", "cpu", "cpu"]
    told = [line.text for line in runs.log(run) if line.level == "warning"]
    assert [text for text in told if "cuda" in text] == [
        "Goes on with cpu instead of cuda, for which there is no place any more. From here on "
        "its figures differ a little from those of an uninterrupted run."
    ]


def test_a_command_line_keeps_the_device_too(runs: Store) -> None:
    asked: list[str] = []

    def resolve(config: RunConfig) -> str:
        asked.append(config.device)
        return "cpu" if config.device == "cpu" else "cuda"

    with pytest.raises(PlaceLostError):
        run_in_foreground(AUTO, engine=Dying(1), resolve=lambda _: "cpu")
    row = run_in_foreground(runs.runs()[0].id, engine=FakeEngine(), resolve=resolve)
    assert (row.status, row.device, asked) == ("completed", "cpu", ["cpu"])


def test_a_run_that_keeps_the_processor_trains_there_beside_a_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_devices", lambda: {"cuda": 1, "mps": 0, "cpu": 1})

    def engine(*_: object) -> Iterator[Any]:
        yield resolve_device(AUTO)

    train: Any = LocalExecutor(engine).engine
    for device in ("cpu", "cuda"):
        assert list(train(Place(device, device))(AUTO, None, None, None)) == [device]
    assert resolve_device(AUTO) == "cuda"


class Without(LocalExecutor):
    """A cluster without a place of that kind."""

    def places(self, device: str) -> tuple[Place, ...]:
        return ()


class Away(LocalExecutor):
    """A cluster that is out of reach until it is `back`."""

    back = False

    def places(self, device: str) -> tuple[Place, ...]:
        if not self.back:
            raise PlaceLostError("The Ray cluster at 10.0.0.5:6379 cannot be reached.")
        return super().places(device)

    def resolve(self, config: RunConfig) -> str:
        self.places("cpu")
        return super().resolve(config)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_runs_wait_for_a_cluster_that_is_out_of_reach(
    start_queue: Callable[..., Queue], runs: Store, device: str
) -> None:
    executor = Away(FakeEngine(), lambda _: "cpu")
    queue = start_queue(executor=executor, poll_seconds=0.05)
    run = queue.submit(CONFIG.changed(device=device))
    row = wait_until(runs, run, lambda row: row.progress_text != "")
    assert row.progress_text == "The Ray cluster at 10.0.0.5:6379 cannot be reached."
    assert row.status == "queued"
    assert places_of(executor, "cpu") == places_of(Without(), "") == 1
    executor.back = True
    assert queue.wait(run, 20).status == "completed"
