"""Training from Python: a bar and a chart that grow in a notebook, plain text elsewhere."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.charts.run import EPOCH_COLUMNS, run_curves
from lab.cli.reporter import reporter
from lab.config import RunConfig
from lab.errors import StateError
from lab.notebook.results import Run
from lab.progress import Progress
from lab.runs.foreground import run_in_foreground
from lab.runs.history import thinned_curve
from lab.runs.rows import Curve
from lab.runs.time_left import TimeLeft
from lab.training.events import EpochDone, Event, RunEnded, RunStarted, StepDone, as_row
from lab.training.plan import resolve
from lab.words import duration

BAR_SECONDS = 0.2
"""Between two states of the bar."""
FIGURE_SECONDS = 2.0
"""Between two states of the chart."""


def train(
    config: RunConfig | None = None,
    *,
    name: str | None = None,
    recipe: str | None = None,
    live: bool = True,
    **knobs: Any,
) -> Run:
    """Trains a network, tests it, and returns the run.

    `knobs` are those of `RunConfig` (`train(dataset="drawn-signs", epochs=3)`), on top of `config`;
    `recipe` is "documents" or "modern", whose knobs are those of the Train page; those that are
    named win. In a notebook a bar and, with `live`, a chart grow while it trains; elsewhere it is
    the command line's bar. Ctrl-C (the notebook's Interrupt) stops within one step: then the run
    returned is stopped, and `Run.resume` goes on. It waits while other runs have the device.

    Raises ConfigError for knobs that do not fit, StateError when the run fails.
    """
    start = config or RunConfig()
    asked = start.changed(**knobs)
    if recipe is not None:
        from lab.experiments.starts import preset_knobs  # only those who want one wait for it

        asked = start.changed(**{**preset_knobs(recipe, asked), **knobs})
    return train_run(resolve(asked), name=name, live=live)


def train_run(what: RunConfig | str, *, name: str | None = None, live: bool = True) -> Run:
    """Trains a new run (its config) or goes on with an old one (its id); see `train`."""
    with _report(live=live) as report:
        row = run_in_foreground(what, name=name, on_event=report)
    if row.status == "failed":
        raise StateError(f"Run {row.id} failed: {row.message}")
    return Run(row.id)


def _report(*, live: bool) -> contextlib.AbstractContextManager[Callable[[Event], None]]:
    if in_notebook():
        return contextlib.nullcontext(_Live(live=live).report)
    return reporter(as_json=False)


def in_notebook() -> bool:
    """Whether this is a Jupyter notebook, which shows HTML and charts."""
    ipython = sys.modules.get("IPython")  # whoever is in one has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Live:
    """What a notebook shows of a run in training. Called between two steps, so it is quick: the
    chart takes some 20 ms, every FIGURE_SECONDS."""

    def __init__(self, *, live: bool) -> None:
        from IPython.display import display

        self.bar = display(_Bar("Preparing", 0, 1), display_id=True)
        self.time_left = TimeLeft()
        self.steps: list[StepDone] = []
        self.epochs: list[EpochDone] = []
        self.chart = display(self._chart(), raw=True, display_id=True) if live else None
        self.done, self.total = 0, 1
        self.next_bar = self.next_chart = 0.0

    def report(self, event: Event) -> None:
        self.time_left.add(event)
        if isinstance(event, RunStarted):
            self.done, self.total = event.resumed_from_step, event.total_steps
        elif isinstance(event, StepDone):
            self.done = event.step
            self.steps.append(event)
        elif isinstance(event, EpochDone):
            self.epochs.append(event)
        now, ended = time.monotonic(), isinstance(event, RunEnded)
        if ended or now >= self.next_bar:
            self.next_bar = now + BAR_SECONDS
            text = event.message if isinstance(event, RunEnded) else self._text()
            self.bar.update(_Bar(text, self.done, self.total))
        if self.chart is not None and (ended or now >= self.next_chart):
            self.chart.update(self._chart(), raw=True)
            self.next_chart = time.monotonic() + FIGURE_SECONDS

    def _text(self) -> str:
        activity, text = self.time_left.activity, f"Step {self.done:,} of {self.total:,}"
        if activity is not None:
            done = activity.done, activity.total, activity.activity, activity.unit
            text = Progress(*done).in_words()
        left = self.time_left.seconds()
        return text if left is None else f"{text}, {duration(left)} left"

    def _chart(self) -> dict[str, Any]:
        """Returns the chart as Jupyter's raw data: a figure displays itself, a new one each time,
        and this one is to change in its place."""
        figure = json.loads(self._figure().to_json())
        return {"application/vnd.plotly.v1+json": figure, "text/plain": "Loss and accuracy"}

    def _figure(self) -> go.Figure:
        step = np.array([event.step for event in self.steps], dtype=np.int64)
        loss = np.array([event.values["loss"] for event in self.steps], dtype=np.float64)
        curve = thinned_curve(Curve(step, np.zeros(len(step)), loss))
        row = [as_row(event) for event in self.epochs]
        epoch, after, *values = (
            np.array([each.get(column, np.nan) for each in row]) for column in EPOCH_COLUMNS
        )
        return run_curves(curve.step, curve.value, epoch, after, *values)


@dataclass(frozen=True)
class _Bar:
    """A bar with a text, as HTML and as plain text."""

    text: str
    done: int
    total: int

    def _repr_html_(self) -> str:
        return (
            f"<progress value='{self.done}' max='{self.total}' style='width: 20em'></progress> "
            f"{escape(self.text)}"
        )

    def __repr__(self) -> str:
        return self.text
