"""The reliability diagram: whether answers given with 90 % are right nine times in ten."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import ACCENT, QUIET, TRAIN, VALIDATION, styled
from lab.words import gap_words


def reliability(
    edges: Column,
    counts: Column,
    confidence: Column,
    accuracy: Column,
    *,
    scaled: tuple[Column, Column] | None = None,
) -> go.Figure:
    """`edges` (bins + 1,) of the probability; the others (bins,), NaN in empty bins.

    Bars are the share of right answers of each bin, diamonds the mean probability with which they
    were given: a diamond above its bar is too sure. How many images a bin has is drawn below.
    `scaled`, confidence and accuracy with a temperature, is a line: on the diagonal it is right.
    """
    figure = go.Figure()
    filled = np.flatnonzero(counts)
    if len(filled):
        middles = (edges[:-1] + edges[1:])[filled] / 2
        widths = np.diff(edges)[filled]
        figure.add_scatter(
            x=[0, 1], y=[0, 1], name="As sure as right", mode="lines", hoverinfo="skip",
            line={"color": QUIET, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
        figure.add_bar(
            x=middles, y=accuracy[filled], width=widths, name="Right answers",
            marker={"color": TRAIN, "line": {"color": "rgba(255,255,255,0.6)", "width": 1}},
            hovertemplate="right %{y:.1%}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=middles, y=confidence[filled], name="Mean probability", mode="markers",
            marker={"color": VALIDATION, "symbol": "diamond", "size": 9},
            hovertemplate="sure to %{y:.1%}<extra></extra>",
        )  # fmt: skip
        if scaled is not None:
            rows = np.flatnonzero(np.isfinite(scaled[0]))
            figure.add_scatter(
                x=scaled[0][rows], y=scaled[1][rows], name="With temperature", mode="lines+markers",
                line={"color": ACCENT, "width": 2.5}, marker={"size": 7},
                hovertemplate="with temperature: right %{y:.1%}<extra></extra>",
            )  # fmt: skip
        figure.add_bar(
            x=middles, y=counts[filled], width=widths, name="Images", yaxis="y2", showlegend=False,
            marker={"color": QUIET}, hovertemplate="%{y:,} images<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        yaxis={"domain": [0.32, 1], "range": [0, 1.02], "tickformat": ".0%"},
        yaxis2={"domain": [0, 0.18], "nticks": 3, "title": {"text": "images"}},
        xaxis={"anchor": "y2"},
    )
    x_title = "probability of the answer"
    styled(figure, x_title=x_title, y_title="right answers", empty="No images", height=400)
    figure.update_xaxes(range=[0, 1.005], tickformat=".0%", fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    figure.update_layout(dragmode=False)
    return figure


def reliability_alt(counts: Column, expected_error: float, gap: float) -> str:
    """One true sentence in place of `reliability`; `gap` is mean probability minus accuracy."""
    if not np.sum(counts):
        return "Reliability diagram: no images."
    return (
        f"Reliability diagram of {int(np.sum(counts)):,} images: expected calibration error "
        f"{expected_error:.1%}. {gap_words(gap)}"
    )
