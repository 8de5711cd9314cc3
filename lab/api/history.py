"""Curves for a viewer: the rows that it lacks, thinned to what a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.api.run_values import numbers
from lab.charts.series import Column
from lab.metrics import Metric, epoch_columns, metrics_of, step_columns
from lab.runs.history import thin
from lab.runs.rows import EpochColumns, RunRow, StepColumns

WHOLE = 1000
"""Points of a history that is sent at once."""

NEW = 100
"""New points of one message; of more steps since the last one some are left out."""

FEWEST_CLASSES = 2
"""Classes assumed of a run that has not started, so that its panels do not move later."""


def history_values(
    steps: StepColumns, epochs: EpochColumns, metrics: Sequence[Metric], *, points: int
) -> dict[str, Any]:
    """Returns the columns of `metrics`, steps thinned to at most `points` rows: first, last,
    extremes and shape stay."""
    names = step_columns(metrics)
    smoothed = [name for name in names if name.endswith("_smoothed")]
    rows = thin(
        len(steps),
        shapes=[steps[name] for name in names if name not in smoothed],
        extremes=[steps[name] for name in smoothed],
        keep=np.empty(0, dtype=np.intp),  # the best epoch has a mark of its own
        points=points,
    )
    return {
        "step": _compact(steps.step[rows]),
        "step_columns": {
            **{name: numbers(steps[name][rows]) for name in names},
            "learning_rate": numbers(steps.learning_rate[rows]),
        },
        "epoch": epochs.epoch.tolist(),
        "epoch_step": epochs.step.tolist(),
        "epoch_columns": {name: numbers(epochs[name]) for name in epoch_columns(metrics)},
    }


def recorded_metrics(run: RunRow, epochs: EpochColumns) -> tuple[Metric, ...]:
    """Returns the metrics of the run, without those that the lab did not have yet when it trained
    the run."""
    return tuple(
        metric
        for metric in metrics_of(len(run.class_names) or FEWEST_CLASSES)
        if metric.shown or not len(epochs) or bool(np.isfinite(epochs[f"val_{metric.name}"]).any())
    )


def panels(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Returns what a chart must know of each metric."""
    return [
        {
            "id": metric.name,
            "title": metric.title,
            "percent": metric.is_share,
            "batches": metric.of_batches,
            "shown": metric.shown,
        }
        for metric in metrics
    ]


def _compact(steps: Column) -> int | list[int]:
    """Returns the first step when they are consecutive (not thinned), else all of them."""
    if len(steps) and int(steps[-1]) - int(steps[0]) == len(steps) - 1:
        return int(steps[0])
    return [int(step) for step in steps]
