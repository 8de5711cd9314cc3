"""Thins a run's curves for the screen: at most 2,000 points, with all extremes and the shape.

For a page that opens. One that is open reads the new steps only (`Store.steps(after=...)`).

Of a long run a thinned history is kept in its folder, and brought up to date while it trains: so
whoever opens it reads what is new since then, and not a million steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tsdownsample import MinMaxLTTBDownsampler

from lab.data.array_file import BROKEN
from lab.errors import ResourceError
from lab.home import atomic_file, home_folder
from lab.metrics import METRICS
from lab.runs.rows import Curve, Floats, StepColumns
from lab.runs.schema import STEP_METRICS
from lab.runs.store import Store

POINTS = 2000
FEWEST_POINTS = 50

NAME = "thinned-steps.npz"
KEPT_POINTS = 4000
"""Rows of the history that is kept; of fewer than twice as many steps none is."""

KEEP_EVERY = 20_000
"""Steps after which it is brought up to date: reading so many takes a twentieth of a second."""

_FORMAT = 1
_OWN = ("step", "epoch", "learning_rate", "seconds")

SHAPES = tuple(m.name for m in METRICS.values() if m.of_batches)
EXTREMES = tuple(f"{name}_smoothed" for name in SHAPES)
"""Columns of steps: a thinned history keeps the shapes of the first and the extremes of both."""

_SAMPLER: Any = MinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]
Columns = TypeVar("Columns", StepColumns, Curve)
Indexes = npt.NDArray[np.intp]


def thinned_steps(
    store: Store, run_id: str, *, after: int = 0, points: int = POINTS
) -> StepColumns:
    """Returns the run's steps with a number above `after`, thinned to at most `points` rows.

    Always included are the first and the last step, the lowest and highest value of every curve and
    the last step of the best epoch; the others keep the shape (MinMaxLTTB).
    """
    steps = store.steps(run_id, after=after) if after else kept_steps(store, run_id)
    if len(steps) <= points:
        return steps
    epochs = store.epochs(run_id)
    best = epochs.step[epochs.is_best][-1:]
    return _thinned(steps, points, keep=np.flatnonzero(np.isin(steps.step, best)))


def kept_steps(store: Store, run_id: str) -> StepColumns:
    """Returns the run's steps: all of a short run, of a long one those that are kept and the ones
    since then. What is kept is brought up to date where that is worth it."""
    path = home_folder("runs") / run_id / NAME
    revision = store.run(run_id).revision
    steps = _read(path, revision)
    begun = steps is not None
    new = store.steps(run_id, after=int(steps.step[-1]) if steps is not None else 0)
    steps = new if steps is None else _joined(steps, new)
    epochs = store.epochs(run_id)
    best = epochs.step[epochs.is_best][-1:]
    if begun and len(best) and not np.isin(best, steps.step).all():  # it was not the best then
        step = store.steps(run_id, after=int(best[0]) - 1, limit=1)
        steps = _joined(steps, step)
        steps = _select_rows(steps, np.argsort(steps.step))
    if len(steps) > 2 * KEPT_POINTS and len(new) >= KEEP_EVERY:
        keep = np.flatnonzero(np.isin(steps.step, best))
        steps = _thinned(steps, KEPT_POINTS, keep=keep)
        with contextlib.suppress(ResourceError):  # then the next one reads more
            _write(path, revision, steps)
    return steps


def _read(path: Path, revision: int) -> StepColumns | None:
    """Returns what is kept; None without anything that can be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            values = {name: kept[name] for name in kept.files}
        if (int(values.pop("format")), int(values.pop("revision"))) != (_FORMAT, revision):
            return None
        own = {name: values.pop(name) for name in _OWN}
        complete = set(values) == set(STEP_METRICS) and len(own["step"])
        return StepColumns(**own, metrics=values) if complete else None
    except BROKEN:
        return None


def _write(path: Path, revision: int, steps: StepColumns) -> None:
    values: dict[str, Any] = {name: getattr(steps, name) for name in _OWN}
    values |= {**steps.metrics, "format": _FORMAT, "revision": revision}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **values)


