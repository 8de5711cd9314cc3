"""The learning-rate finder's curve: the loss of each step against its learning rate."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import ACCENT, QUIET, TRAIN, VALIDATION, styled

BAND = "rgba(0, 153, 119, 0.16)"
HEADROOM = 1.6
"""The highest loss shown, as a multiple of the first one: a diverging loss has no bound."""


def loss_against_rate(
    rates: Column,
    losses: Column,
    smoothed: Column,
    *,
    low: float | None = None,
    high: float | None = None,
    suggested: float | None = None,
    current: float | None = None,
) -> go.Figure:
    """`rates` (n,) ascending, on a logarithmic axis; `losses` and `smoothed` (n,).

    The range from `low` to `high` is shaded, `suggested` is a solid line with a star on the curve,
    `current` (the form's rate) a dotted one.
    """
    figure = go.Figure()
    if len(rates):
        figure.add_scatter(
            x=rates, y=losses, name="Each step", mode="markers",
            marker={"color": QUIET, "size": 5, "symbol": "circle-open"},
            hovertemplate="%{y:.3g}",
        )  # fmt: skip
        figure.add_scatter(
            x=rates, y=smoothed, name="Smoothed", mode="lines",
            line={"color": TRAIN, "width": 2.5}, hovertemplate="%{y:.3g}",
        )  # fmt: skip
    if low is not None and high is not None:
        figure.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0)
    shown = _loss_range(losses, smoothed)
    if shown is not None:
        # Lines as traces: plotly puts the text of an added line elsewhere on a logarithmic axis.
        if current is not None and rates[0] <= current <= rates[-1]:
            figure.add_scatter(
                x=[current, current], y=list(shown), name="Now set", mode="lines",
                line={"color": VALIDATION, "dash": "dot", "width": 2}, hoverinfo="skip",
            )  # fmt: skip
        if suggested is not None:
            at = float(np.interp(np.log10(suggested), np.log10(rates), smoothed))
            figure.add_scatter(
                x=[suggested] * 3, y=[shown[0], at, shown[1]], name="Suggested",
                mode="lines+markers", line={"color": ACCENT, "width": 1.5}, hoverinfo="skip",
                marker={"symbol": "star", "size": [0, 14, 0], "color": ACCENT},
            )  # fmt: skip
    styled(figure, x_title="learning rate", y_title="loss", empty="No step was taken", height=300)
    figure.update_xaxes(type="log", dtick=1, exponentformat="power", fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    figure.update_layout(dragmode=False)
    if shown is not None:
        figure.update_yaxes(range=shown)
    return figure


def loss_against_rate_alt(
    rates: Column,
    smoothed: Column,
    *,
    low: float | None,
    high: float | None,
    suggested: float | None,
) -> str:
    """One true sentence in place of `loss_against_rate`."""
    if not len(rates):
        return "Loss against learning rate: no step was taken."
    lowest = int(np.argmin(smoothed))
    text = (
        f"Loss against learning rate over {len(rates)} steps from {rates[0]:.1e} to "
        f"{rates[-1]:.1e}: the smoothed loss begins at {smoothed[0]:.3g} and is lowest, "
        f"{smoothed[lowest]:.3g}, at {rates[lowest]:.1e}"
    )
    if low is None or high is None or suggested is None:
        return f"{text}; it suggests no rate."
    return f"{text}; it falls from {low:.1e} to {high:.1e}, and {suggested:.1e} is suggested."


def _loss_range(losses: Column, smoothed: Column) -> tuple[float, float] | None:
    """From below the lowest point to somewhat above the first ones; None without numbers."""
    numbers = losses[np.isfinite(losses)]
    if not len(numbers):
        return None
    top = max(HEADROOM * float(np.median(numbers[:5])), float(numbers[:5].max()))
    top = min(top, max(float(numbers.max()), float(np.max(smoothed))))
    bottom = min(float(numbers.min()), float(np.min(smoothed)))
    room = 0.05 * (top - bottom) or 0.1
    return bottom - room, top + room
