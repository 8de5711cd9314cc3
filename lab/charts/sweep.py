"""A sweep's result: a coloured table of two knobs, or the metric over one knob."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from lab.charts.style import ACCENT, HEIGHT, PALETTE, chart_text, styled

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# From worse to better, with a jump in the middle: left of it dark text is readable, right of it
# white. Both ends stand out from a white and from a near-black page.
COLOURS = ((0.0, "#b5d3ed"), (0.5, "#86b6df"), (0.5, "#2f6fb0"), (1.0, "#123f6d"))
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")
LEAST_IMPORTANCE = 1e-4
"""Where the logarithmic axis of importances begins."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True, eq=False)
class Series:
    """The results of the combinations that share one value of the second knob."""

    name: str
    x: Sequence[float] | Sequence[str]
    """(n,) values of the knob, in order."""
    mean: Floats
    """(n,) over seeds; NaN where nothing has completed."""
    spread: Floats
    """(2, n) how far the 95 % interval reaches above and below the mean; NaN where nothing says how
    sure it is."""
    unfinished: bool = False
    """Whether it shows, hollow, what runs had reached when they were stopped early."""


def sweep_grid(
    rows: Sequence[str],
    columns: Sequence[str],
    mean: Floats,
    spread: Floats,
    *,
    row_title: str,
    column_title: str,
    percent: bool,
    higher_is_better: bool = True,
    first: Bools | None = None,
) -> go.Figure:
    """A table of two knobs from `mean` and `spread` (R, C), NaN where there is none.

    The darker, the better; every number is written as well. Framed is the best cell, or all that
    share the first place: `first` (R, C)."""
    figure = go.Figure()
    if np.isfinite(mean).any():
        low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
        shade = (mean - low) / (high - low) if high > low else np.where(np.isnan(mean), mean, 1.0)
        figure.add_heatmap(
            x=list(range(len(columns))),
            y=list(range(len(rows))),
            z=shade if higher_is_better or high == low else 1.0 - shade,
            text=[
                [_cell(m, s, percent=percent) for m, s in zip(*pair, strict=True)]
                for pair in zip(mean, spread, strict=True)
            ],
            texttemplate="%{text}",
            colorscale=[list(step) for step in COLOURS],
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            showscale=False,
            hoverinfo="skip",
        )
        if first is None or not first.any():
            first = np.zeros(mean.shape, dtype=bool)
            first[_best(mean, higher_is_better=higher_is_better)] = True
        for row, column in np.argwhere(first).tolist():
            figure.add_shape(
                type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5,
                line={"color": ACCENT, "width": 3},
            )  # fmt: skip
    height = max(220, 90 + 48 * len(rows))
    styled(
        figure, x_title=column_title, y_title=row_title, empty="No run has ended yet", height=height
    )
    _categories(figure.update_xaxes, columns)
    _categories(figure.update_yaxes, rows, upside_down=True)
    figure.update_layout(dragmode=False)
    return figure


def sweep_grid_alt(
    rows: Sequence[str],
    columns: Sequence[str],
    mean: Floats,
    *,
    row_title: str,
    column_title: str,
    percent: bool,
    higher_is_better: bool = True,
) -> str:
    """One true sentence in place of `sweep_grid`."""
    known = int(np.isfinite(mean).sum())
    summary = (
        f"{row_title} against {column_title}, {known} of {mean.size} combinations with a result"
    )
    if not known:
        return f"{summary}."
    row, column = _best(mean, higher_is_better=higher_is_better)
    return (
        f"{summary}; best {_number(mean[row, column], percent=percent)} for {row_title} "
        f"{rows[row]} and {column_title} {columns[column]}."
    )


def sweep_points(
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    percent: bool,
    log: bool = False,
    lines: bool = True,
) -> go.Figure:
    """The metric over one knob, a line a value of the second one. Bars are 95 % intervals."""
    figure = go.Figure()
    for number, each in enumerate(series):
        known = np.isfinite(each.mean)
        if not known.any():
            continue
        colour = PALETTE[number % len(PALETTE)]
        above, below = each.spread[:, known]
        figure.add_scatter(
            x=[
                chart_text(x) if isinstance(x, str) else x
                for x, is_known in zip(each.x, known, strict=True)
                if is_known
            ],
            y=each.mean[known],
            name=chart_text(each.name),
            mode="lines+markers" if lines and not each.unfinished else "markers",
            line={"color": colour, "width": 2, "dash": DASHES[number % len(DASHES)]},
            marker={
                "size": 9,
                "symbol": SYMBOLS[number % len(SYMBOLS)] + ("-open" if each.unfinished else ""),
                "color": colour,
            },
            error_y={
                "type": "data",
                "array": np.nan_to_num(above),
                "arrayminus": np.nan_to_num(below),
                "visible": bool(np.isfinite(above).any()),
                "thickness": 1.5,
            },
            customdata=[
                _interval(m - b, m + a, percent=percent)
                for m, a, b in zip(each.mean[known], above, below, strict=True)
            ],
            hovertemplate=("%{y:.1%}" if percent else "%{y:.4f}") + "%{customdata}",
        )
    styled(figure, x_title=x_title, y_title=y_title, empty="No run has ended yet", height=HEIGHT)
    text = any(isinstance(x, str) for each in series for x in each.x)
    figure.update_xaxes(
        type="category" if text else "log" if log else "linear",
        fixedrange=True,
        exponentformat="none",  # 0.00001, not 10µ
    )
    if not text and lines:  # the values themselves, as far as there is room
        ticks = sorted({float(x) for each in series for x in each.x})
        if len(ticks) <= 12:
            figure.update_xaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_yaxes(fixedrange=True, tickformat=".1~%" if percent else None)
    figure.update_layout(
        showlegend=len(series) > 1,
        dragmode=False,
        hovermode="x unified" if lines else "closest",
    )
    return figure


