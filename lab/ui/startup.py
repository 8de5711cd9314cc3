"""What happens once in the life of a server, none of it in the way of the first page."""

from __future__ import annotations

import importlib
import logging
import tempfile
import threading
from pathlib import Path

import streamlit as st

from lab.data import catalog
from lab.errors import LabError
from lab.experiments.starts import defaults_for
from lab.experiments.sweeps.thread import drive
from lab.process import freeze_imports, switch_threads_often
from lab.runs.queue import queue
from lab.training.events import ProbeTaken, RunEnded
from lab.ui.run.live_chart import ensure_plotly_js

log = logging.getLogger(__name__)

VIEWS = ("lab.evaluate.report", "lab.evaluate.inspecting", "lab.evaluate.classify")
"""What a click on Results, Inspect or Classify would wait for on a server that just started."""


@st.cache_resource(show_spinner=False)
def start_once() -> None:
    """Start the queue, then warm up behind the first page.

    Cached by Streamlit for the life of the server: runs once, in the first session's script thread.
    """
    ensure_plotly_js()
    switch_threads_often()
    queue().start()
    drive()  # sweeps that were at work when the last server ended
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up() -> None:
    """Runs in its own thread: draws the built-in data sets, imports the engine, takes one step on
    each, imports what looks at results, counts what the recipes' networks compute.

    Without it the first press of Train would wait for the first three; the step is for what torch
    and torchvision import only when they are used, and for the trial of number formats that comes
    before the first one of a shape. (What the trial finds is kept; it is made to stand a person who
    is busy beside it, see `lab.training.speed.trials`.)
    """
    built_in = [spec.name for spec in catalog.DATASETS if spec.drawn]
    for prepare in (catalog.open_pack, _rehearse):
        for name in built_in:
            try:
                prepare(name)
            except LabError as error:
                log.warning("%s could not be prepared: %s", name, error)
    for name in VIEWS:
        importlib.import_module(name)
    _count_networks()
    freeze_imports()


def _count_networks() -> None:
    """What the Experiments page's time estimates would count when it is first opened."""
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


def _rehearse(dataset: str) -> None:
    """The beginning of a run on a built-in data set, in a folder that goes away: a step, and the
    film strip behind it."""
    from lab.training.control import Control
    from lab.training.fit import fit
    from lab.training.plan import make_plan

    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(defaults_for(dataset), folder=Path(folder))
        for event in fit(plan, Control()):
            if isinstance(event, ProbeTaken | RunEnded):
                break
