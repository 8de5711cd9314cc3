"""What the viewers of one run are sent: a snapshot, then what has changed since.

{"topic": "run:r-1", "cursor": "0.120.3.14", "run": {...},         always
 "progress": {...}, "tiles": [...], "alt": {metric: sentence},   always
 "history": {"whole": true, "step": ..., "step_columns": ...},   with new points
 "before": {"step": [...], ...},                                of the runs that it goes on from
 "log": [...], "film": {...}, "layers": 12, "judgement": {...}}  when they changed
"""

from __future__ import annotations

import math
import os
from typing import Any

from lab.api.film import film_values
from lab.api.history import (
    FEWEST_CLASSES,
    NEW,
    WHOLE,
    history_values,
    panels,
    recorded_metrics,
)
from lab.api.judging import Judge, verdict_values
from lab.api.lineage import curves_before
from lab.api.run_texts import progress_values, tile_values
from lab.api.run_values import log_values, run_values
from lab.metrics import metrics_of
from lab.people import others_hidden
from lab.runs.executors.choice import executor, places_of
from lab.runs.history import ThinnedHistory
from lab.runs.judging import Judgement
from lab.runs.queue_order import seconds_until
from lab.runs.rows import EpochColumns, RunRow, StepColumns
from lab.runs.status import ACTIVE
from lab.runs.store import Store
from lab.training.watch import film_files
from lab.training.watch.layer_file import newest_sample
from lab.words import duration

SOON = 0.1
"""Seconds between two readings before the first point: a person waits for it."""

LIVE = 1.0 if (os.cpu_count() or 1) < 4 else 0.5
"""Seconds between two readings of a run that trains, or waits for other runs."""

IDLE = 2.0
"""Seconds between two readings of a run that may be resumed."""

LONG_STRIP = 200
"""Columns of a film strip that are sent at most, the newest ones."""