def sweep_points_alt(
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    percent: bool,
    higher_is_better: bool = True,
) -> str:
    """One true sentence in place of `sweep_points`."""
    sign = 1 if higher_is_better else -1
    known = [
        (sign * m, m, x, each.name)
        for each in series
        for x, m in zip(each.x, each.mean, strict=True)
        if math.isfinite(m)
    ]
    summary = f"{y_title} over {x_title}, {len(known)} combinations with a result"
    if not known:
        return f"{summary}."
    _, mean, x, name = max(known, key=lambda point: point[0])
    where = f"{x:g}" if isinstance(x, float) else str(x)
    group = f", {name}" if len(series) > 1 else ""
    return f"{summary}; best {_number(mean, percent=percent)} at {where}{group}."


def sweep_importances(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    chances: Sequence[float],
) -> go.Figure:
    """The importance of each of n settings on a logarithmic axis, the largest on top: a point with
    its 95 % interval, and a mark where chance alone ends."""
    figure = go.Figure()
    labels = list(names)[::-1]
    own = np.maximum(np.array(values, dtype=np.float64)[::-1], LEAST_IMPORTANCE)
    ends = np.maximum(np.array(intervals, dtype=np.float64).reshape(-1, 2)[::-1], LEAST_IMPORTANCE)
    limits = np.maximum(np.array(chances, dtype=np.float64)[::-1], LEAST_IMPORTANCE)
    if labels:
        figure.add_scatter(
            x=own,
            y=labels,
            name="Importance, 95%",
            mode="markers",
            marker={"size": 10, "color": PALETTE[0]},
            error_x={
                "type": "data",
                "array": ends[:, 1] - own,
                "arrayminus": own - ends[:, 0],
                "thickness": 1.5,
            },
            hovertemplate="%{x:.3f}<extra></extra>",
        )
        figure.add_scatter(
            x=limits,
            y=labels,
            name="Chance ends here",
            mode="markers",
            marker={
                "size": 22,
                "symbol": "line-ns",
                "color": ACCENT,
                "line": {"width": 3, "color": ACCENT},
            },
            hovertemplate="%{x:.3f}<extra></extra>",
        )
    styled(
        figure,
        x_title="Importance",
        y_title="",
        empty="Too few combinations",
        height=max(200, 110 + 44 * len(labels)),
    )
    figure.update_xaxes(type="log", fixedrange=True, exponentformat="none", dtick=1)
    figure.update_yaxes(type="category", fixedrange=True, showgrid=False, automargin=True)
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def sweep_importances_alt(names: Sequence[str], is_more_than_chance: Sequence[bool]) -> str:
    """One true sentence in place of `sweep_importances`."""
    beyond = [n for n, is_more in zip(names, is_more_than_chance, strict=True) if is_more]
    which = ", ".join(beyond) if beyond else "none"
    return f"Importance of {len(names)} settings, most first; more than chance: {which}."


def _categories(
    update: Callable[..., object], labels: Sequence[str], *, upside_down: bool = False
) -> None:
    ends = [-0.5, len(labels) - 0.5]
    update(
        tickvals=list(range(len(labels))),
        ticktext=list(map(chart_text, labels)),
        range=ends[::-1] if upside_down else ends,
        fixedrange=True,
        showgrid=False,
    )


def _best(mean: Floats, *, higher_is_better: bool) -> tuple[int, int]:
    flat = int(np.nanargmax(mean) if higher_is_better else np.nanargmin(mean))
    return flat // mean.shape[1], flat % mean.shape[1]


def _cell(mean: float, spread: float, *, percent: bool) -> str:
    if not math.isfinite(mean):
        return ""
    return _number(mean, percent=percent) + _spread(spread, percent=percent)


def _number(value: float, *, percent: bool) -> str:
    return f"{value:.1%}" if percent else f"{value:.3g}"


def _spread(value: float, *, percent: bool) -> str:
    if not math.isfinite(value):
        return ""
    return f" ± {100 * value:.1f}" if percent else f" ± {value:.2g}"


def _interval(low: float, high: float, *, percent: bool) -> str:
    if not math.isfinite(high):
        return ""
    return f", 95%: {_number(low, percent=percent)} to {_number(high, percent=percent)}"
