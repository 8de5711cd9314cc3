"""A run as plain JSON values: for the event stream and the HTTP API alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.runs.rows import LogLine, RunRow

_TEXT = (
    "id",
    "name",
    "origin",
    "person",
    "person_name",
    "tag",
    "notes",
    "starred",
    "is_baseline",
    "parent",
    "parent_epoch",
    "status",
    "dataset",
    "architecture",
    "queue_position",
    "requested",
    "message",
    "device",
    "activity",
    "activity_done",
    "activity_total",
    "activity_unit",
    "activity_seconds_left",
    "progress",
    "revision",
    "epoch",
    "step",
    "steps_per_epoch",
    "total_steps",
    "total_parameters",
    "trainable_parameters",
    "train_samples",
    "val_samples",
    "test_samples",
    "best_epoch",
    "test_looks",
    "seconds",
    "elapsed",
    "seconds_left",
    "images_per_second",
)


def run_values(run: RunRow) -> dict[str, Any]:
    """Returns the run as it is now; times are ISO 8601 in UTC, settings are under "config"."""
    return {
        **{name: getattr(run, name) for name in _TEXT},
        "class_names": list(run.class_names),
        "rate_changes": [{"step": step, "learning_rate": r} for step, r in run.rate_changes],
        "best_val": {name: number(value) for name, value in run.best_val.items()},
        "test": {name: number(value) for name, value in run.test.items()},
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "config": run.settings,
    }


def log_values(lines: Iterable[LogLine]) -> list[dict[str, Any]]:
    """Returns log lines in order."""
    return [
        {"seq": line.seq, "at": _time(line.at), "level": line.level, "text": line.text}
        for line in lines
    ]


def number(value: float | None) -> float | None:
    """Returns the value; None for what JSON lacks (NaN, infinities)."""
    return value if value is not None and math.isfinite(value) else None


def numbers(values: Iterable[float]) -> list[float | None]:
    """Rounds to four digits, more than a screen shows; None for what JSON lacks."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values]


def exact_numbers(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Returns all digits; None for what JSON lacks."""
    listed: list[float | None] = values.tolist()
    for place in np.flatnonzero(~np.isfinite(values)):
        listed[place] = None
    return listed


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