class RunFeed:
    """See `lab.api.hub.Feed`. Raises NotFoundError once the run is deleted."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run = store.run_for_all(run_id)
        self._folder = store.folder(run_id)
        self._judge = Judge(store, run_id)
        self._history = ThinnedHistory(store, run_id, points=WHOLE)
        newest = store.newest(run_id)
        self._step = newest.step or 0
        self._epoch = newest.epoch or 0
        self._numbers: dict[str, float] = dict(newest.metrics)
        self._learning_rate = newest.learning_rate
        self._log = 0
        self._film: tuple[int, ...] = ()
        self._layers = 0
        self._judgement: Judgement | None = None
        self._sent_state: dict[str, Any] = {}
        self._must_wait = False
        """Whether other runs train before it."""

    @property
    def seconds(self) -> float:
        if self._must_wait:
            return LIVE
        if self._run.is_live:
            return LIVE if self._step and self._run.status == "running" else SOON
        return SOON if self._judgement is None else IDLE

    # --- a viewer that comes --------------------------------------------------------------------
    def snapshot(self, cursor: str) -> dict[str, Any]:
        run = self._store.run_for_all(self._run.id)
        revision, step, epoch, log = _parse(cursor)
        whole = revision != run.revision or not step
        after = 0 if whole else step
        newest = self._store.newest(run.id)
        steps = (
            self._history.read(run.revision) if whole else self._store.steps(run.id, after=after)
        )
        # Not by the step: an epoch is recorded some seconds behind its last one.
        epochs = self._store.epochs(run.id, after=0 if whole else epoch)
        lines = self._store.log(run.id, after=0 if whole else log)
        message = {
            "cursor": _cursor(
                run,
                int(steps.step[-1]) if len(steps) else after,
                int(epochs.epoch[-1]) if len(epochs) else 0 if whole else epoch,
                lines[-1].seq if lines else log,
            ),
            **self._state(run, dict(newest.metrics), newest.learning_rate),
            **_points(run, steps, epochs, whole=whole, points=WHOLE),
            "log": log_values(lines),
            "layers": self._layers_now(),
        }
        if before := curves_before(self._store, run):
            message["before"] = before
        if film := self._film_now(film_files.snapshot_epochs(self._folder)):
            message["film"] = {**film, "whole": True}
        if judgement := self._judge.look(run, epoch=newest.epoch):
            message["judgement"] = verdict_values(self._store, run, judgement)
        return message

    # --- all viewers ----------------------------------------------------------------------------
    def changes(self) -> dict[str, Any] | None:
        run, before = self._store.run_for_all(self._run.id), self._run
        message: dict[str, Any] = {}
        rewound = run.revision != before.revision
        if rewound:  # what was recorded after the step that it goes on from is gone
            self._step = self._epoch = 0
            self._numbers, self._learning_rate = {}, None
        if run != before:
            steps = self._store.steps(run.id, after=self._step)
            epochs = self._store.epochs(run.id, after=self._epoch)
            if len(steps) or len(epochs) or rewound:
                self._count(steps, epochs)
                points = WHOLE if rewound else NEW
                message |= _points(run, steps, epochs, whole=rewound, points=points)
        has_begun = run.steps_per_epoch != before.steps_per_epoch
        if has_begun and (lines_before := curves_before(self._store, run)):
            message["before"] = lines_before
        if lines := self._store.log(run.id, after=self._log):
            self._log = lines[-1].seq
            message["log"] = log_values(lines)
        there = film_files.snapshot_epochs(self._folder)
        if there != self._film:
            taken_back = rewound or not set(self._film) <= set(there)
            new = there if taken_back else tuple(e for e in there if e not in self._film)
            self._film = there
            if (film := self._film_now(new)) or taken_back:
                message["film"] = {**(film or {"columns": []}), "whole": taken_back}
        layers = self._layers_now()
        if layers != self._layers:
            self._layers = message["layers"] = layers
        judgement = self._judge.look(run, epoch=self._epoch or None)
        if judgement is not None and judgement is not self._judgement:
            self._judgement = judgement
            message["judgement"] = verdict_values(self._store, run, judgement)
        self._run = run
        state = self._state(run, self._numbers, self._learning_rate)
        if not message and state == self._sent_state:
            return None
        self._sent_state = state
        return {"cursor": _cursor(run, self._step, self._epoch, self._log), **state, **message}

    def _count(self, steps: StepColumns, epochs: EpochColumns) -> None:
        if len(steps):
            self._step = int(steps.step[-1])
            self._numbers |= {name: float(steps[name][-1]) for name in steps.metrics}
            self._learning_rate = float(steps.learning_rate[-1])
        if len(epochs):
            self._epoch = int(epochs.epoch[-1])
            self._numbers |= {name: float(epochs[name][-1]) for name in epochs.metrics}

    # --- parts ----------------------------------------------------------------------------------
    def _state(
        self, run: RunRow, now: dict[str, float], learning_rate: float | None
    ) -> dict[str, Any]:
        """Returns what is told of the run itself, with every message."""
        known = {name: value for name, value in now.items() if math.isfinite(value)}
        values: dict[str, Any] = {
            "run": run_values(run),
            "progress": _progress(run),
            "tiles": tile_values(run, known, learning_rate),
            "alt": alt_texts(run, known),
        }
        ahead = _ahead(self._store, run) if run.status == "queued" else []
        self._must_wait = bool(ahead)
        if run.status == "queued":
            hidden = others_hidden()  # whose names this run's viewers may not read
            values["ahead"] = [
                {"id": r.id, "name": r.name} for r in ahead if not hidden or r.person == run.person
            ]
            values["place"] = place_in_line(ahead)
            values["starts"] = words_until(ahead, run)
        return values

    def _film_now(self, epochs: tuple[int, ...]) -> dict[str, Any] | None:
        snapshots = [
            snapshot
            for epoch in epochs[-LONG_STRIP:]
            if (snapshot := film_files.read_snapshot(self._folder, epoch))
        ]
        return film_values(snapshots) if snapshots else None

    def _layers_now(self) -> int:
        newest = newest_sample(self._folder)
        return newest[0] if newest else 0


def _points(
    run: RunRow, steps: StepColumns, epochs: EpochColumns, *, whole: bool, points: int
) -> dict[str, Any]:
    metrics = recorded_metrics(run, epochs)
    history = history_values(steps, epochs, metrics, points=points)
    return {"metrics": panels(metrics), "history": {**history, "whole": whole}}


def _progress(run: RunRow) -> dict[str, Any] | None:
    """Returns the progress in words; of a run that trains on while nobody can reach its place,
    with that."""
    values = progress_values(run)
    if values and run.status == "running" and (trouble := executor().trouble()):
        values["text"] += f" · {trouble}"
    return values


def place_in_line(ahead: list[RunRow]) -> int:
    """Returns the place of a run behind these, of which some train; 0 where none is before it."""
    return sum(run.status == "queued" for run in ahead) + 1 if ahead else 0


def words_until(ahead: list[RunRow], run: RunRow) -> str:
    """Returns when a run begins that waits for these to leave it a place of its kind of device, or
    one for each of its workers, such as "about 5 min"; "" if nobody knows."""
    device = run.device
    if not device or executor().trouble():  # not chosen yet, a moment after the press
        return ""
    same = [each for each in ahead if each.device == device]
    workers = run.settings.get("workers", 1)
    seconds = seconds_until(same, places_of(executor(), device), workers)
    return "" if seconds is None else f"about {duration(max(5, round(seconds / 5) * 5))}"


def _ahead(store: Store, run: RunRow) -> list[RunRow]:
    """Returns the runs that train before a queued one, the running one first."""
    waiting = [r for r in store.queued() if (r.queue_position or 0) < (run.queue_position or 0)]
    return [r for r in (*store.runs(status=ACTIVE), *waiting) if r.home == run.home]


def alt_texts(run: RunRow, now: dict[str, float]) -> dict[str, str]:
    """Returns a sentence for each panel, by metric: what the curve shows, for screen readers."""
    texts = {}
    for metric in metrics_of(len(run.class_names) or FEWEST_CLASSES):
        if not run.step:
            texts[metric.name] = f"{metric.title}: no point to show yet."
            continue
        clauses = []
        if metric.of_batches:
            value = metric.text(now.get(f"{metric.name}_smoothed"))
            clauses.append(f"{value} smoothed over training batches")
        if f"val_{metric.name}" in now:
            clauses.append(f"{metric.text(now[f'val_{metric.name}'])} on the validation images")
        if run.best_epoch is not None:
            clauses.append(f"best epoch {run.best_epoch}")
        so_far = " so far" if run.is_live else ""
        steps = f"{run.step:,} step{'' if run.step == 1 else 's'}"
        texts[metric.name] = f"{metric.title} after {steps}{so_far}: {'; '.join(clauses)}."
    return texts


def _cursor(run: RunRow, step: int, epoch: int, log: int) -> str:
    return f"{run.revision}.{step}.{epoch}.{log}"


def _parse(cursor: str) -> tuple[int, int, int, int]:
    """Returns revision, step, epoch and log line of a cursor; of an unreadable one, such as
    none."""
    try:
        revision, step, epoch, log = (int(part) for part in cursor.split("."))
    except ValueError:
        return -1, 0, 0, 0
    return revision, step, epoch, log
