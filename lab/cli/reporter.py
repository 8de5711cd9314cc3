"""Reports a run in training: JSON lines, or a progress bar over a growing table."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lab import progress as lab_progress
from lab.cli.console import Console
from lab.config import RunConfig
from lab.metrics import METRICS, Metric, epoch_columns, metrics_of
from lab.runs.time_left import TimeLeft
from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    LogWritten,
    RunEnded,
    RunStarted,
    StepDone,
    as_row,
)
from lab.words import duration

EXIT_STATUS = {"completed": 0, "stopped": 130, "paused": 130}
"""By the run's final status; 1 for any other."""


def run_reported(run: RunConfig | str, *, name: str | None = None, as_json: bool) -> int:
    """Train a new run or resume an old one (`run_in_foreground`); returns the exit status."""
    from lab.runs.foreground import run_in_foreground  # late: `train --help` needs no run store

    with reporter(as_json=as_json) as report:
        row = run_in_foreground(run, name=name, on_event=report)
    if not as_json:
        print(f"Run {row.id}: {row.message}")
    return EXIT_STATUS.get(row.status, 1)


@contextmanager
def reporter(*, as_json: bool) -> Iterator[Callable[[Event], None]]:
    """Yields the listener to call with each event of a run."""
    if as_json:
        yield print_json
        return
    bar = _Bar()
    with bar.progress:
        yield bar.report


def print_json(event: Event) -> None:
    """One line: the event's name in snake_case, then its fields, with metrics by name as in the
    store's columns."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    print(json.dumps({"event": name, **_without_nan(as_row(event))}), flush=True)


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values with None for NaN, which JSON does not have."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}


class _Bar:
    """The report for people. Runs in the main thread, called between two steps."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[loss]}"),
            console=Console(file=sys.stderr),
        )
        self.task: TaskID | None = None
        self.time_left = TimeLeft()
        self.columns: list[tuple[str, Metric, str]] = []
        """The columns of the table of epochs: event column, metric, title."""
        self.out = Console()

    def report(self, event: Event) -> None:
        self.time_left.add(event)
        if isinstance(event, RunStarted):
            self._started(event)
        elif isinstance(event, StepDone | ActivityProgressed) and self.task is not None:
            self._progressed(event, self.task)
        elif isinstance(event, EpochDone):
            row = as_row(event)
            values = "  ".join(
                f"{metric.text(row.get(column)):>{len(title)}}"
                for column, metric, title in self.columns
            )
            best = "  best so far" if event.is_best else ""
            self.out.print(
                f"{event.epoch:5d}  {values}  {event.images_per_second:8,.0f}{best}",
                highlight=False,
            )
        elif isinstance(event, LogWritten):
            self.out.print(event.text, style="dim", highlight=False)
        elif isinstance(event, RunEnded) and event.test:
            values = ", ".join(
                f"{METRICS[name].title.lower()} {METRICS[name].text(value)}"
                for name, value in event.test.items()
            )
            self.out.print(
                f"Test of epoch {event.best_epoch}'s weights: {values}.", highlight=False
            )

    def _progressed(self, event: StepDone | ActivityProgressed, task: TaskID) -> None:
        if isinstance(event, StepDone):
            loss = f"loss {event.values['loss']:.3f}"
            self.progress.update(task, completed=event.step, loss=loss)
        activity, text = self.time_left.activity, "training"
        if activity is not None:
            done = activity.done, activity.total, activity.activity, activity.unit
            text = lab_progress.Progress(*done).in_words()
        left = self.time_left.seconds()
        words = "" if left is None else f"{duration(left)} left"
        self.progress.update(task, description=text, left=words)

    def _started(self, event: RunStarted) -> None:
        self.out.print(
            f"{event.train_samples:,} training, {event.val_samples:,} validation, "
            f"{event.test_samples:,} test images; {event.trainable_parameters:,} of "
            f"{event.total_parameters:,} parameters trained on {event.device}."
        )
        self.columns = [
            (column, metric, f"{column.partition('_')[0]} {metric.title.lower()}")
            for metric in metrics_of(len(event.class_names))
            if metric.shown  # the others have no room in a terminal; JSON has them all
            for column in epoch_columns([metric])
        ]
        titles = "  ".join(title for _, _, title in self.columns)
        self.out.print(f"epoch  {titles}  images/s", highlight=False)
        self.task = self.progress.add_task(
            "training",
            total=event.total_steps,
            completed=event.resumed_from_step,
            loss="",
            left="",
        )
