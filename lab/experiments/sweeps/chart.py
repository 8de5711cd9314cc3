"""The chart of a sweep: a coloured grid for two knobs, points over one knob for any number."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.charts.sweep import Series, sweep_grid, sweep_grid_alt, sweep_points, sweep_points_alt
from lab.config import KNOBS
from lab.experiments.sweeps.config import JUDGED_BY, Range, SweepConfig
from lab.experiments.sweeps.results import Line, SeedMean
from lab.runs.naming import value_text

GRID = "All combinations"
MOST_LINES = 5
MOST_CELLS = 12


@dataclass(frozen=True, eq=False)
class SweepChart:
    """A chart and what is said of it."""

    name: str
    figure: go.Figure
    alt: str
    caption: str


def chart_names(config: SweepConfig, combinations: Sequence[Line]) -> list[str]:
    """Returns the charts that make sense: GRID, where it does, and the knobs."""
    knobs = list(config.axes)
    as_grid = len(knobs) == 2 and all(
        len(_distinct(combinations, knob)) <= MOST_CELLS and _is_listed(config, knob)
        for knob in knobs
    )
    return [*([GRID] if as_grid else []), *knobs]


def chart_title(name: str) -> str:
    """Returns what a person calls one of `chart_names`."""
    return name if name == GRID else f"Over {KNOBS[name].title.lower()}"


def sweep_chart(config: SweepConfig, combinations: Sequence[Line], name: str) -> SweepChart:
    """Returns one of `chart_names`."""
    return _grid(config, combinations) if name == GRID else _points(config, combinations, name)


def _grid(config: SweepConfig, combinations: Sequence[Line]) -> SweepChart:
    row, column = sorted(config.axes, key=lambda k: len(_distinct(combinations, k)), reverse=True)
    rows, columns = _distinct(combinations, row), _distinct(combinations, column)
    mean = np.full((len(rows), len(columns)), np.nan)
    spread = mean.copy()
    first = np.zeros(mean.shape, dtype=bool)
    for x in combinations:
        place = rows.index(x.params[row]), columns.index(x.params[column])
        mean[place] = _number(x.judged.mean)
        spread[place] = _number(x.judged.spread)
        first[place] = x.place == 1
    labels: dict[str, Any] = {
        "row_title": KNOBS[row].title,
        "column_title": KNOBS[column].title,
        "percent": config.measured.is_share,
        "higher_is_better": config.higher_is_better,
    }
    names = [value_text(row, v) for v in rows], [value_text(column, v) for v in columns]
    chart = sweep_grid(*names, mean, spread, **labels, first=first)
    framed = " Framed: the first place." if first.any() else ""
    words = (
        f"{JUDGED_BY[config.metric]} of the best epoch{_seeds(config)}; darker is better.{framed}"
    )
    return SweepChart("grid", chart, sweep_grid_alt(*names, mean, **labels), words)


def _points(config: SweepConfig, combinations: Sequence[Line], knob: str) -> SweepChart:
    others = [k for k in config.axes if k != knob]
    drawn = any(isinstance(axis, Range) for axis in config.axes.values()) and config.kind != "grid"
    second = others[0] if len(others) == 1 and _is_listed(config, others[0]) else None
    if second is not None and len(_distinct(combinations, second)) > MOST_LINES:
        second = None
    groups: dict[Any, list[Line]] = defaultdict(list)
    for x in combinations:
        groups[x.params[second] if second else ""].append(x)
    series = [
        _series(f"{KNOBS[second].title} {value_text(second, value)}" if second else "", each, knob)
        for value, each in groups.items()
    ]
    if config.kind == "halving":
        if second is None:
            series = [replace(each, name="Trained to the end") for each in series]
        stopped = [x for x in combinations if x.state == "stopped early"]
        series.append(_series("Stopped early, best until then", stopped, knob, unfinished=True))
    # Many combinations may lie over one value: then a line through them would mean nothing.
    alone = all(len(set(each.x)) == len(each.x) for each in series)
    axis = config.axes[knob]
    labels: dict[str, Any] = {
        "x_title": KNOBS[knob].title,
        "y_title": JUDGED_BY[config.metric],
        "percent": config.measured.is_share,
    }
    chart = sweep_points(
        series, **labels, log=_is_log(config, knob, combinations), lines=alone and not drawn
    )
    more = f" Each point also differs in {_titles(others)}." if others and second is None else ""
    drawn_words = " Drawn by chance." if isinstance(axis, Range) and drawn else ""
    bars = " Bars are 95% intervals." if any(x.interval for x in combinations) else ""
    seeds = len(config.seeds)
    mean = f", mean over up to {seeds} seeds" if seeds > 1 else ", one seed"
    words = f"{JUDGED_BY[config.metric]} of the best epoch{mean}.{bars}{more}{drawn_words}"
    alt = sweep_points_alt(series, **labels, higher_is_better=config.higher_is_better)
    return SweepChart(f"over {knob}", chart, alt, words)


def _series(
    name: str, combinations: Sequence[Line], knob: str, *, unfinished: bool = False
) -> Series:
    numeric = all(_is_number(x.params[knob]) for x in combinations)
    ordered = sorted(combinations, key=lambda x: x.params[knob]) if numeric else list(combinations)
    own = [x.params[knob] for x in ordered]
    values = [float(value) if numeric else value_text(knob, value) for value in own]
    reach = [_reach(x.reached.mean if unfinished else x.judged.mean, x.interval) for x in ordered]
    means: list[SeedMean] = [x.reached if unfinished else x.judged for x in ordered]
    return Series(
        name,
        values,  # type: ignore[arg-type]  # all numbers or all texts
        np.array([_number(each.mean) for each in means]),
        np.array(reach).reshape(-1, 2).T,
        unfinished,
    )


def _is_log(config: SweepConfig, knob: str, combinations: Sequence[Line]) -> bool:
    """Returns whether the axis is logarithmic: as the range is, else as the values suggest."""
    axis = config.axes[knob]
    if isinstance(axis, Range):
        return axis.log
    values = [v for v in _distinct(combinations, knob) if _is_number(v)]
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 8


def _is_listed(config: SweepConfig, knob: str) -> bool:
    return config.kind == "grid" or not isinstance(config.axes[knob], Range)


def _distinct(combinations: Sequence[Line], knob: str) -> list[Any]:
    """Returns the knob's values: numbers in order, others as they come."""
    values = list(dict.fromkeys(x.params[knob] for x in combinations))
    return sorted(values) if all(_is_number(v) for v in values) else values


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _reach(mean: float | None, interval: tuple[float, float] | None) -> tuple[float, float]:
    """Returns how far the interval reaches above and below the mean."""
    if mean is None or interval is None:
        return math.nan, math.nan
    return interval[1] - mean, mean - interval[0]


def _seeds(config: SweepConfig) -> str:
    count = len(config.seeds)
    if count == 1:
        return ", one seed"
    return f", mean ± one standard deviation over the seeds that have ended, {count} in the end"


def _titles(knobs: Sequence[str]) -> str:
    return " and ".join(KNOBS[knob].title.lower() for knob in knobs)
