"""Writes a run's events as rows, in one transaction a batch."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from math import isfinite, nan
from typing import Any

import sqlalchemy as sa

from lab.metrics import METRICS
from lab.progress import Progress
from lab.runs import schema
from lab.runs.status import ACTIVE, refusal, sources
from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    LogWritten,
    ProbeTaken,
    RateChanged,
    RunEnded,
    RunStarted,
    SaveReached,
    StepDone,
    as_row,
)

SMOOTHING_SHARE = 1 / 20
"""Share of an epoch after which a value counts half in the moving average: so its end can be laid
beside the validation at the epoch's end, however many steps an epoch has."""

LEAST_HALF_LIFE, MOST_HALF_LIFE = 2.0, 100.0
"""Steps."""

LONGEST_TEXT = 20_000

NO_ACTIVITY: dict[str, Any] = {
    "activity": "",
    "activity_done": 0,
    "activity_total": 0,
    "activity_unit": "",
    "activity_seconds_left": None,
}
"""Of a run's row while training steps go on, and once it has ended."""


class Smoother:
    """The exponential moving average of each metric, corrected for its start at zero.

    With b = 0.5 ** (1 / half-life) and m(t) = b m(t-1) + (1 - b) x(t), the average is
    m(t) / (1 - b ** t): from the first step on a proper weighted mean of all values. Since t is
    the step, it can go on from its last value alone. A value that is no finite number leaves it
    unchanged.
    """

    def __init__(self, steps_per_epoch: int | None = None, *, is_behind: bool = False) -> None:
        self.set_epoch(steps_per_epoch)
        self.is_behind = is_behind
        """Whether steps were recorded without it, so that it must go on from the last one."""
        self._metrics: dict[str, tuple[float, float]] = {}
        """m(t) and 1 - b ** t of each; the weight is 0 before the first value."""

    def set_epoch(self, steps_per_epoch: int | None) -> None:
        """Set the half-life for epochs of so many steps; the shortest one while that is unknown."""
        half_life = SMOOTHING_SHARE * (steps_per_epoch or 0)
        half_life = min(MOST_HALF_LIFE, max(LEAST_HALF_LIFE, half_life))
        self._decay = 0.5 ** (1 / half_life)

    def copy(self) -> Smoother:
        twin = copy.copy(self)
        twin._metrics = dict(self._metrics)
        return twin

    def restart(self, step: int, averages: Mapping[str, float]) -> None:
        """Go on after `step` steps, by metric."""
        self.is_behind = False
        weight = 1.0 - self._decay**step
        self._metrics = {name: (average * weight, weight) for name, average in averages.items()}

    def extend(self, name: str, values: Iterable[float]) -> list[float]:
        """The averages of the metric `name` after each of these further steps; NaN before the first
        value."""
        total, weight = self._metrics.get(name, (0.0, 0.0))
        decay, gain = self._decay, 1.0 - self._decay
        averages = []
        for value in values:
            if isfinite(value):
                total = decay * total + gain * value
                weight = decay * weight + gain
            averages.append(total / weight if weight else nan)
        self._metrics[name] = (total, weight)
        return averages


