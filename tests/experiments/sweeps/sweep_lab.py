"""An engine without torch whose validation accuracy is decided by the knobs; and a sweep on it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lab.config import RunConfig
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.driver import Driver
from lab.progress import Report
from lab.training.control import Control
from lab.training.events import Event
from tests.runs.fakes import ended, epoch, started, step

PER_EPOCH = 2


def accuracy(config: RunConfig) -> float:
    """Batch 10 is better than 20, and so on; seeds differ by a hundredth."""
    return 0.9 - config.batch_size / 100 + config.seed / 100


class KnobEngine:
    """`hold_after`: the epoch after which a run waits until it is released or wanted away; 0: none.
    `fails`: which configs end with that error."""

    def __init__(
        self,
        *,
        hold_after: Callable[[RunConfig], int] | int = 0,
        fails: Callable[[RunConfig], Exception | None] = lambda config: None,
    ) -> None:
        self.hold_after = hold_after
        self.fails = fails
        self.held = threading.Event()
        self.release = threading.Event()
        self.trained: list[tuple[int, int, int]] = []  # batch size, seed, first step

    def __call__(
        self, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Iterator[Event]:
        state = folder / "resume.json"
        done = json.loads(state.read_text()) if state.exists() else 0
        self.trained.append((config.batch_size, config.seed, done))
        yield started(done, per_epoch=PER_EPOCH, epochs=config.epochs)
        error = self.fails(config)
        if error is not None:
            raise error
        for number in range(done + 1, PER_EPOCH * config.epochs + 1):
            yield step(number, per_epoch=PER_EPOCH)
            state.write_text(json.dumps(number))
            if number % PER_EPOCH == 0:
                finished = epoch(number // PER_EPOCH, per_epoch=PER_EPOCH)
                yield replace(finished, val={**finished.val, "accuracy": accuracy(config)})
                hold = self.hold_after
                if number // PER_EPOCH == (hold if isinstance(hold, int) else hold(config)):
                    self.held.set()
                    while not self.release.wait(0.005) and control.wanted == "run":
                        pass
            if control.wanted in ("stop", "pause"):
                yield ended("stopped" if control.wanted == "stop" else "paused", steps=number)
                return
        end = ended(steps=PER_EPOCH * config.epochs)
        yield replace(
            end,
            best_val={**end.best_val, "accuracy": accuracy(config)},
            test={**end.test, "accuracy": accuracy(config) - 0.1},
        )


def sweep(**values: object) -> SweepConfig:
    return SweepConfig.from_mapping(
        {"base": {"epochs": 2, "device": "cpu"}, "axes": {"batch_size": [10, 20]}, **values}
    )


def poll_until(driver: Driver, done: Callable[[], bool], *, timeout: float = 60) -> bool:
    """Poll until `done`; returns what the last poll did."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        going = driver.poll()
        if done() or not going:
            return going
        time.sleep(0.01)
    raise AssertionError("the driver did not get there")
