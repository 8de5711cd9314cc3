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
from lab.training.events import ProbeTaken, RunEnded

log = logging.getLogger(__name__)

SLOW_IMPORTS = (
    "lab.evaluate.report", "lab.evaluate.side_by_side", "lab.evaluate.classify", "timm",
)  # fmt: skip
"""Modules whose import would delay the first click on Results, Inspect or Classify, or the first
network that timm builds."""


@functools.cache
def start_once() -> None:
    """Starts the queue, then warms up in a thread. With the server; a page script that runs without
    one (a test) starts it at its first run."""
    switch_threads_often()
    queue().start()
    queue().forecast = _forecast
    drive()  # sweeps that were at work when the last server ended
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


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
    sweep()
    _draw_built_in()
    built_in = [spec.name for spec in catalog.DATASETS if spec.built_in]
    for prepare in (catalog.open_pack, _warm_up_dataset):
        for name in built_in:
            try:
                prepare(name)
            except LabError as error:
                log.warning("%s could not be prepared: %s", name, error)
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    _count_networks()
    freeze_imports()


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
        atexit.register(child.kill)
        child.wait()  # what it could not draw is tried again, and told, by the caller
    atexit.unregister(child.kill)


def _count_networks() -> None:
    """Counts the recipes' networks ahead for the Experiments page's time estimates."""
    from lab.experiments.estimates import estimate
    from lab.experiments.recipes.book import all_recipes
    from lab.experiments.recipes.recipe import SIZES, prepare

    for recipe in all_recipes():
        for size in SIZES:
            for prepared in prepare(recipe, size):
                try:
                    estimate(prepared.config)
                except LabError as error:
                    log.warning("no time estimate for %s: %s", prepared.name, error)


def _warm_up_dataset(dataset: str) -> None:
    """Begins a run on a built-in data set in a temporary folder: one step and its film strip."""
    from lab.training.control import Control
    from lab.training.fit import fit
    from lab.training.plan import make_plan

    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(defaults_for(dataset), folder=Path(folder))
        for event in fit(plan, Control()):
            if isinstance(event, ProbeTaken | RunEnded):
                break