def write_events(
    connection: sa.Connection,
    run_id: str,
    events: Sequence[Event],
    *,
    smoother: Smoother,
    images_per_second: float | None,
    seconds_left: float | None,
    activity: ActivityProgressed | None,
    at: float | None = None,
) -> None:
    """Append `events`, which happened `at` that time or now, to the run's tables and bring its row
    up to date.

    The rest is as of the last event. Without `images_per_second` they stay as they are; without
    `seconds_left` they are unknown; without `activity` training steps go on.

    RunStarted first deletes what was recorded after the step that the run resumes from. Raises
    ConfigError when the run is not in a state in which it could start or end that way.
    """
    if not events:
        return
    now = time.time() if at is None else at
    steps: list[StepDone] = []  # not written yet
    last_step: StepDone | None = None
    changes: dict[str, Any] = {}
    for event in events:
        # In the order of likelihood; steps are the hot path.
        if isinstance(event, StepDone):
            steps.append(event)
            last_step = event
        elif isinstance(event, EpochDone):
            changes |= _write_epoch(connection, run_id, event)
        elif isinstance(event, LogWritten):
            write_log(connection, run_id, [(event.level, event.text)], at=now)
        elif isinstance(event, RunStarted):
            _write_steps(connection, run_id, steps, smoother)
            steps.clear()
            changes |= _start_run(connection, run_id, event, smoother)
        elif isinstance(event, RateChanged):
            text = changes.get("rate_changes") or _rate_changes(connection, run_id)
            changes["rate_changes"] = _with_rate_change(text, event)
        elif isinstance(event, ProbeTaken | ActivityProgressed | SaveReached):
            pass  # images are a file in the run's folder; an activity is in the row alone
        else:
            changes |= _ending(event)
            level = "error" if event.status == "failed" else "info"
            write_log(connection, run_id, [(level, event.message)], at=now)
            change_status(connection, run_id, event.status, at=now, message=event.message)
    _write_steps(connection, run_id, steps, smoother)
    if last_step is not None:
        changes["epoch"] = max(changes.get("epoch", 0), last_step.epoch)
        if last_step.step > changes.get("step", 0):
            changes |= {"step": last_step.step, "seconds": last_step.seconds}
    if images_per_second is not None:
        changes.setdefault("images_per_second", images_per_second)
    if not isinstance(events[-1], RunEnded):
        changes["seconds_left"] = seconds_left
        changes |= _activity_columns(activity) if activity else NO_ACTIVITY
    if "step" in changes:
        changes.setdefault("progress", _progress(changes))
    connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(**changes))


def unrecorded(
    connection: sa.Connection, run_id: str, at: float, events: Sequence[Event]
) -> list[Event]:
    """Returns `events`, which happened `at` that time, without those that are recorded and that
    cannot be written twice; steps and epochs can."""
    log, runs = schema.log.c, schema.runs.c
    lines = sa.select(log.seq).where(log.run_id == run_id, log.at == at).limit(1)
    status = sa.select(runs.status).where(runs.id == run_id)
    skip: list[type] = []
    if connection.execute(lines).first() is not None:
        skip.append(LogWritten)
    if connection.execute(status).scalar() != "preparing":
        skip.append(RunStarted)
    return [event for event in events if not isinstance(event, tuple(skip))]


def write_log(
    connection: sa.Connection, run_id: str, lines: Iterable[tuple[str, str]], *, at: float
) -> None:
    connection.execute(
        schema.log.insert(),
        [
            {
                "run_id": run_id,
                "at": at,
                "level": level,
                "text": text[:LONGEST_TEXT].replace("\0", "�"),
            }
            for level, text in lines
        ],
    )


def change_status(
    connection: sa.Connection, run_id: str, status: str, *, at: float | None = None, **values: Any
) -> None:
    """Move the run to `status`, `at` that time or now, if the transition table allows it; else
    raises ConfigError."""
    now = time.time() if at is None else at
    runs = schema.runs
    if status not in ACTIVE:
        values = {"owner": "", **values, "requested": None, "seconds_left": None, **NO_ACTIVITY}
        # A clock that was set back meanwhile must not end a run before it started.
        ended_at = sa.case((runs.c.started_at > now, runs.c.started_at), else_=now)
        values |= {"ended_at": None if status == "queued" else ended_at}
    if status != "queued":
        values |= {"queue_position": None}
    allowed = sources(status)
    changed = connection.execute(
        runs.update()
        .where(runs.c.id == run_id, runs.c.status.in_(allowed))
        .values(status=status, **values)
    )
    if changed.rowcount == 0:
        current = connection.execute(sa.select(runs.c.status).where(runs.c.id == run_id)).scalar()
        raise refusal(run_id, current or "deleted", allowed, f"set to {status}")


