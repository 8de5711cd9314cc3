"""`sweep`: train a grid, a random draw or a halving, from a file, a stock name, or go on with one.

The driver works in a thread of its own; the main thread trains, so that Ctrl-C ends a run within
one step. A server on the same LAB_HOME may take runs too: whoever has the device takes the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from lab.cli.console import Console
from lab.data import catalog
from lab.errors import ConfigError, LabError
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig, value_text
from lab.experiments.sweeps.presets import PRESETS
from lab.experiments.sweeps.results import Line, lines, ranked
from lab.experiments.sweeps.table import set_sweep_status, sweep, trial_of
from lab.experiments.sweeps.thread import DriverThread, enter_sweep, left_out, stop_sweep
from lab.metrics import METRICS
from lab.runs.queue import Queue, run_here
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.words import percent

POLL_SECONDS = 0.2


def run(options: argparse.Namespace) -> int:
    queue = Queue(store())  # never started: this process trains in its main thread
    sweep_id, config = _begin(options.what, quick=options.quick)
    teller = _Teller(sweep_id, config, as_json=options.json)
    teller.started()
    driver = DriverThread(queue, only=sweep_id)
    driver.start()
    try:
        _train(sweep_id, queue, teller)
    except KeyboardInterrupt:
        _stop(sweep_id, queue)
    finally:
        driver.end(10.0)
    return teller.ended()


def _begin(what: str, *, quick: bool) -> tuple[str, SweepConfig]:
    """Enter a new sweep, or take up a stopped one."""
    chosen = next((each for each in PRESETS if each.id == what), None)
    if chosen is not None:
        known = [catalog.describe(name) for name in chosen.datasets]
        here = next((info for info in known if info.usable), None)
        if here is None:
            raise ConfigError(
                f"{what} needs the data set {known[0].name!r}, which is not on this machine. "
                f"{known[0].how_to_get}"
            )
        config = chosen.sweep(here.name, quick=quick)
        return enter_sweep(config), config
    if quick:
        names = ", ".join(each.id for each in PRESETS)
        raise ConfigError(f"--quick goes with a stock sweep only; there are: {names}.")
    path = Path(what)
    if what.startswith("s-") and not path.exists():
        row = sweep(store(), what)
        config = SweepConfig.from_json(row.config_json)
        if not row.is_working:  # else its process has ended, and this one goes on
            set_sweep_status(store(), what, "resuming")
        return what, config
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        names = ", ".join(each.id for each in PRESETS)
        raise ConfigError(
            f"{what} cannot be read: {reason}. Name a YAML file, a sweep's id, or a stock sweep: "
            f"{names}."
        ) from None
    config = SweepConfig.from_yaml(text)
    return enter_sweep(config), config


def _train(sweep_id: str, queue: Queue, teller: _Teller) -> None:
    """Train the sweep's runs as its driver puts them in line, until none comes any more."""
    runs = queue.store
    origin = f"sweep:{sweep_id}"
    while True:
        waiting = [row for row in runs.queued() if row.origin.startswith(f"{origin}:")]
        if waiting:
            try:
                ended = run_here(waiting[0].id)
            except ConfigError:  # a server that trains too was faster
                continue
            state = sweep(runs, sweep_id)
            judged = "state" in state.notes.get(trial_of(ended.origin) or 0, {})
            if ended.status == "stopped" and not judged and state.is_working:
                _stop(sweep_id, queue)  # by Ctrl-C: all of it is meant
        elif not sweep(runs, sweep_id).is_working and not runs.runs(
            origin=origin, status=("preparing", "running")
        ):
            return
        else:
            time.sleep(POLL_SECONDS)
        teller.tell_runs()


def _stop(sweep_id: str, queue: Queue) -> None:
    try:
        stop_sweep(sweep_id, queue=queue)
    except LabError as error:  # it has just ended
        print(error, file=sys.stderr)


