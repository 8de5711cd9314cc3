"""Many runs in one chart: their curves over each other, their final accuracies with intervals.

Up to twelve lines each have a colour and a dash of their own. More than that nobody tells apart,
and as many traces would take the browser a second: they are drawn as one trace a group (the value
of a knob), with gaps between the runs, and the pointer tells which run it is on.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column, last_number
from lab.charts.style import PALETTE, TEST, VALIDATION, chart_text, log_ticks, styled

DASHES = ("solid", "dash", "dot", "dashdot")
COUNTED = ("epoch", "step")
"""Titles of x axes on which there is nothing between two whole numbers."""
MOST_SINGLE = 12
"""Curves that are told apart one by one; more of them are drawn as groups."""
HEIGHT = 440
LEAST_SHARE = 0.1
"""The least height of an axis of shares."""
EDGE = 0.01
FEW_TICKS = 10
LONGEST_NAME = 40
ROW_HEIGHT = 26


@dataclass(frozen=True, slots=True)
class RunCurve:
    """One run's curve: x (n,) ascending and y (n,); NaN is a gap."""

    name: str
    x: Column
    y: Column
    group: str = ""
    """The value of the knob by which many lines are coloured."""


def smooth(x: Column, y: Column, half_life: float) -> Column:
    """Returns y (n,) as a moving average in which a value counts half after `half_life` of x.

    Goes by the distance in x and not by the number of points, so that a thinned curve becomes the
    same line. Corrected for its start, where there is little to average; NaN stays a gap.
    """
    if half_life <= 0 or len(x) < 2:
        return y
    keep = 0.5 ** (np.diff(x, prepend=2 * x[0] - x[1]) / half_life)
    out = np.full(len(y), np.nan)
    total = weight = 0.0
    for row, (decay, value) in enumerate(zip(keep.tolist(), y.tolist(), strict=True)):
        total, weight = decay * total, decay * weight
        if np.isfinite(value):
            total, weight = total + (1 - decay) * value, weight + 1 - decay
            out[row] = total / weight if weight else value
    return out


def overlaid(
    lines: Sequence[RunCurve],
    *,
    x_title: str,
    y_title: str,
    share: bool = False,
    log: bool = False,
) -> go.Figure:
    """The curves of `lines` in one chart; `share` writes y in percent, `log` draws it in powers of
    ten, where what is not above 0 has no place and is left out."""
    figure = go.Figure()
    y_format = "%{y:.1%}" if share else "%{y:.4~g}"
    if len(lines) <= MOST_SINGLE:
        for place, line in enumerate(lines):
            _add(
                figure, [line], _style(place, width=2.0), line.name, y_format, x_title, single=True
            )
    else:
        groups = list(dict.fromkeys(line.group for line in lines))
        for place, group in enumerate(groups):
            members = [line for line in lines if line.group == group]
            label = f"{group or 'runs'} ({len(members)})"
            _add(figure, members, _style(place, width=1.2), label, y_format, x_title, single=False)
    styled(figure, x_title=x_title, y_title=y_title, empty="Nothing measured yet", height=HEIGHT)
    # A box with all runs' values would cover the chart.
    figure.update_layout(hovermode="closest")
    if share:
        figure.update_yaxes(tickformat=".0%")
        if not log:
            figure.update_yaxes(range=_share_range(lines))
    if x_title in COUNTED:
        figure.update_xaxes(**_whole_ticks(lines))
    if log:
        figure.update_yaxes(**log_ticks(share=share))
    return figure


def _share_range(lines: Sequence[RunCurve]) -> tuple[float, float] | None:
    """The y axis of shares: around the values, at least 10 % of room, and within 0 to 100 %.

    Left to itself the chart draws a flat curve in the middle of an axis from -50 % to 150 %.
    """
    values = [line.y[np.isfinite(line.y)] for line in lines]
    known = np.concatenate(values) if values else np.empty(0)
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    margin = max(0.05 * (high - low), (LEAST_SHARE - (high - low)) / 2, 0.005)
    low, high = low - margin, high + margin
    # A little beyond 0 and 1, so that a line along the edge is drawn with its whole width.
    return max(low, -EDGE), min(high, 1 + EDGE)


def _whole_ticks(lines: Sequence[RunCurve]) -> dict[str, object]:
    """Ticks on whole numbers only, where the axis is so short that there would be others."""
    ends = [float(line.x[-1]) for line in lines if len(line.x)]
    if not ends or max(ends) > FEW_TICKS:
        return {}
    return {"tick0": 0, "dtick": 1}


def overlaid_alt(lines: Sequence[RunCurve], *, what: str, share: bool = False) -> str:
    """One true sentence in place of `overlaid`."""
    ends = {line.name: last_number(line.y) for line in lines}
    known = sorted((value, name) for name, value in ends.items() if value is not None)
    if not known:
        return f"{what}: nothing measured yet."
    number = "{:.1%}" if share else "{:.3g}"
    low, high = known[0], known[-1]
    if len(known) == 1:
        return f"{what} of one run, {low[1]}: {number.format(low[0])} at its end."
    return (
        f"{what} of {len(known)} runs: at their ends the lowest is {low[1]} with "
        f"{number.format(low[0])}, the highest {high[1]} with {number.format(high[0])}."
    )


