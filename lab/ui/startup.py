"""What a server does once, without delaying the first page."""

from __future__ import annotations

import atexit
import functools
import importlib
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.data import catalog
from lab.data.uploads import sweep
from lab.errors import LabError
from lab.experiments.starts import defaults_for
from lab.experiments.sweeps.thread import drive
from lab.installation import child_environment
from lab.process import freeze_imports, lower_priority, switch_threads_often
from lab.runs.queue import queue
from lab.runs.store import Store
from lab.training.devices import here
from lab.training.events import ProbeTaken, RunEnded

log = logging.getLogger(__name__)

SLOW_IMPORTS = (
    "lab.evaluate.report", "lab.evaluate.side_by_side", "lab.evaluate.classify", "timm",
)  # fmt: skip
"""Modules whose import would delay the first click on Results, Inspect or Classify, or the first
network that timm builds."""

_ending = threading.Event()
"""Set when the process ends."""


@functools.cache
def start_once() -> None:
    """Starts the queue, then warms up in a thread. With the server; a page script that runs without
    one (a test) starts it at its first run."""
    switch_threads_often()
    queue().start()
    queue().forecast = _forecast
    drive()  # sweeps that were at work when the last server ended
    warm_up = threading.Thread(target=_warm_up, name="warm-up", daemon=True)
    warm_up.start()
    atexit.register(_end, warm_up)


def _end(warm_up: threading.Thread, timeout: float = 10.0) -> None:
    """End the warm-up after the piece of work it is at; wait for that, so many seconds at most.

    A thread that still runs inside torch when Python has ended aborts the process.
    """
    _ending.set()
    warm_up.join(timeout)


def _forecast(runs: Store, config: RunConfig, device: str) -> float | None:
    from lab.experiments.estimates import expected_seconds  # brings torch

    return expected_seconds(runs, config, device)


def _warm_up() -> None:
    """Draws the built-in data sets, trains a step on each, imports the results' modules and counts
    the recipes' networks.

    Without it the first press of Train would wait for that. The step also imports what torch and
    torchvision import late, and runs the trial of number formats (`lab.training.speed.trials`).
    """
    lower_priority()  # the first page, which somebody waits for, imports at the same time
    with here():
        for name, work in _pieces():
            if _ending.is_set():
                return
            try:
                work()
            except LabError as error:
                log.warning("%s could not be prepared: %s", name, error)


def _pieces() -> Iterator[tuple[str, Callable[[], object]]]:
    """The warm-up's pieces, each with its name; none takes more than a few seconds."""
    yield "uploads", sweep
    yield "built-in data", _draw_built_in
    built_in = [spec.name for spec in catalog.DATASETS if spec.built_in]
    for prepare in (catalog.open_pack, _warm_up_dataset):
        yield from ((name, functools.partial(prepare, name)) for name in built_in)
    for name in SLOW_IMPORTS:
        yield name, functools.partial(importlib.import_module, name)
    yield from _networks_to_count()
    yield "imports", freeze_imports


def _draw_built_in() -> None:
    """Draws the built-in sets that are missing, in a process of its own: a thread that draws has
    Python's lock nearly all the time, and the first pages would wait for it."""
    if all(info.state != catalog.BUILT_IN for info in catalog.list_datasets()):
        return
    command = [sys.executable, "-m", "lab", "datasets", "prepare"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, env=child_environment(), stdin=quiet, stdout=quiet, stderr=quiet
    ) as child:
        while child.poll() is None:  # what it could not draw is tried again, and told, by opening
            if _ending.wait(0.1):
                child.kill()


def _networks_to_count() -> Iterator[tuple[str, Callable[[], object]]]:
    """The recipes' networks, counted ahead for the Experiments page's time estimates."""
    from lab.experiments.estimates import estimate
    from lab.experiments.recipes.book import all_recipes
    from lab.experiments.recipes.recipe import SIZES, prepare

    for recipe in all_recipes():
        for size in SIZES:
            for prepared in prepare(recipe, size):
                yield prepared.name, functools.partial(estimate, prepared.config)


def _warm_up_dataset(dataset: str) -> None:
    """Begins a run on a built-in data set in a temporary folder: one step and its film strip."""
    from lab.training.control import Control
    from lab.training.fit import fit
    from lab.training.plan import make_plan

    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(defaults_for(dataset), folder=Path(folder))
        for event in fit(plan, Control()):
            if _ending.is_set() or isinstance(event, ProbeTaken | RunEnded):
                break