class _Teller:
    """Says what happens, as JSON lines or as lines for a person."""

    def __init__(self, sweep_id: str, config: SweepConfig, *, as_json: bool) -> None:
        self._id = sweep_id
        self._config = config
        self._json = as_json
        self._told: set[str] = set()
        self._out = Console(highlight=False, markup=False, soft_wrap=True)

    def started(self) -> None:
        config = self._config
        missing = left_out(config)
        self._say(
            f"Sweep {self._id}: {config.combinations} combinations, at most "
            f"{config.runs_at_most} runs of {config.base.epochs} epochs.",
            event="sweep_started",
            sweep=self._id,
            kind=config.kind,
            combinations=config.combinations,
            runs_at_most=config.runs_at_most,
            left_out=[{"trial": number, "reason": why} for number, why in missing.items()],
        )
        for why in sorted(set(missing.values())):
            count = list(missing.values()).count(why)
            if not self._json:
                self._out.print(f"{count} left out: {why}")

    def tell_runs(self) -> None:
        """Every run that has ended and was not told yet."""
        for row in store().runs(origin=f"sweep:{self._id}", order="oldest"):
            if row.is_live or row.id in self._told:
                continue
            self._told.add(row.id)
            seed = row.settings["seed"]
            self._say(
                f"{row.name}: {row.status}, validation {percent(row.best_val_accuracy)}, test "
                f"{percent(row.test_accuracy)} ({row.seconds:.0f} s)",
                event="run_ended",
                run=row.id,
                trial=trial_of(row.origin),
                params=self._params(row),
                seed=seed,
                status=row.status,
                message=row.message,
                **{f"best_val_{name}": value for name, value in row.best_val.items()},
                **{f"test_{name}": value for name, value in row.test.items()},
                seconds=row.seconds,
            )

    def ended(self) -> int:
        """The table; returns the exit status."""
        self.tell_runs()
        row = sweep(store(), self._id)
        found = ranked(
            self._config, lines(self._config, store().runs(origin=row.origin), row.notes)
        )
        if self._json:
            self._say(
                "",
                event="sweep_ended",
                sweep=self._id,
                status=row.status,
                message=row.message,
                metric=self._config.metric,
                combinations=[_plain(line) for line in found],
            )
        else:
            self._out.print(_table(self._config, found))
            for line in found:
                if line.note:
                    self._out.print(f"Combination {line.number}: {line.note}")
            go_on = f" Go on with it: python -m lab sweep {self._id}"
            self._out.print(
                f"Sweep {self._id}: {row.status}. {row.message}"
                + ("" if row.status == "completed" else go_on)
            )
        if row.status == "stopped":
            return 130
        return 0 if row.status == "completed" and any(x.judged.count for x in found) else 1

    def _say(self, text: str, **event: Any) -> None:
        if self._json:
            print(json.dumps(event), flush=True)
        elif text:
            self._out.print(text)

    def _params(self, row: RunRow) -> dict[str, Any]:
        return {knob: row.settings.get(knob) for knob in self._config.axes}


def _plain(line: Line) -> dict[str, Any]:
    return {
        "trial": line.number,
        "params": line.params,
        "state": line.state,
        "mean": line.judged.mean,
        "spread": line.judged.spread,
        "seeds": line.judged.count,
        "test_accuracy": line.test.mean,
        "test_spread": line.test.spread,
        "seconds": line.seconds,
        "runs": [row.id for row in line.runs],
        "note": line.note,
    }


def _table(config: SweepConfig, found: list[Line]) -> Table:
    table = Table("", *config.axes, JUDGED_BY[config.metric], "Test accuracy", "Seeds", "State")
    for line in found:
        table.add_row(
            str(line.number),
            *(value_text(value) for value in line.params.values()),
            line.judged.text(config.measured),
            line.test.text(METRICS["accuracy"]),
            f"{line.judged.count} of {len(config.seeds)}",
            line.state,
        )
    return table
