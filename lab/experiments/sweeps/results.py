"""A sweep's table: one line a combination, with the mean and the spread over its seeds.

Made from the runs' own rows and the driver's notes; nothing here is measured anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lab.evaluate.compare import share_interval
from lab.evaluate.metrics import Floats, student_95
from lab.experiments.sweeps.config import Params, SweepConfig
from lab.experiments.sweeps.driver import best_value, final_value
from lab.experiments.sweeps.places import places
from lab.experiments.sweeps.table import trial_of
from lab.metrics import Metric
from lab.runs.rows import RunRow
from lab.words import NONE


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
    interval: tuple[float, float] | None = None
    """The 95 % interval of the mean of `judged`: over seeds (Student's t) where there are several,
    else from the number of validation images (Wilson). None where nothing says how sure it is."""
    place: int | None = None
    """1 for those that none is better than by more than chance; see `places`."""


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
    found = [
        _line(
            sweep,
            number,
            sorted(by_trial[number], key=lambda r: (r.created_at, r.id)),
            notes.get(number, {}),
            points.get(number),
        )
        for number in numbers
    ]
    ranks = places(sweep, *judged_values(sweep, found))
    return [replace(line, place=rank) for line, rank in zip(found, ranks, strict=True)]


def judged_values(sweep: SweepConfig, combinations: Sequence[Line]) -> tuple[Floats, Floats]:
    """Returns the combinations' results by seed (k, S), NaN where there is none, and the number of
    validation images of each (k,)."""
    values = np.full((len(combinations), len(sweep.seeds)), math.nan)
    images = np.full(len(combinations), math.nan)
    for number, line in enumerate(combinations):
        for row in line.runs:
            value, seed = final_value(row, sweep), row.settings["seed"]
            if value is not None and seed in sweep.seeds:
                values[number, sweep.seeds.index(seed)] = value
                images[number] = row.val_samples or math.nan
    return values, images


def ranked(sweep: SweepConfig, combinations: Sequence[Line]) -> list[Line]:
    """Returns the combinations by their places, within one the highest mean first; those without a
    value last, in their order."""
    sign = -1.0 if sweep.higher_is_better else 1.0
    return sorted(
        combinations,
        key=lambda x: (
            x.judged.mean is None,
            x.place or 0,
            sign * (x.judged.mean or 0.0),
            x.number,
        ),
    )


def place_text(line: Line, combinations: Iterable[Line]) -> str:
    """Such as "3", or "1=" where several share the place."""
    if line.place is None:
        return NONE
    shared = sum(other.place == line.place for other in combinations) > 1
    return f"{line.place}{'=' * shared}"


def interval_text(line: Line, metric: Metric) -> str:
    """Such as "94.1 to 96.0%", or a dash."""
    if line.interval is None:
        return NONE
    low, high = map(metric.text, line.interval)
    return f"{low.removesuffix('%')} to {high}"


def line_values(line: Line) -> dict[str, Any]:
    """Returns a combination for programs, as plain JSON values."""
    return {
        "trial": line.number,
        "place": line.place,
        "params": line.params,
        "state": line.state,
        "mean": line.judged.mean,
        "spread": line.judged.spread,
        "interval": line.interval,
        "seeds": line.judged.count,
        "test_accuracy": line.test.mean,
        "test_spread": line.test.spread,
        "seconds": line.seconds,
        "runs": [row.id for row in line.runs],
        "note": line.note,
    }


def places_words(sweep: SweepConfig, combinations: Sequence[Line]) -> str:
    """Returns what the places rest on, in a sentence or two; empty where there are none."""
    first = sum(line.place == 1 for line in combinations)
    if not first:
        return ""
    tied = f"{first} share the first place: they cannot be told apart. " if first > 1 else ""
    many = sum(line.place is not None for line in combinations)
    rule = f"Holm's correction for {math.comb(many, 2)} pairs" if many > 2 else "one pair"
    place = "A place is 1 + how many are better by more than chance"
    if len(sweep.seeds) > 1:
        return f"{tied}{place}: compared seed by seed, {rule}."
    return (
        f"{tied}{place} in the images ({rule}); another seed can turn that round. Three seeds or "
        "more would show it."
    )


def _line(
    sweep: SweepConfig,
    number: int,
    rows: Sequence[RunRow],
    note: Mapping[str, Any],
    point: Params | None,
) -> Line:
    failed = next((row.message for row in rows if row.status == "failed"), "")
    judged = seed_mean([final_value(row, sweep) for row in rows])
    return Line(
        number=number,
        params=_params(sweep, rows, note, point),
        state=_state(sweep, rows, note),
        judged=judged,
        interval=_interval(sweep, judged, rows),
        reached=seed_mean([best_value(row, sweep) for row in rows]),
        test=seed_mean([row.test_accuracy for row in rows if row.status == "completed"]),
        seconds=sum(row.seconds for row in rows),
        runs=tuple(rows),
        note=str(note.get("text", "")) or failed,
    )


def _interval(
    sweep: SweepConfig, judged: SeedMean, rows: Sequence[RunRow]
) -> tuple[float, float] | None:
    if judged.mean is None:
        return None
    share = sweep.measured.is_share
    images = next((row.val_samples for row in rows if row.val_samples), None)
    if judged.spread is None:
        return share_interval(judged.mean, images) if share else None
    # Seeds that happen to agree do not know a share finer than one image.
    grain = 1 / images if share and images else 0.0
    half = student_95(judged.count - 1) * max(judged.spread, grain) / math.sqrt(judged.count)
    low, high = judged.mean - half, judged.mean + half
    return (max(0.0, low), min(1.0, high)) if share else (low, high)


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