class ThinnedHistory:
    """A run's steps, thinned, that grows by what is new: whoever comes to a long run, and the next
    thirty after, need not read it all. One thread at a time."""

    def __init__(self, store: Store, run_id: str, *, points: int) -> None:
        self._store, self._run_id, self._points = store, run_id, points
        self._revision = -1
        self._steps: StepColumns | None = None

    def read(self, revision: int) -> StepColumns:
        """Returns `points` to twice as many rows, or all; `revision` is the run's of now."""
        if self._steps is None or revision != self._revision or not len(self._steps):
            self._steps = thinned_steps(self._store, self._run_id, points=self._points)
            self._revision = revision
            return self._steps
        new = self._store.steps(self._run_id, after=int(self._steps.step[-1]))
        if len(new):
            grown = _joined(self._steps, new)
            if len(grown) > 2 * self._points:
                grown = _thinned(grown, self._points, keep=np.empty(0, dtype=np.intp))
            self._steps = grown
        return self._steps


def _thinned(steps: StepColumns, points: int, *, keep: Indexes) -> StepColumns:
    rows = thin(
        len(steps),
        # The raw curves decide which steps are shown; the smoothed ones need their extremes only.
        shapes=[steps[name] for name in SHAPES],
        extremes=[*(steps[name] for name in EXTREMES), steps.learning_rate],
        keep=keep,
        points=points,
    )
    return _select_rows(steps, rows)


def _joined(before: StepColumns, after: StepColumns) -> StepColumns:
    joined: dict[str, Any] = {}
    for field in fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        joined[field.name] = (
            {name: np.concatenate([old[name], new[name]]) for name in old}
            if isinstance(old, Mapping)
            else np.concatenate([old, new])
        )
    return StepColumns(**joined)


def thinned_curve(column: Curve, *, points: int = POINTS) -> Curve:
    """Returns at most `points` rows of `column`: the first, the last, the lowest, the highest and
    those that keep the shape."""
    none = np.empty(0, dtype=np.intp)
    rows = thin(len(column.step), shapes=[column.value], extremes=[], keep=none, points=points)
    return _select_rows(column, rows)


def thin(
    length: int,
    *,
    shapes: Sequence[Floats],
    extremes: Sequence[Floats],
    keep: Indexes,
    points: int,
) -> Indexes:
    """Returns at most `points` ascending row numbers of curves of `length` rows.

    Always among them: the first, the last, those in `keep`, and the lowest and highest of each
    curve in `shapes` and `extremes`. The others keep the shape of the curves in `shapes`, as far as
    these have any finite value.
    """
    if points < FEWEST_POINTS:
        raise ValueError(f"points is {points}; at least {FEWEST_POINTS} are needed")
    if length <= points:
        return np.arange(length)
    always = [np.array([0, length - 1]), keep]
    always += [_extremes(values) for values in (*shapes, *extremes)]
    selected = np.unique(np.concatenate(always))
    measured = [values for values in shapes if np.isfinite(values).any()]
    budget = (points - len(selected)) // max(1, len(measured))
    return np.unique(np.concatenate([selected, *(_shape(v, budget) for v in measured)]))


def _extremes(values: Floats) -> Indexes:
    """The rows of the lowest and the highest finite value."""
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return finite
    return finite[[int(values[finite].argmin()), int(values[finite].argmax())]]


def _shape(values: Floats, budget: int) -> Indexes:
    """At most `budget` indexes that keep the curve's shape; gaps and infinities do not count."""
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) <= budget:
        return finite
    rows: npt.NDArray[np.uint64] = _SAMPLER.downsample(finite, values[finite], n_out=budget)
    return finite[rows.astype(np.intp)]


def _select_rows(columns: Columns, rows: Indexes) -> Columns:
    selected: dict[str, Any] = {}
    for field in fields(columns):
        values = getattr(columns, field.name)
        if isinstance(values, Mapping):
            selected[field.name] = {name: column[rows] for name, column in values.items()}
        else:
            selected[field.name] = values[rows]
    return type(columns)(**selected)
