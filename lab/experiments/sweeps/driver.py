"""One sweep at work: queue its runs, watch them, judge them, until every combination is settled.

    every half second:
        read the sweep's runs from the store
        halving: report each rung's value; stop the run that is not among the best
        settle the combinations whose runs have all ended
        keep a run of the sweep on each place and one waiting: a person's own run soon has its turn

A driver never trains: runs go through `Queue`, so all that is true of runs (stop, pause, one a
device, found again after a crash) is true of a sweep's. All state is in the database; a new driver
goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from lab.config import RunConfig
from lab.errors import ConfigError, LabError, PlaceLostError, ResourceError
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.study import OpenTrial, SweepStudy
from lab.experiments.sweeps.table import SweepRow, note_trial, set_sweep_status, sweep, trial_of
from lab.people import acting_as
from lab.runs.queue import Queue
from lab.runs.rows import EpochColumns, RunRow

logger = logging.getLogger(__name__)

WAITING_RUNS = 1
"""Most runs of one sweep that wait, beside those that train on a place."""

MAX_FAILURES = 5
"""Failures in a row (a locked database, a full disk) before a driver gives its sweep up."""

Check = Callable[[RunConfig], RunConfig]
"""Settles a config's open knobs; raises LabError when it cannot be trained."""


def resolved(config: RunConfig) -> RunConfig:
    """`lab.training.plan.resolve`, imported late: it brings torch."""
    from lab.training.plan import resolve

    return resolve(config)


