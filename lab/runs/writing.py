"""Turning a run's events into rows, in one transaction a batch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from lab.runs import locks, schema
from lab.runs.status import refusal, sources
from lab.training.events import (
    EpochDone,
    Event,
    LogWritten,
    ProbeTaken,
    RunEnded,
    RunStarted,
    StepDone,
    Waiting,
)

SMOOTHING_HALF_LIFE = 20
"""Steps after which a figure counts half in the smoothed curve."""

_KEEP = 0.5 ** (1 / SMOOTHING_HALF_LIFE)

LONGEST_TEXT = 20_000

_STEP_COLUMNS = tuple(column.name for column in schema.steps.columns)
_INSERT_STEPS = {
    # Past SQLAlchemy's handling of parameters, which costs as much as all the rest of a step.
    "sqlite": f"INSERT OR REPLACE INTO steps ({', '.join(_STEP_COLUMNS)}) "
    f"VALUES ({', '.join('?' * len(_STEP_COLUMNS))})"
}


class Smoother:
    """The exponential moving average of loss and accuracy, corrected for its start at zero.

    With b = 0.5 ** (1 / half-life) and m(t) = b m(t-1) + (1 - b) x(t), the smoothed figure is
    m(t) / (1 - b ** t): from the first step on a proper weighted mean of what was seen. Since t is
    the step, the average can go on from its last value alone. A figure that is no finite number
    leaves it unchanged.
    """

    def __init__(self) -> None:
        self.restart(0, math.nan, math.nan)

    def restart(self, step: int, loss: float, accuracy: float) -> None:
        """Go on after `step` steps whose smoothed figures are `loss` and `accuracy`."""
        seen = math.isfinite(loss) and math.isfinite(accuracy)
        self._weight = 1.0 - _KEEP**step if seen else 0.0
        self._loss = loss * self._weight if seen else 0.0
        self._accuracy = accuracy * self._weight if seen else 0.0

    def add(self, loss: float, accuracy: float) -> tuple[float, float]:
        """The smoothed loss and accuracy after one more step."""
        if math.isfinite(loss) and math.isfinite(accuracy):
            self._weight = _KEEP * self._weight + (1.0 - _KEEP)
            self._loss = _KEEP * self._loss + (1.0 - _KEEP) * loss
            self._accuracy = _KEEP * self._accuracy + (1.0 - _KEEP) * accuracy
        if not self._weight:
            return math.nan, math.nan
        return self._loss / self._weight, self._accuracy / self._weight


def write_events(
    connection: sa.Connection,
    run_id: str,
    events: Sequence[Event],
    *,
    smoother: Smoother,
    images_per_second: float | None,
) -> None:
    """Append `events` to the run's tables and bring its row up to date.

    RunStarted first takes back what was recorded after the step that the run resumes from. Raises
    ConfigError when the run is not in a state in which it could start or end that way.
    """
    now = time.time()
    step_rows: list[tuple[Any, ...]] = []  # in the order of _STEP_COLUMNS
    last_step: StepDone | None = None
    changes: dict[str, Any] = {}
    for event in events:
        # In the order of likelihood; the figures of a step are the hot path.
        if isinstance(event, StepDone):
            smoothed = smoother.add(event.loss, event.accuracy)
            step_rows.append(
                (
                    run_id,
                    event.step,
                    event.epoch,
                    event.loss,
                    event.accuracy,
                    *smoothed,
                    event.learning_rate,
                    event.seconds,
                    event.samples,
                )
            )
            last_step = event
        elif isinstance(event, EpochDone):
            changes |= _write_epoch(connection, run_id, event)
        elif isinstance(event, LogWritten):
            write_log(connection, run_id, [(event.level, event.text)], at=now)
        elif isinstance(event, RunStarted):
            _write_steps(connection, step_rows)
            changes |= _start(connection, run_id, event, smoother)
        elif isinstance(event, Waiting):
            changes["progress_text"] = event.text
        elif isinstance(event, ProbeTaken):
            pass  # what was taken is a file in the run's folder
        else:
            changes |= _ending(event)
            level = "error" if event.status == "failed" else "info"
            write_log(connection, run_id, [(level, event.message)], at=now)
            change_status(connection, run_id, event.status, message=event.message)
    _write_steps(connection, step_rows)
    if last_step is not None:
        changes["epoch"] = max(changes.get("epoch", 0), last_step.epoch)
        if last_step.step > changes.get("step", 0):
            changes |= {"step": last_step.step, "seconds": last_step.seconds}
    if images_per_second is not None:
        changes.setdefault("images_per_second", images_per_second)
    if "step" in changes:
        changes.setdefault("progress", _progress(changes))
    if changes:
        connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(**changes))


def write_log(
    connection: sa.Connection, run_id: str, lines: Iterable[tuple[str, str]], *, at: float
) -> None:
    connection.execute(
        schema.log.insert(),
        [
            {"run_id": run_id, "at": at, "level": level, "text": text[:LONGEST_TEXT]}
            for level, text in lines
        ],
    )


def change_status(connection: sa.Connection, run_id: str, status: str, **values: Any) -> None:
    """Move the run to `status` if the transition table allows it, else raise ConfigError."""
    runs = schema.runs
    if status == "preparing":
        values |= {"owner": locks.owner()}
    elif status != "running":
        values |= {"owner": "", "requested": None, "progress_text": ""}
        values |= {"ended_at": None if status == "queued" else time.time()}
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


def last_smoothed(connection: sa.Connection, run_id: str, smoother: Smoother) -> None:
    """Let `smoother` go on from the last recorded step."""
    steps = schema.steps
    row = connection.execute(
        sa.select(steps.c.step, steps.c.loss_smoothed, steps.c.accuracy_smoothed)
        .where(steps.c.run_id == run_id)
        .order_by(steps.c.step.desc())
        .limit(1)
    ).first()
    if row is None:
        smoother.restart(0, math.nan, math.nan)
    else:
        nan = math.nan
        smoother.restart(
            row[0], nan if row[1] is None else row[1], nan if row[2] is None else row[2]
        )


def _write_steps(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    if connection.dialect.name in _INSERT_STEPS:
        connection.exec_driver_sql(_INSERT_STEPS[connection.dialect.name], rows)
    else:
        named = [dict(zip(_STEP_COLUMNS, row, strict=True)) for row in rows]
        connection.execute(schema.steps.insert(), named)
    rows.clear()


def _write_epoch(connection: sa.Connection, run_id: str, event: EpochDone) -> dict[str, Any]:
    epochs = schema.epochs
    # A run that was stopped between an epoch's last step and its end reports that epoch again.
    connection.execute(
        epochs.delete().where(epochs.c.run_id == run_id, epochs.c.epoch == event.epoch)
    )
    connection.execute(epochs.insert().values(run_id=run_id, **asdict(event)))
    changes: dict[str, Any] = {
        "step": event.step,
        "epoch": event.epoch,
        "seconds": event.seconds,
        "images_per_second": event.images_per_second,
    }
    if event.is_best:
        changes |= {
            "best_epoch": event.epoch,
            "best_val_loss": event.val_loss,
            "best_val_accuracy": event.val_accuracy,
        }
    return changes


def _start(
    connection: sa.Connection, run_id: str, event: RunStarted, smoother: Smoother
) -> dict[str, Any]:
    """Take back what comes after the checkpoint that the run goes on from."""
    steps, epochs, runs = schema.steps, schema.epochs, schema.runs
    change_status(connection, run_id, "running", progress_text="")
    kept = event.resumed_from_step
    taken_back = connection.execute(
        steps.delete().where(steps.c.run_id == run_id, steps.c.step > kept)
    ).rowcount
    taken_back += connection.execute(
        epochs.delete().where(epochs.c.run_id == run_id, epochs.c.step > kept)
    ).rowcount
    last_smoothed(connection, run_id, smoother)
    best = connection.execute(
        sa.select(epochs.c.epoch, epochs.c.val_loss, epochs.c.val_accuracy)
        .where(epochs.c.run_id == run_id, epochs.c.is_best)
        .order_by(epochs.c.epoch.desc())
        .limit(1)
    ).first()
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
        "step": kept,
        "epoch": last[0] if last else 0,
        "seconds": (last[1] if last else 0.0) or 0.0,
        "best_epoch": best[0] if best else None,
        "best_val_loss": best[1] if best else None,
        "best_val_accuracy": best[2] if best else None,
        "test_loss": None,
        "test_accuracy": None,
        "images_per_second": None,
        "revision": runs.c.revision + (1 if taken_back else 0),
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
        "best_epoch": event.best_epoch,
        "best_val_loss": event.best_val_loss,
        "best_val_accuracy": event.best_val_accuracy,
        "test_loss": event.test_loss,
        "test_accuracy": event.test_accuracy,
        "seconds": event.seconds,
    }
    if event.status == "completed":
        changes["progress"] = 1.0  # early stopping completes a run before its last step
    return changes
