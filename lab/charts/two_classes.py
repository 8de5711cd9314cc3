"""How well one probability separates two classes at every threshold: ROC and precision-recall."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import ACCENT, QUIET, TRAIN, styled

MOST_POINTS = 1000
"""Points of one drawn line; areas are computed from all points."""


Point = tuple[float, float]
"""Where the threshold in use lies on a curve; NaN where it has no place."""


def roc(
    false_positive_rate: Column, true_positive_rate: Column, *, point: Point | None = None
) -> go.Figure:
    """Both columns (m,) ascending from 0 to 1; the dashed diagonal is chance."""
    figure = go.Figure()
    if len(false_positive_rate):
        rows = thinned(len(false_positive_rate))
        figure.add_scatter(
            x=[0, 1], y=[0, 1], name="Chance", mode="lines", hoverinfo="skip",
            line={"color": QUIET, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
        figure.add_scatter(
            x=false_positive_rate[rows], y=true_positive_rate[rows], name="This run", mode="lines",
            line={"color": TRAIN, "width": 2.5},
            hovertemplate="false alarms %{x:.1%}<br>found %{y:.1%}<extra></extra>",
        )  # fmt: skip
        add_point(figure, point, ACCENT)
    return _square(figure, x_title="false positive rate", y_title="true positive rate (recall)")


def precision_recall(
    recall: Column, precision: Column, *, share: float, point: Point | None = None
) -> go.Figure:
    """Both columns (m,), recall ascending; `share` of positive images is chance, dashed."""
    figure = go.Figure()
    if len(recall):
        rows = thinned(len(recall))
        figure.add_scatter(
            x=[0, 1], y=[share, share], name="Chance", mode="lines", hoverinfo="skip",
            line={"color": QUIET, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
        figure.add_scatter(
            x=recall[rows], y=precision[rows], name="This run", mode="lines",
            line={"color": TRAIN, "width": 2.5, "shape": "vh"},
            hovertemplate="found %{x:.1%}<br>of the answers right %{y:.1%}<extra></extra>",
        )  # fmt: skip
        add_point(figure, point, ACCENT)
    return _square(figure, x_title="recall", y_title="precision")


def roc_alt(area: float, positive: str) -> str:
    """One true sentence in place of `roc`."""
    return f"ROC curve with {positive} as the positive class: the area under it is {area:.3f}."


def precision_recall_alt(average_precision: float, share: float, positive: str) -> str:
    """One true sentence in place of `precision_recall`."""
    return (
        f"Precision-recall curve with {positive} as the positive class: average precision "
        f"{average_precision:.3f}; by chance it would be {share:.3f}."
    )


def add_point(figure: go.Figure, point: Point | None, color: str) -> None:
    """Draws the threshold in use; nothing where it has no place on the curve."""
    if point is not None and np.isfinite(point).all():
        figure.add_scatter(
            x=[point[0]], y=[point[1]], name="The threshold", mode="markers",
            marker={"color": color, "size": 13, "line": {"color": "white", "width": 2}},
            hoverinfo="skip",
        )  # fmt: skip


def _square(figure: go.Figure, *, x_title: str, y_title: str) -> go.Figure:
    styled(figure, x_title=x_title, y_title=y_title, empty="Needs images of both classes")
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", fixedrange=True)
    figure.update_yaxes(range=[-0.02, 1.04], tickformat=".0%", fixedrange=True)
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def thinned(count: int) -> Column:
    """Which of `count` points are drawn: all, or evenly spaced ones with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64))