def resume_smoother(connection: sa.Connection, run_id: str, smoother: Smoother) -> None:
    """Set `smoother` to its state after the last recorded step."""
    runs = schema.runs
    per_epoch = sa.select(runs.c.steps_per_epoch).where(runs.c.id == run_id)
    if known_steps := connection.execute(per_epoch).scalar():
        smoother.set_epoch(known_steps)
    row = _last_step(connection, run_id)
    if row is None:  # a run that goes on from another one goes on smoothly
        link = sa.select(runs.c.parent, runs.c.parent_epoch, runs.c.step).where(runs.c.id == run_id)
        parent, epoch, step = connection.execute(link).one()
        if step and parent:
            row = _last_step(connection, parent, epoch=epoch)
    if row is None:
        smoother.restart(0, {})
        return
    averages = {name: row[f"{name}_smoothed"] for name in METRICS if f"{name}_smoothed" in row}
    known = {name: average for name, average in averages.items() if average is not None}
    smoother.restart(row["step"], known)


def _last_step(
    connection: sa.Connection, run_id: str, *, epoch: int | None = None
) -> sa.RowMapping | None:
    """The run's last recorded step, of its epochs up to `epoch`."""
    steps = schema.steps
    query = sa.select(steps).where(steps.c.run_id == run_id).order_by(steps.c.step.desc()).limit(1)
    if epoch is not None:
        query = query.where(steps.c.epoch <= epoch)
    return connection.execute(query).mappings().first()


def _with_rate_change(text: str, event: RateChanged) -> str:
    earlier = _changes_before(text, event.step)
    return json.dumps([*earlier, [event.step, event.learning_rate]])


def _rate_changes(connection: sa.Connection, run_id: str) -> str:
    runs = schema.runs
    query = sa.select(runs.c.rate_changes).where(runs.c.id == run_id)
    return connection.execute(query).scalar() or "[]"


def _changes_before(text: str, step: int) -> list[list[float]]:
    return [change for change in json.loads(text) if change[0] < step]


def _write_steps(
    connection: sa.Connection, run_id: str, steps: Sequence[StepDone], smoother: Smoother
) -> None:
    """Insert `steps`, which all have the metrics of their run, with the moving averages."""
    if not steps:
        return
    # Column by column, which takes half the time of row by row.
    metrics = {name: [step.values[name] for step in steps] for name in steps[0].values}
    columns: dict[str, Iterable[Any]] = {
        "run_id": repeat(run_id, len(steps)),
        "step": [step.step for step in steps],
        "epoch": [step.epoch for step in steps],
        "learning_rate": [step.learning_rate for step in steps],
        "seconds": [step.seconds for step in steps],
        "samples": [step.samples for step in steps],
        **metrics,
        **{f"{name}_smoothed": smoother.extend(name, values) for name, values in metrics.items()},
    }
    rows = list(zip(*columns.values(), strict=True))
    # Past SQLAlchemy's handling of parameters, which costs as much as all the rest of a step.
    place = "?" if connection.dialect.name == "sqlite" else "%s"
    connection.exec_driver_sql(
        f"INSERT INTO steps ({', '.join(columns)}) VALUES ({', '.join([place] * len(columns))}) "
        "ON CONFLICT (run_id, step) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in list(columns)[2:]),
        rows,
    )


def _write_epoch(connection: sa.Connection, run_id: str, event: EpochDone) -> dict[str, Any]:
    epochs = schema.epochs
    # A run that was stopped between an epoch's last step and its end reports that epoch again.
    connection.execute(
        epochs.delete().where(epochs.c.run_id == run_id, epochs.c.epoch == event.epoch)
    )
    connection.execute(epochs.insert().values(run_id=run_id, **as_row(event)))
    changes: dict[str, Any] = {
        "step": event.step,
        "epoch": event.epoch,
        "seconds": event.seconds,
        "elapsed": event.elapsed,
        "images_per_second": event.images_per_second,
    }
    if event.is_best:
        changes |= _result_columns(event.epoch, event.val, {})
    return changes


