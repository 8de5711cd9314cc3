"""What the workers of the tests' cluster run: importable, as they are processes of their own."""

import time
from collections.abc import Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.progress import Report
from lab.runs.worker import lab_engine
from lab.training.control import Control
from lab.training.events import Event, StepDone
from tests.runs.fakes import ended, epoch, started, step

SLEEPER = "mlp"
"""The architecture whose runs only sleep: 10 steps of SLEEP_SECONDS."""

SLEEP_SECONDS, PAUSE_SECONDS = 0.05, 0.08


def slow_engine(
    config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """The lab's engine, which saves often and rests between two steps; or one that sleeps."""
    if config.architecture == SLEEPER:
        yield from _sleep()
        return
    from lab.training import fit

    fit.SAVE_AT_LEAST_EVERY, fit.SAVE_COST_FACTOR = 0.1, 1.0
    for event in lab_engine(config, folder, control, report):
        yield event
        if isinstance(event, StepDone):
            time.sleep(PAUSE_SECONDS)


def _sleep() -> Iterator[Event]:
    yield started()
    for number in range(1, 11):
        time.sleep(SLEEP_SECONDS)
        yield step(number)
        if number % 5 == 0:
            yield epoch(number // 5)
    yield ended()
