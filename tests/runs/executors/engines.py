"""What the workers of the tests' cluster run: importable, as they are processes of their own."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.progress import Report
from lab.runs.executors import ray_trainer
from lab.runs.worker import lab_engine
from lab.training.control import Control
from lab.training.events import Event, StepDone
from tests.runs.fakes import ended, epoch, started, step

SLEEPER = "mlp"
"""The architecture whose runs only sleep: 10 steps of SLEEP_SECONDS."""

SLEEP_SECONDS = 0.05

HOLD, HELD_AT = "hold", 8
"""While a file of this name lies beside the machines' folders, runs rest after that step; those
that sleep before their first one."""


def held_engine(
    config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """The lab's engine, which saves and sends at each step and may be held; or one that sleeps."""
    if config.architecture == SLEEPER:
        yield from _sleep(control)
        return
    from lab.training import fit

    fit.SAVE_AT_LEAST_EVERY = fit.SAVE_COST_FACTOR = 0.0
    ray_trainer.SEND_SECONDS = ray_trainer.SEND_COST_FACTOR = 0.0
    for event in lab_engine(config, folder, control, report):
        yield event
        if isinstance(event, StepDone) and event.step == HELD_AT:
            _rest(control)


def _rest(control: Control) -> None:
    hold = Path(os.environ["LAB_NODE_HOME"]).parent / HOLD
    while hold.exists() and control.wanted == "run":
        time.sleep(0.02)


def _sleep(control: Control) -> Iterator[Event]:
    yield started()
    _rest(control)
    for number in range(1, 11):
        time.sleep(SLEEP_SECONDS)
        yield step(number)
        if number % 5 == 0:
            yield epoch(number // 5)
    yield ended()
