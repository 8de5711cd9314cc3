"""What is right among the answers when a network answers only some of the pictures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import ACCENT, TRAIN, styled
from lab.charts.two_classes import add_point, thinned


def risk_coverage_chart(
    answered: Column, right: Column, *, point: tuple[float, float] | None = None
) -> go.Figure:
    """Both columns (m,), `answered` ascending; `point`, answered and right, is the threshold."""
    figure = go.Figure()
    if len(answered):
        rows = thinned(len(answered))
        figure.add_scatter(
            x=answered[rows], y=right[rows], name="Every threshold", mode="lines",
            line={"color": TRAIN, "width": 2.5},
            hovertemplate="answered %{x:.1%}<br>of these right %{y:.1%}<extra></extra>",
        )  # fmt: skip
        add_point(figure, point, ACCENT)
    styled(figure, x_title="pictures answered", y_title="right answers", empty="No images")
    lowest = float(np.min(right)) if len(right) else 0.0
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", fixedrange=True)
    figure.update_yaxes(range=[max(-0.02, lowest - 0.05), 1.01], tickformat=".0%", fixedrange=True)
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def risk_coverage_alt(answered: float, right: float, threshold: float) -> str:
    """One true sentence in place of `risk_coverage_chart`."""
    if not answered:
        return f"Right answers by share answered: no picture is answered from {threshold:.1%} on."
    return (
        f"Right answers by share answered: from {threshold:.1%} on {answered:.1%} of the pictures "
        f"are answered, and {right:.1%} of these are right."
    )
