"""A knob against a result over many runs, and all knobs at once on parallel axes.

Both draw plain lines and dots, so text is legible in both appearances and nothing needs WebGL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import ACCENT, GRID, PALETTE, QUIET, TRAIN, chart_text, log_ticks, styled
from lab.words import plural

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
JITTER = 0.16
"""Of the distance between two categories on an axis, so that equal runs do not hide each other."""
FEW_TICKS = 6
CLOSEST = 0.05
"""Texts beside an axis, as a share of its length, would run into each other below this."""


@dataclass(frozen=True, eq=False)
class Axis:
    """The values of one knob or result in n runs."""

    title: str
    numbers: Column
    """(n,) float64; for categories their place on the axis. NaN where a run has none."""
    categories: tuple[str, ...] = ()
    """Of a knob that is chosen from a list, in the order of the axis; empty for numbers."""
    log: bool = False
    """Drawn in powers of ten; all numbers are above 0."""
    share: bool = False
    """Written in percent."""

    def text_of(self, run: int) -> str:
        """The value of a run as text."""
        return self.text(float(self.numbers[run]))

    def text(self, number: float) -> str:
        """A number of this axis as text; a dash where there is none."""
        if not math.isfinite(number):
            return "–"
        if self.categories:
            return chart_text(self.categories[round(number)])
        return f"{number:.1%}" if self.share else f"{number:,.4g}"


def number_axis(
    title: str, values: Sequence[float | None], *, log: bool = False, share: bool = False
) -> Axis:
    """An axis of numbers; `log` is honoured when every number is above 0."""
    numbers = np.array([math.nan if v is None else v for v in values], dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return Axis(title, numbers, log=log and len(known) > 0 and bool((known > 0).all()), share=share)


def category_axis(title: str, values: Sequence[str]) -> Axis:
    """An axis of categories in alphabetical order."""
    categories = tuple(sorted(set(values)))
    places = {category: place for place, category in enumerate(categories)}
    return Axis(title, np.array([places[v] for v in values], dtype=np.float64), categories)


def knob_scatter(
    knob: Axis,
    result: Axis,
    names: Sequence[str],
    *,
    by: Axis | None = None,
    intervals: Sequence[tuple[float, float] | None] = (),
) -> go.Figure:
    """A dot a run: `knob` across, `result` up, both (n,), `names` (n,) for the pointer.

    `by` gives colour and symbol. `intervals` are drawn as whiskers. On an axis of categories a
    bar marks the mean of each one with several runs.
    """
    figure = go.Figure()
    known = np.isfinite(knob.numbers) & np.isfinite(result.numbers)
    x = knob.numbers + (_jitter(knob.numbers) if knob.categories else 0.0)
    for place, (label, members) in enumerate(_groups(by, known)):
        whiskers = None
        if len(intervals) and all(intervals[i] for i in members):
            ends = np.array([intervals[i] for i in members])
            whiskers = {
                "array": ends[:, 1] - result.numbers[members],
                "arrayminus": result.numbers[members] - ends[:, 0],
                "thickness": 1,
                "width": 0,
            }
        figure.add_scatter(
            x=x[members],
            y=result.numbers[members],
            name=label,
            mode="markers",
            showlegend=by is not None,
            marker={
                "color": PALETTE[place % len(PALETTE)],
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": 9,
                "opacity": 0.8,
            },
            error_y=whiskers,
            text=[
                f"{chart_text(names[i])}<br>{chart_text(knob.title)} {knob.text_of(i)}"
                f"<br>{chart_text(result.title)} {result.text_of(i)}"
                for i in members
            ],
            hoverinfo="text",
        )
    if knob.categories and known.any():
        _add_means(figure, knob, result, known)
    styled(
        figure,
        x_title=chart_text(knob.title),
        y_title=chart_text(result.title),
        empty="No run has both of these",
        height=420,
    )
    figure.update_layout(hovermode="closest")
    if known.any():
        _set_axis(figure, "x", knob)
        _set_axis(figure, "y", result)
    return figure


def knob_scatter_alt(knob: Axis, result: Axis, names: Sequence[str]) -> str:
    """One true sentence in place of `knob_scatter`."""
    known = np.flatnonzero(np.isfinite(knob.numbers) & np.isfinite(result.numbers))
    what = f"{result.title} against {knob.title}"
    if not len(known):
        return f"{what}: no run has both."
    top = int(known[result.numbers[known].argmax()])
    return (
        f"{what} for {plural(len(known), 'run')}: the highest is {result.text_of(top)}, of "
        f"{names[top]} with {knob.title} {knob.text_of(top)}."
    )


def parallel(
    axes: Sequence[Axis], names: Sequence[str], *, higher_is_better: bool = True
) -> go.Figure:
    """A line a run through all `axes`, the last of which is the result that colours it: the best
    fifth strong, the worst fifth dashed, the others thin."""
    figure = go.Figure()
    result = axes[-1]
    places = [_places(axis) for axis in axes]
    for label, members, style in _fifths(result, higher_is_better=higher_is_better):
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str] = []
        for run in members:
            values = "<br>".join(f"{chart_text(axis.title)} {axis.text_of(run)}" for axis in axes)
            x += [*range(len(axes)), None]
            y += [None if math.isnan(p[run]) else float(p[run]) for p in places] + [None]
            text += [f"{chart_text(names[run])}<br>{values}"] * (len(axes) + 1)
        figure.add_scatter(
            x=x, y=y, name=label, mode="lines+markers", line=style, text=text, hoverinfo="text",
            marker={"size": 5, "color": style["color"]}, connectgaps=False,
            opacity=0.9 if style["width"] > 2 else 0.75,  # type: ignore[operator]
        )  # fmt: skip
    styled(figure, x_title="", y_title="", empty="No run has this result", height=460)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 8, "t": 8, "b": 8})
    if not figure.data:
        return figure
    last = len(axes) - 1
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[_wrapped(axis.title) for axis in axes],
        range=[-0.35, last + 0.5],
        side="top",
        fixedrange=True,
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.06], fixedrange=True)
    figure.update_layout(legend={"y": -0.02, "yanchor": "top"})
    for number, (axis, placed) in enumerate(zip(axes, places, strict=True)):
        figure.add_shape(
            type="line", x0=number, x1=number, y0=-0.03, y1=1.03, layer="below",
            line={"color": GRID, "width": 2},
        )  # fmt: skip
        for place, label in _ticks(axis, placed):
            figure.add_annotation(
                x=number, y=place, text=label, showarrow=False, xanchor="left", xshift=5,
                yanchor="bottom", yshift=1,
                font={"size": 11, "shadow": "auto"},  # legible over lines
            )  # fmt: skip
    return figure


def parallel_alt(
    axes: Sequence[Axis], names: Sequence[str], *, higher_is_better: bool = True
) -> str:
    """One true sentence in place of `parallel`."""
    result = axes[-1]
    known = np.flatnonzero(np.isfinite(result.numbers))
    what = f"Parallel axes: {', '.join(axis.title for axis in axes)}"
    if not len(known):
        return f"{what}. No run has a {result.title} yet."
    values = result.numbers[known]
    best = int(known[values.argmax() if higher_is_better else values.argmin()])
    knobs = ", ".join(f"{axis.title} {axis.text_of(best)}" for axis in axes[:-1])
    return (
        f"{what}, for {plural(len(known), 'run')}. The best {result.title} is "
        f"{result.text_of(best)}, of {names[best]}" + (f" with {knobs}." if knobs else ".")
    )


def _groups(by: Axis | None, known: Column) -> list[tuple[str, list[int]]]:
    if by is None:
        return [("runs", np.flatnonzero(known).tolist())] if known.any() else []
    values = np.unique(by.numbers[known & np.isfinite(by.numbers)])
    return [
        (by.text(float(value)), np.flatnonzero(known & (by.numbers == value)).tolist())
        for value in values
    ]


def _add_means(figure: go.Figure, knob: Axis, result: Axis, known: Column) -> None:
    for place in range(len(knob.categories)):
        values = result.numbers[known & (knob.numbers == place)]
        if len(values) > 1:
            figure.add_shape(
                type="line", x0=place - 0.3, x1=place + 0.3, y0=values.mean(), y1=values.mean(),
                line={"color": QUIET, "width": 2.5}, layer="below",
            )  # fmt: skip


def _set_axis(figure: go.Figure, which: str, axis: Axis) -> None:
    update = figure.update_xaxes if which == "x" else figure.update_yaxes
    if axis.categories:
        labels = [_wrapped(category, 16) for category in axis.categories]
        update(tickvals=list(range(len(labels))), ticktext=labels, range=[-0.6, len(labels) - 0.4])
        return
    if axis.log:
        update(**log_ticks(share=axis.share))
    elif axis.share:
        update(tickformat=".1%")
    values = np.unique(axis.numbers[np.isfinite(axis.numbers)])
    if len(values) == 1:  # else the axis would show how exactly a computer can tell numbers apart
        value = float(values[0])
        margin = 0.05 * abs(value) or 1.0
        ends = [value - margin, value + margin]
        update(range=np.log10(ends).tolist() if axis.log else ends)
    if which == "x" and len(values) <= FEW_TICKS:  # what was tried, and nothing in between
        update(tickvals=values.tolist(), ticktext=[axis.text(float(v)) for v in values])


def _jitter(numbers: Column) -> Column:
    """(n,) small shifts, the same at each drawing: runs at one place are spread evenly."""
    shift = np.zeros(len(numbers))
    for value in np.unique(numbers[np.isfinite(numbers)]):
        rows = np.flatnonzero(numbers == value)
        if len(rows) > 1:
            shift[rows] = np.linspace(-JITTER, JITTER, len(rows))
    return shift


def _places(axis: Axis) -> Column:
    """(n,) places in [0, 1] on an upright axis; NaN where a run has none."""
    numbers = np.log10(axis.numbers) if axis.log else axis.numbers
    known = numbers[np.isfinite(numbers)]
    if axis.categories:
        low, high = 0.0, float(len(axis.categories) - 1)
    elif len(known):
        low, high = float(known.min()), float(known.max())
    else:
        return numbers
    if high == low:
        return np.where(np.isfinite(numbers), 0.5, np.nan)
    return (numbers - low) / (high - low)


def _ticks(axis: Axis, places: Column) -> list[tuple[float, str]]:
    """The labels beside an axis: all values when they are few, else both ends and a middle."""
    known = np.isfinite(places)
    if not known.any():
        return []
    at, first = np.unique(places[known], return_index=True)
    numbers = axis.numbers[known][first]
    if axis.categories or len(at) <= FEW_TICKS:
        ticks: list[tuple[float, str]] = []
        for place, number in zip(at.tolist(), numbers.tolist(), strict=True):
            if not ticks or place - ticks[-1][0] >= CLOSEST:
                ticks.append((place, axis.text(number)))
        return ticks
    low, high = float(numbers[0]), float(numbers[-1])
    middle = math.sqrt(low * high) if axis.log else (low + high) / 2
    return [(0.0, axis.text(low)), (0.5, axis.text(middle)), (1.0, axis.text(high))]


def _fifths(
    result: Axis, *, higher_is_better: bool
) -> list[tuple[str, list[int], dict[str, object]]]:
    """(label, runs, line) of the worst, the middle and the best runs, drawn in this order."""
    known = np.flatnonzero(np.isfinite(result.numbers))
    if not len(known):
        return []
    values = result.numbers[known]
    if values.min() == values.max():
        same = f"all {len(known)}: {result.text(float(values[0]))}"
        return [(same, known.tolist(), {"color": TRAIN, "width": 1.5})]
    order = known[np.argsort(values if higher_is_better else -values, kind="stable")].tolist()
    fifth = max(1, len(order) // 5)
    worst = order[:fifth]
    middle, best = order[len(worst) : -fifth], order[-fifth:]
    groups = []
    for label, members, style in (
        ("worst", worst, {"color": QUIET, "width": 1.2, "dash": "dash"}),
        ("middle", middle, {"color": TRAIN, "width": 1.5}),
        ("best", best, {"color": ACCENT, "width": 2.8}),
    ):
        if members:
            ends = sorted(float(result.numbers[i]) for i in members)
            span = result.text(ends[0])
            if ends[0] != ends[-1]:
                span += f" to {result.text(ends[-1])}"
            groups.append((f"{label} {len(members)}: {span}", members, style))
    return groups


def _wrapped(title: str, longest: int = 14) -> str:
    """In lines of some `longest` characters, broken between words."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + len(word) >= longest:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(chart_text(line) for line in lines)