@dataclass(frozen=True, slots=True)
class FinalAccuracy:
    """One run's accuracies, in [0, 1], with their 95 % intervals; None where unknown."""

    name: str
    validation: float | None
    validation_interval: tuple[float, float] | None
    test: float | None
    test_interval: tuple[float, float] | None


def final_accuracies(rows: Sequence[FinalAccuracy]) -> go.Figure:
    """A row a run, from the top: validation (open diamond) and test accuracy (dot), with whiskers
    as long as their intervals."""
    figure = go.Figure()
    kinds = (
        ("Validation", [(r.validation, r.validation_interval) for r in rows], -0.17, VALIDATION),
        ("Test", [(r.test, r.test_interval) for r in rows], 0.17, TEST),
    )
    for name, measured, shift, colour in kinds:
        known = [(i, v, interval) for i, (v, interval) in enumerate(measured) if v is not None]
        if not known:
            continue
        x = np.array([value for _, value, _ in known])
        ends = np.array([interval or (value, value) for _, value, interval in known])
        figure.add_scatter(
            x=x,
            y=np.array([i + shift for i, _, _ in known]),
            name=name,
            mode="markers",
            marker={
                "symbol": "circle" if name == "Test" else "diamond-open",
                "size": 9,
                "color": colour,
            },
            error_x={
                "array": ends[:, 1] - x,
                "arrayminus": x - ends[:, 0],
                "thickness": 1.5,
                "width": 4,
                "color": colour,
            },
            text=[
                f"{_short(rows[i].name)}<br>{name} {value:.1%}"
                + (f", 95%: {low:.1%} to {high:.1%}" if interval else "")
                for (i, value, interval), (low, high) in zip(known, ends.tolist(), strict=True)
            ],
            hoverinfo="text",
        )
    height = 90 + ROW_HEIGHT * max(2, len(rows)) + 10 * len(rows)
    styled(figure, x_title="accuracy", y_title="", empty="Nothing measured yet", height=height)
    figure.update_xaxes(tickformat=".0%" if _spread(rows) > 0.05 else ".1%", showgrid=True)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[_two_lines(row.name) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        fixedrange=True,
    )
    figure.update_layout(hovermode="closest")
    return figure


def final_accuracies_alt(rows: Sequence[FinalAccuracy]) -> str:
    """One true sentence in place of `final_accuracies`."""
    known = sorted((row.test, row.name) for row in rows if row.test is not None)
    if not known:
        return f"Accuracy of {len(rows)} runs: none has been tested yet."
    return (
        f"Accuracy of {len(rows)} runs with 95% intervals: the highest test accuracy is "
        f"{known[-1][0]:.1%} ({known[-1][1]}), the lowest {known[0][0]:.1%} ({known[0][1]})."
    )


def _add(
    figure: go.Figure,
    lines: Sequence[RunCurve],
    style: dict[str, object],
    name: str,
    y_format: str,
    x_title: str,
    *,
    single: bool,
) -> None:
    """Adds several curves as one trace, with a gap after each."""
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return
    gap = np.array([np.nan], dtype=np.float32)
    x = np.concatenate([part for line in lines for part in (line.x, gap)][:-1])
    y = np.concatenate([part for line in lines for part in (line.y, gap)][:-1])
    points = max(len(line.x) for line in lines)
    # Half the bytes, and still more digits than a screen can show.
    trace: dict[str, object] = {
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "name": _short(name),
        "line": style,
        "mode": "lines+markers" if points <= 30 and single else "lines",
        "marker": {"size": 5},
        "hovertemplate": f"%{{customdata}}<br>{x_title} %{{x:,.4~g}}: {y_format}<extra></extra>",
    }
    if points == 1:
        trace["mode"] = "markers"
    if single:
        trace["hovertemplate"] = (
            f"{_short(name)}<br>{x_title} %{{x:,.4~g}}: {y_format}<extra></extra>"
        )
    else:
        # Not as `text`, whose every entry plotly would check.
        names = np.array([_short(line.name) for line in lines], dtype=object)
        trace["opacity"] = 0.6  # what lies below is still seen
        trace["customdata"] = np.repeat(names, [len(line.x) + 1 for line in lines])[:-1]
    figure.add_scatter(**trace)


def _style(place: int, *, width: float) -> dict[str, object]:
    colours = len(PALETTE)
    return {
        "color": PALETTE[place % colours],
        "dash": DASHES[place // colours % len(DASHES)],
        "width": width,
    }


def _spread(rows: Sequence[FinalAccuracy]) -> float:
    ends = [
        end
        for row in rows
        for interval in (row.validation_interval, row.test_interval)
        if interval
        for end in interval
    ]
    return max(ends) - min(ends) if ends else 1.0


def _two_lines(name: str) -> str:
    """The name beside its row, as much of it as two lines hold."""
    lines = textwrap.wrap(name, 26)
    shown = lines if len(lines) <= 2 else textwrap.wrap(_cut(name, 46), 26)[:2]
    return "<br>".join(chart_text(line) for line in shown)


def _short(name: str, longest: int = LONGEST_NAME) -> str:
    """The name without its middle where it is long: what tells runs apart stands at its end."""
    return chart_text(_cut(name, longest))


def _cut(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    start = longest // 3
    return f"{name[:start].rstrip()}…{name[start + 1 - longest :].lstrip()}"