class Driver:
    """One sweep that this process drives. Belongs to one thread."""

    def __init__(
        self,
        sweep_id: str,
        config: SweepConfig,
        study: SweepStudy,
        *,
        queue: Queue,
        check: Check = resolved,
    ) -> None:
        self.sweep_id = sweep_id
        self._config = config
        self._study = study
        self._queue = queue
        self._check = check
        self._last_state: object = None
        self._requeued = False
        self._failures = 0

    def poll(self) -> bool:
        """One round of the loop above; False when the sweep has ended or was stopped."""
        try:
            works = self._round()
            self._failures = 0
            return works
        except PlaceLostError as error:  # as the runs do, the sweep waits for the cluster
            logger.info("sweep %s waits: %s", self.sweep_id, error)
            return True
        except Exception as error:  # a locked database, a full disk: try again soon
            logger.exception("polling sweep %s failed", self.sweep_id)
            self._failures += 1
            if self._failures < MAX_FAILURES:
                return True
            with contextlib.suppress(Exception):
                text = f"It could not go on: {error} It can be resumed."
                set_sweep_status(self._queue.store, self.sweep_id, "failed", text)
            return False

    def _round(self) -> bool:
        runs = self._queue.store
        rows: dict[int, list[RunRow]] = defaultdict(list)
        for row in runs.runs(origin=f"sweep:{self.sweep_id}", order="oldest"):
            number = trial_of(row.origin)
            if number is not None:
                rows[number].append(row)
        # Read after the runs: a run that "stop all" has ended must not be taken for one that a
        # person ended by itself.
        state = sweep(runs, self.sweep_id)
        if not state.is_working:
            stop_runs(self._queue, state)
            return False
        if state.driver not in ("", runs.owner()):
            return False  # this process was silent for so long that another one drives it
        if not self._requeued or state.status == "resuming":
            self._requeued = self._requeue(rows, state)
            self._last_state = None
            return True
        runs_state = [(row.id, row.status, row.epoch) for each in rows.values() for row in each]
        if runs_state == self._last_state:
            return True
        live = sum(row.is_live for each in rows.values() for row in each)
        most = self._queue.places_for(self._config.base) + WAITING_RUNS
        for trial in self._study.open_trials():
            live += self._advance(trial, rows[trial.number], room=most - live)
        while live < most and (new := self._study.next()) is not None:
            live += self._advance(new, [], room=most - live)
        if live == 0 and not self._study.open_trials():
            set_sweep_status(runs, self.sweep_id, "completed")
            return False
        self._last_state = runs_state  # at the end: what went wrong on the way is tried again
        return True

    def _requeue(self, rows: dict[int, list[RunRow]], state: SweepRow) -> bool:
        """At the start: queue again what the end of a server paused, and what "stop all"
        stopped when a person takes that back; False when it must be tried again."""
        if state.status == "resuming" and any(
            row.is_active and row.requested == "stop" for each in rows.values() for row in each
        ):
            return False  # it has not stopped yet
        statuses = ["paused", "interrupted"]
        if state.status == "resuming":
            statuses.append("stopped")
        for trial in self._study.open_trials():
            for row in rows[trial.number]:
                if row.status in statuses:
                    with contextlib.suppress(ConfigError):  # somebody was faster
                        self._queue.resume(row.id)
        if state.status == "resuming":
            set_sweep_status(self._queue.store, self.sweep_id, "running")
        return True

    def _advance(self, trial: OpenTrial, rows: Sequence[RunRow], *, room: int) -> int:
        """Settle the combination if that is possible, else queue up to `room` of its runs; returns
        how many."""
        if why := trial.pruned or self._judge(trial, rows):
            self._end_pruned(trial, rows, why)
            return 0
        by_seed = {int(row.settings["seed"]): row for row in rows}
        missing = [s for s in self._config.seeds if s not in by_seed and s not in trial.submitted]
        if self._config.kind == "halving" and not (rows and rows[0].status == "completed"):
            # The first seed's run decides whether the others are worth their time.
            missing = [] if rows or trial.submitted else missing[:1]
        submitted = 0
        for seed in missing[: max(0, room)]:
            try:
                config = self._check(self._config.run_config(trial.params, seed))
                with acting_as(sweep(self._queue.store, self.sweep_id).owner):
                    self._queue.submit(
                        config,
                        self._config.run_name(trial.params, seed),
                        origin=f"sweep:{self.sweep_id}:{trial.number}",
                    )
            except ResourceError:  # a full disk: the sweep fails and can be resumed
                raise
            except LabError as error:
                self._give_up(trial, "left out", str(error))
                return submitted
            submitted += 1
            self._study.mark_submitted(trial, [*by_seed, *missing[:submitted]])
        # A paused or interrupted run may go on, so nothing is settled yet.
        unsettled = any(row.is_live or row.status in ("paused", "interrupted") for row in rows)
        if not missing and not unsettled:
            self._settle(trial, rows)
        return submitted

    def _settle(self, trial: OpenTrial, rows: Sequence[RunRow]) -> None:
        """All runs have ended: the combination's value is the mean of those that completed."""
        values = [v for row in rows if (v := final_value(row, self._config)) is not None]
        if values:
            self._study.tell(trial, "complete", float(np.mean(values)))
            return
        reasons = [row.message for row in rows if row.status == "failed"]
        text = reasons[0] if reasons else "its runs were stopped or deleted before they ended"
        self._give_up(trial, "failed", text)

    def _judge(self, trial: OpenTrial, rows: Sequence[RunRow]) -> str:
        """Halving: report what the first run measured at each rung; why it should go no further,
        or ""."""
        if not self._config.rungs or not rows:
            return ""
        epochs = self._queue.store.epochs(rows[0].id)
        for rung in self._config.rungs:
            if rung in trial.rungs or not len(epochs) or epochs.epoch[-1] < rung:
                continue
            value = value_at(epochs, self._config.metric, rung)
            if self._study.judge(trial, rung, value):
                continue
            why = (
                f"{self._value_text(value)} after epoch {rung} was not among the best "
                f"1/{self._config.reduction} of all that had come that far"
            )
            self._study.mark_pruned(trial, why)
            if rows[0].is_live:
                # Before the stop: whoever sees the run end can then tell why.
                self._note(trial, "stopped early", why)
                self._queue.store.write_log(rows[0].id, "decision", f"The sweep ends it: {why}.")
            return why
        return ""

    def _end_pruned(self, trial: OpenTrial, rows: Sequence[RunRow], why: str) -> None:
        """Stop the run that was pruned, and settle its combination once it has ended."""
        run = rows[0] if rows else None
        if run is not None and run.is_live:
            if run.requested != "stop":
                with contextlib.suppress(ConfigError):  # it has just ended by itself
                    self._queue.stop(run.id)
        elif run is not None and run.status == "completed":
            self._note(trial, "done", f"{why}, but it had finished by then")
            self._settle(trial, rows)
        else:
            self._study.tell(trial, "pruned")

    def _value_text(self, value: float) -> str:
        metric = self._config.measured
        return f"validation {metric.title.lower()} {metric.text(value)}"

    def _give_up(self, trial: OpenTrial, state: str, text: str) -> None:
        self._note(trial, state, text)
        self._study.tell(trial, "fail")

    def _note(self, trial: OpenTrial, state: str, text: str) -> None:
        params = dict(trial.params)
        note_trial(
            self._queue.store, self.sweep_id, trial.number, state=state, text=text, params=params
        )


def stop_runs(queue: Queue, row: SweepRow) -> None:
    """Ask every run of the sweep that trains or waits to stop."""
    for run in queue.store.runs(origin=row.origin, status=("queued", "preparing", "running")):
        if run.requested != "stop":
            with contextlib.suppress(ConfigError):  # it has just ended by itself
                queue.stop(run.id)


def value_at(epochs: EpochColumns, metric: str, last: int) -> float:
    """The metric of the best epoch up to epoch `last`: as `best_value` would have been then."""
    best = np.flatnonzero(epochs.is_best & (epochs.epoch <= last))
    return float(epochs[metric][best[-1]]) if len(best) else math.nan


def final_value(row: RunRow, config: SweepConfig) -> float | None:
    """The value by which the sweep judges a run; None unless it completed."""
    return best_value(row, config) if row.status == "completed" else None


def best_value(row: RunRow, config: SweepConfig) -> float | None:
    """The sweep's metric of the run's best epoch so far."""
    return row.best_val.get(config.measured.name)
