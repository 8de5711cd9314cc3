"""`sweep`: train a grid or what another method draws, from a file or a preset; or resume one.

The driver works in a thread of its own; the main thread trains, so that Ctrl-C ends a run within
one step. Where there are several places (`lab.runs.executors`) the queue's threads train instead.
A server on the same LAB_HOME may take runs too: whoever has the place takes the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from lab.cli.console import Console
from lab.config import KNOBS
from lab.data import catalog
from lab.errors import ConfigError, LabError
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig
from lab.experiments.sweeps.places import effect, effect_words
from lab.experiments.sweeps.presets import PRESETS, SweepPreset
from lab.experiments.sweeps.results import (
    Line,
    interval_text,
    judged_values,
    line_values,
    lines,
    place_text,
    places_words,
    ranked,
)
from lab.experiments.sweeps.table import SweepRow, set_sweep_status, sweep, trial_of
from lab.experiments.sweeps.thread import DriverThread, enter_sweep, left_out, stop_sweep
from lab.installation import COMMAND
from lab.metrics import METRICS
from lab.runs.executors.choice import executor
from lab.runs.foreground import run_in_foreground
from lab.runs.queue import Queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.words import percent

POLL_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="FILE.yaml",
        help="a sweep as YAML, a preset's name, or the id of a stopped sweep to go on with",
    )
    parser.add_argument("--quick", action="store_true", help="a sweep preset in its quick size")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, a run each")
    parser.set_defaults(perform=train_sweep)


def train_sweep(options: argparse.Namespace) -> int:
    sweep_id, config = _begin(options.source, quick=options.quick)
    report = _JsonReport(sweep_id, config) if options.json else Report(sweep_id, config)
    return perform(sweep_id, config, report)


def perform(sweep_id: str, config: SweepConfig, report: Report) -> int:
    """Trains a sweep that has been entered, reports on it, and returns the exit status."""
    queue = Queue(store(), executor=executor())
    report.started(left_out(config))
    driver = DriverThread(queue, only=sweep_id)
    driver.start()
    several = queue.places_for(config.base) > 1
    if several:
        queue.start()
    try:
        _train(sweep_id, queue, report, here=not several)
    except KeyboardInterrupt:
        _stop(sweep_id, queue)
    finally:
        driver.end(10.0)
        queue.shutdown()
    return report.ended()


# --- the requested sweep ------------------------------------------------------------------------
def _begin(source: str, *, quick: bool) -> tuple[str, SweepConfig]:
    """Create a new sweep, or resume a stopped one; returns its id and config."""
    presets = {preset.id: preset for preset in PRESETS}
    path = Path(source)
    if source in presets:
        config = _from_preset(presets[source], quick=quick)
    elif quick:
        raise ConfigError(
            f"--quick goes with a sweep preset only; there are: {', '.join(presets)}."
        )
    elif source.startswith("s-") and not path.exists():
        return source, _resume(source)
    else:
        config = _from_file(path, presets)
    return enter_sweep(config), config


def _from_preset(preset: SweepPreset, *, quick: bool) -> SweepConfig:
    datasets = [catalog.describe(name) for name in preset.datasets]
    usable = next((dataset for dataset in datasets if dataset.usable), None)
    if usable is None:
        raise ConfigError(
            f"{preset.id} needs the data set {datasets[0].name!r}, which is not on this machine. "
            f"{datasets[0].how_to_get}"
        )
    return preset.sweep(usable.name, quick=quick)


def _resume(sweep_id: str) -> SweepConfig:
    row = sweep(store(), sweep_id)
    config = SweepConfig.from_json(row.config_json)
    if not row.is_working:  # else its process has ended, and this one goes on
        set_sweep_status(store(), sweep_id, "resuming")
    return config


def _from_file(path: Path, presets: Iterable[str]) -> SweepConfig:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(
            f"{path} cannot be read: {reason}. Name a YAML file, a sweep's id, or a sweep preset: "
            f"{', '.join(presets)}."
        ) from None
    return SweepConfig.from_yaml(text)


# --- training -----------------------------------------------------------------------------------
def _train(sweep_id: str, queue: Queue, report: Report, *, here: bool) -> None:
    """Train the sweep's runs `here` as its driver queues them, or wait until the queue's threads
    have, until none comes any more."""
    runs = queue.store
    origin = f"sweep:{sweep_id}"
    while True:
        waiting = [row for row in runs.queued() if row.origin.startswith(f"{origin}:")]
        if waiting and here:
            try:
                ended = run_in_foreground(waiting[0].id)
            except ConfigError:  # a server that trains too was faster
                continue
            state = sweep(runs, sweep_id)
            judged = "state" in state.notes.get(trial_of(ended.origin) or 0, {})
            if ended.status == "stopped" and not judged and state.is_working:
                _stop(sweep_id, queue)  # by Ctrl-C: all of it is meant
        elif not sweep(runs, sweep_id).is_working and not runs.runs(
            origin=origin, status=("queued", "preparing", "running")
        ):
            return
        else:
            time.sleep(POLL_SECONDS)
        report.runs_ended()


def _stop(sweep_id: str, queue: Queue) -> None:
    try:
        stop_sweep(sweep_id, queue=queue)
    except LabError as error:  # it has just ended
        print(error, file=sys.stderr)


# --- reports ------------------------------------------------------------------------------------
class Report:
    """Reports a sweep in lines for a person, with a table at the end."""

    def __init__(self, sweep_id: str, config: SweepConfig) -> None:
        self.id = sweep_id
        self.config = config
        self._reported: set[str] = set()
        self._out = Console(highlight=False, soft_wrap=True)

    def started(self, missing: dict[int, str]) -> None:
        """Report the start; `missing`: reasons by number of the combinations that are left out."""
        self._out.print(
            f"Sweep {self.id}: {self.config.combinations} combinations, at most "
            f"{self.config.runs_at_most} runs of {self.config.base.epochs} epochs."
        )
        reasons = list(missing.values())
        for reason in sorted(set(reasons)):
            self._out.print(f"{reasons.count(reason)} left out: {reason}")

    def runs_ended(self) -> None:
        """Report every run that has ended since the last call."""
        for row in store().runs(origin=f"sweep:{self.id}", order="oldest"):
            if not row.is_live and row.id not in self._reported:
                self._reported.add(row.id)
                self.run_ended(row)

    def run_ended(self, row: RunRow) -> None:
        self._out.print(
            f"{row.name}: {row.status}, validation {percent(row.best_val_accuracy)}, test "
            f"{percent(row.test_accuracy)} ({row.seconds:.0f} s)"
        )

    def ended(self) -> int:
        """Report how it ended, the best combination first; returns the exit status."""
        self.runs_ended()
        row = sweep(store(), self.id)
        runs = store().runs(origin=row.origin)
        table = ranked(self.config, lines(self.config, runs, row.notes))
        self.sweep_ended(row, table)
        if row.status == "stopped":
            return 130
        return 0 if row.status == "completed" and any(x.judged.count for x in table) else 1

    def sweep_ended(self, row: SweepRow, table: Sequence[Line]) -> None:
        self._out.print(_table(self.config, table))
        if words := places_words(self.config, table):
            self._out.print(words)
        if found := effect(self.config, *judged_values(self.config, _by_number(table))):
            self._out.print(effect_words(self.config, found))
        for line in table:
            if line.note:
                self._out.print(f"Combination {line.number}: {line.note}")
        go_on = f" Go on with it: {COMMAND} sweep {self.id}"
        self._out.print(
            f"Sweep {self.id}: {row.status}. {row.message}"
            + ("" if row.status == "completed" else go_on)
        )


class _JsonReport(Report):
    """Reports a sweep as JSON lines."""

    def started(self, missing: dict[int, str]) -> None:
        _print_event(
            "sweep_started",
            sweep=self.id,
            kind=self.config.kind,
            combinations=self.config.combinations,
            runs_at_most=self.config.runs_at_most,
            left_out=[{"trial": number, "reason": why} for number, why in missing.items()],
        )

    def run_ended(self, row: RunRow) -> None:
        _print_event(
            "run_ended",
            run=row.id,
            trial=trial_of(row.origin),
            params={knob: row.settings.get(knob) for knob in self.config.axes},
            seed=row.settings["seed"],
            status=row.status,
            message=row.message,
            **{f"best_val_{name}": value for name, value in row.best_val.items()},
            **{f"test_{name}": value for name, value in row.test.items()},
            seconds=row.seconds,
        )

    def sweep_ended(self, row: SweepRow, table: Sequence[Line]) -> None:
        _print_event(
            "sweep_ended",
            sweep=self.id,
            status=row.status,
            message=row.message,
            metric=self.config.metric,
            combinations=[line_values(line) for line in table],
        )


def _print_event(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _by_number(combinations: Sequence[Line]) -> list[Line]:
    return sorted(combinations, key=lambda line: line.number)


def _table(config: SweepConfig, combinations: Sequence[Line]) -> Table:
    head = (
        "Place", "", *config.axes, JUDGED_BY[config.metric], "95%", "Test accuracy", "Seeds",
        "State",
    )  # fmt: skip
    table = Table(*head)
    for line in combinations:
        table.add_row(
            place_text(line, combinations),
            str(line.number),
            *(KNOBS[knob].text(value) for knob, value in line.params.items()),
            line.judged.text(config.measured),
            interval_text(line, config.measured),
            line.test.text(METRICS["accuracy"]),
            f"{line.judged.count} of {len(config.seeds)}",
            line.state,
        )
    return table
