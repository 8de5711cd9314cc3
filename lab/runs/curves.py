"""Reads one column of many runs at once, for a page that compares them.

Of a run's steps only those that are drawn are read, each by its key, so the cost does not grow
with the length of the runs: 200 runs of 2,000 steps take some 50 ms, of 2,000,000 steps no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from lab.runs import schema
from lab.runs.rows import Curve

STEP_COLUMNS = (*schema.STEP_METRICS, "learning_rate")
EPOCH_COLUMNS = schema.EPOCH_METRICS


def curves(
    connection: sa.Connection, run_ids: Sequence[str], column: str, *, points: int
) -> dict[str, Curve]:
    """See `Store.curves`. Always one query."""
    if points < 2:
        raise ValueError(f"points is {points}; at least 2 are needed, the first and the last")
    if column in STEP_COLUMNS:
        query = _spread_steps(run_ids, column, points)
    elif column in EPOCH_COLUMNS:
        query = _all_epochs(run_ids, column)
    else:
        raise ValueError(f"column is {column!r}; allowed are {STEP_COLUMNS + EPOCH_COLUMNS}")
    cursor = connection.execute(query).cursor
    assert cursor is not None  # a SELECT always has one
    rows = cursor.fetchall()
    names = [row[0] for row in rows]
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 3)
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    result = {}
    for start, end in zip(starts, [*starts[1:], len(names)], strict=False):
        step, seconds, value = np.ascontiguousarray(table[start:end].T)
        result[names[start]] = Curve(step.astype(np.int64), seconds, value)
    return result


def _spread_steps(run_ids: Sequence[str], column: str, points: int) -> sa.Select[Any]:
    """Selects at most `points` steps of each run, evenly spread, with the first and the last."""
    steps = schema.steps.c
    of_run = schema.steps.alias().c
    runs = schema.runs.c
    # Both ends of a run's steps are looked up by key too.
    first, last = (
        sa.select(end(of_run.step)).where(of_run.run_id == runs.id).scalar_subquery()
        for end in (sa.func.min, sa.func.max)
    )
    ends = sa.select(runs.id, first.label("first"), last.label("last")).where(runs.id.in_(run_ids))
    bounds = ends.cte("ends").prefix_with("MATERIALIZED")  # else computed for every point
    counted = sa.select(sa.literal(0).label("k")).cte("counted", recursive=True)
    counted = counted.union_all(sa.select(counted.c.k + 1).where(counted.c.k < points - 1))
    k, span = counted.c.k, bounds.c.last - bounds.c.first
    # A short run has each of its steps; further numbers find no row.
    target = bounds.c.first + sa.case((span < points, k), else_=k * span // (points - 1))
    return (
        sa.select(steps.run_id, steps.step, steps.seconds, steps[column])
        .select_from(bounds)
        .join(counted, sa.true())
        .join(schema.steps, sa.and_(steps.run_id == bounds.c.id, steps.step == target))
        .order_by(steps.run_id, steps.step)
    )


def _all_epochs(run_ids: Sequence[str], column: str) -> sa.Select[Any]:
    """Selects every epoch of each run."""
    epochs = schema.epochs.c
    return (
        sa.select(epochs.run_id, epochs.step, epochs.seconds, epochs[column])
        .where(epochs.run_id.in_(run_ids))
        .order_by(epochs.run_id, epochs.epoch)
    )
