"""`train`, `resume` and `runs`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab.cli.console import Console
from lab.config import KNOBS, RunConfig, assignments
from lab.errors import ConfigError
from lab.metrics import METRICS, Metric, epoch_columns, metrics_of
from lab.training.events import (
    EpochDone,
    Event,
    LogWritten,
    RunEnded,
    RunStarted,
    StepDone,
    Waiting,
    as_row,
)
from lab.words import percent

EXIT_STATUS = {"completed": 0, "stopped": 130, "paused": 130}
"""By how the run ended; anything else is 1."""


def run(options: argparse.Namespace) -> int:
    if options.command == "runs":
        return list_runs(as_json=options.json)
    from lab.runs.queue import run_here
    from lab.runs.store import store

    if options.command == "resume":
        run_id = store().run(options.run).id
        with reporter(options.json) as report:
            row = run_here(run_id, on_event=report)
    else:
        from lab.training.plan import resolve

        config = resolve(config_from(options))
        with reporter(options.json) as report:
            row = run_here(config, name=options.name, on_event=report)
    if not options.json:
        print(f"Run {row.id}: {row.message}")
    return EXIT_STATUS.get(row.status, 1)


def config_from(options: argparse.Namespace) -> RunConfig:
    """From --config, then the knobs' own options, then --set; also for `find-rate`."""
    base = RunConfig()
    if options.config:
        try:
            base = RunConfig.from_yaml(Path(options.config).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise ConfigError(f"--config {options.config} cannot be read: {reason}.") from None
    texts = {name: text for name in KNOBS if (text := getattr(options, f"knob_{name}")) is not None}
    return RunConfig.from_texts({**texts, **assignments(options.set)}, base)


def list_runs(*, as_json: bool) -> int:
    from lab.runs.store import store

    rows = store().runs()
    if as_json:
        for row in rows:
            print(
                json.dumps(
                    {
                        "run": row.id,
                        "name": row.name,
                        "status": row.status,
                        **{f"best_val_{name}": row.best_val.get(name) for name in METRICS},
                        **{f"test_{name}": row.test.get(name) for name in METRICS},
                        "config": row.settings,
                    }
                )
            )
        return 0
    table = Table("Run", "Name", "Status", "Validation", "Test")
    for row in rows:
        table.add_row(
            row.id,
            row.name,
            row.status,
            percent(row.best_val_accuracy),
            percent(row.test_accuracy),
        )
    Console().print(table if rows else "No runs yet.")
    return 0


class reporter:
    """Tells events as JSON lines, or as a progress bar over a growing table."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def __enter__(self) -> Callable[[Event], None]:
        if self.as_json:
            return print_json
        self.bar = _Bar()
        self.bar.progress.start()
        return self.bar.tell

    def __exit__(self, *_: object) -> None:
        if not self.as_json:
            self.bar.progress.stop()


def print_json(event: Event) -> None:
    """One line: the event's name in snake_case, then its fields, with metrics by name as in the
    store's columns."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    print(json.dumps({"event": name, **_plain(as_row(event))}), flush=True)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN; a value that is none is null."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}


class _Bar:
    """The readable form. Runs in the main thread, called between two steps."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=Console(file=sys.stderr),
        )
        self.task: TaskID | None = None
        self.columns: list[tuple[str, Metric, str]] = []
        """Of the table of epochs: the metric's column, the metric, the title."""
        self.out = Console()

    def tell(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            words = {"train": "training", "val": "validation"}
            self.out.print(
                f"{event.train_samples:,} training, {event.val_samples:,} validation, "
                f"{event.test_samples:,} test images; {event.trainable_parameters:,} of "
                f"{event.total_parameters:,} parameters trained on {event.device}."
            )
            self.columns = [
                (column, metric, f"{words[column.partition('_')[0]]} {metric.title.lower()}")
                for metric in metrics_of(len(event.class_names))
                if metric.shown  # the others have no room in a terminal; JSON has them all
                for column in epoch_columns([metric])
            ]
            titles = "  ".join(title for _, _, title in self.columns)
            self.out.print(f"epoch  {titles}  images/s", highlight=False)
            self.task = self.progress.add_task(
                "training", total=event.total_steps, completed=event.resumed_from_step, now=""
            )
        elif isinstance(event, StepDone) and self.task is not None:
            self.progress.update(
                self.task, completed=event.step, now=f"loss {event.values['loss']:.3f}"
            )
        elif isinstance(event, EpochDone):
            best = "  best so far" if event.is_best else ""
            row = as_row(event)
            values = "  ".join(
                f"{metric.text(row.get(column)):>{len(title)}}"
                for column, metric, title in self.columns
            )
            self.out.print(
                f"{event.epoch:5d}  {values}  {event.images_per_second:8,.0f}{best}",
                highlight=False,
            )
        elif isinstance(event, LogWritten | Waiting) and event.text:
            self.out.print(event.text, style="dim", markup=False, highlight=False)
        elif isinstance(event, RunEnded) and event.test:
            values = ", ".join(
                f"{METRICS[name].title.lower()} {METRICS[name].text(value)}"
                for name, value in event.test.items()
            )
            self.out.print(
                f"Test of epoch {event.best_epoch}'s weights: {values}.", highlight=False
            )
