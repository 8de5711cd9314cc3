"""A sweep's table: one line a combination, with the mean and the spread over its seeds.

Made from the runs' own rows and the driver's notes; nothing here is measured anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.experiments.sweeps.config import Params, SweepConfig
from lab.experiments.sweeps.driver import best_value, final_value
from lab.experiments.sweeps.table import trial_of
from lab.metrics import Metric
from lab.runs.rows import RunRow


@dataclass(frozen=True)
class SeedMean:
    """The mean over `count` runs that completed, and their sample standard deviation."""

    mean: float | None
    spread: float | None
    """None for fewer than two runs."""
    count: int

    def text(self, metric: Metric) -> str:
        """Such as "95.1% ± 0.4" (the spread of a share is in points), or a dash."""
        if self.spread is None:
            return metric.text(self.mean)
        spread = f"{100 * self.spread:.1f}" if metric.is_share else f"{self.spread:.4f}"
        return f"{metric.text(self.mean)} ± {spread}"


@dataclass(frozen=True)
class Line:
    """One combination: its runs and their results so far."""

    number: int
    params: Params
    state: str
    """"to come", "waiting", "training", "paused", "done", "stopped early", "failed", "left out" or
    "stopped"."""
    judged: SeedMean
    """The sweep's metric at the best epoch, of the runs that completed."""
    reached: SeedMean
    """The same of all its runs, also of those that did not complete."""
    test: SeedMean
    """The test accuracy of the best epochs' weights."""
    seconds: float
    """Training time of all its runs."""
    runs: tuple[RunRow, ...]
    note: str
    """The driver's note, or why a run failed."""


def lines(
    sweep: SweepConfig, rows: Iterable[RunRow], notes: Mapping[int, Mapping[str, Any]]
) -> list[Line]:
    """Returns all known combinations: begun ones, and those of a grid that are still to come."""
    by_trial: dict[int, list[RunRow]] = defaultdict(list)
    for row in rows:
        number = trial_of(row.origin)
        if number is not None:
            by_trial[number].append(row)
    points = dict(enumerate(sweep.points or ()))
    numbers = sorted({*points, *by_trial, *notes})
    return [
        _line(
            sweep,
            number,
            sorted(by_trial[number], key=lambda r: (r.created_at, r.id)),
            notes.get(number, {}),
            points.get(number),
        )
        for number in numbers
    ]


def ranked(sweep: SweepConfig, combinations: Sequence[Line]) -> list[Line]:
    """Returns the combinations, the best first; those without a value last, in their order."""
    sign = -1.0 if sweep.higher_is_better else 1.0
    return sorted(
        combinations,
        key=lambda x: (x.judged.mean is None, sign * (x.judged.mean or 0.0), x.number),
    )


def _line(
    sweep: SweepConfig,
    number: int,
    rows: Sequence[RunRow],
    note: Mapping[str, Any],
    point: Params | None,
) -> Line:
    failed = next((row.message for row in rows if row.status == "failed"), "")
    return Line(
        number=number,
        params=_params(sweep, rows, note, point),
        state=_state(sweep, rows, note),
        judged=seed_mean([final_value(row, sweep) for row in rows]),
        reached=seed_mean([best_value(row, sweep) for row in rows]),
        test=seed_mean([row.test_accuracy for row in rows if row.status == "completed"]),
        seconds=sum(row.seconds for row in rows),
        runs=tuple(rows),
        note=str(note.get("text", "")) or failed,
    )


def seed_mean(values: Iterable[float | None]) -> SeedMean:
    """Returns mean and spread of the values that are finite numbers."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return SeedMean(None, None, 0)
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return SeedMean(float(np.mean(known)), spread, len(known))


def _params(
    sweep: SweepConfig, rows: Sequence[RunRow], note: Mapping[str, Any], point: Params | None
) -> Params:
    values = point if point is not None else rows[0].settings if rows else note.get("params", {})
    params = {knob: values.get(knob) for knob in sweep.axes}  # in the order of the axes
    return {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}


def _state(sweep: SweepConfig, rows: Sequence[RunRow], note: Mapping[str, Any]) -> str:
    states = [row.status for row in rows]
    completed = states.count("completed")
    if completed == len(sweep.seeds):
        return "done"
    if any(row.is_live for row in rows) and "state" not in note:
        return "training" if any(row.is_active for row in rows) else "waiting"
    if "paused" in states or "interrupted" in states:
        return "paused"
    if "state" in note:
        return str(note["state"])
    if not rows:
        return "to come"
    if completed:  # the other seeds are still to come, or have failed
        return "done" if len(rows) == len(sweep.seeds) else "waiting"
    return "failed" if "failed" in states else "stopped"