def _start_run(
    connection: sa.Connection, run_id: str, event: RunStarted, smoother: Smoother
) -> dict[str, Any]:
    """Delete what was recorded after the checkpoint that the run resumes from; returns the row's
    changes."""
    steps, epochs, runs = schema.steps, schema.epochs, schema.runs
    change_status(connection, run_id, "running", **NO_ACTIVITY)
    resume_step = event.resumed_from_step
    reached = _last_step(connection, run_id)
    if reached is not None and not resume_step:
        text = (
            f"No saved state was there to resume from: the run begins again, and its "
            f"{reached['step']:,} recorded steps are replaced."
        )
        write_log(connection, run_id, [("warning", text)], at=time.time())
    deleted = connection.execute(
        steps.delete().where(steps.c.run_id == run_id, steps.c.step > resume_step)
    ).rowcount
    deleted += connection.execute(
        epochs.delete().where(epochs.c.run_id == run_id, epochs.c.step > resume_step)
    ).rowcount
    smoother.set_epoch(event.steps_per_epoch)
    connection.execute(runs.update().where(runs.c.id == run_id).values(step=resume_step))
    resume_smoother(connection, run_id, smoother)
    best = (
        connection.execute(
            sa.select(epochs)
            .where(epochs.c.run_id == run_id, epochs.c.is_best)
            .order_by(epochs.c.epoch.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )
    last = connection.execute(
        sa.select(steps.c.epoch, steps.c.seconds)
        .where(steps.c.run_id == run_id)
        .order_by(steps.c.step.desc())
        .limit(1)
    ).first()
    return {
        "device": event.device,
        "train_samples": event.train_samples,
        "val_samples": event.val_samples,
        "test_samples": event.test_samples,
        "steps_per_epoch": event.steps_per_epoch,
        "total_steps": event.total_steps,
        "total_parameters": event.total_parameters,
        "trainable_parameters": event.trainable_parameters,
        "class_names": json.dumps(list(event.class_names), ensure_ascii=False),
        "step": resume_step,
        "epoch": last[0] if last else resume_step // event.steps_per_epoch,
        "seconds": (last[1] if last else 0.0) or 0.0,
        **_result_columns(
            best["epoch"] if best else event.best_epoch,
            {name: best[f"val_{name}"] for name in METRICS} if best else event.best_val,
            {},
        ),
        "images_per_second": None,
        # One at the next step is in the saved state; a later one was recorded and then not saved.
        "rate_changes": json.dumps(
            _changes_before(_rate_changes(connection, run_id), resume_step + 2)
        ),
        "revision": runs.c.revision + (1 if deleted else 0),
    }


def _result_columns(
    best_epoch: int | None, best_val: Mapping[str, float], test: Mapping[str, float]
) -> dict[str, Any]:
    """The columns of a run's row with its best epoch and test metrics; NULL where unknown."""
    columns: dict[str, Any] = {"best_epoch": best_epoch}
    for name in METRICS:
        columns[f"best_val_{name}"] = best_val.get(name)
        columns[f"test_{name}"] = test.get(name)
    return columns


def _activity_columns(event: ActivityProgressed) -> dict[str, Any]:
    pace = event.done / event.seconds if event.seconds else None
    progress = Progress(event.done, event.total, event.activity, event.unit)
    return activity_columns(progress, progress.seconds_left(pace))


def activity_columns(progress: Progress, seconds_left: float | None) -> dict[str, Any]:
    """The columns of a run's row that say what it does at this moment."""
    return {
        "activity": progress.text,
        "activity_done": progress.done,
        "activity_total": progress.total,
        "activity_unit": progress.unit,
        "activity_seconds_left": seconds_left,
    }


def _progress(changes: dict[str, Any]) -> Any:
    """Steps done over all steps, in SQL when this batch does not say how many there are."""
    step = changes["step"]
    if "total_steps" in changes:
        return min(1.0, step / max(1, changes["total_steps"]))
    return sa.func.coalesce(step * 1.0 / sa.func.nullif(schema.runs.c.total_steps, 0), 0.0)


def _ending(event: RunEnded) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "step": event.steps,
        "seconds": event.seconds,
        "elapsed": event.elapsed,
        **_result_columns(event.best_epoch, event.best_val, event.test),
        "test_looks": event.test_looks,
    }
    if event.status == "completed":
        changes["progress"] = 1.0  # early stopping completes a run before its last step
    return changes
