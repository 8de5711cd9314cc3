"""A metric of one run after each epoch, in training and in validation."""

from __future__ import annotations

import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import TEST, TRAIN, VALIDATION, styled

FEW = 12
"""Up to so many epochs each has a tick."""


def epoch_curves(
    epoch: Column, train: Column, val: Column, *, title: str, share: bool, best: int | None = None
) -> go.Figure:
    """(n,) each; NaN is a gap. `share`: in percent. `best` is the epoch whose weights are kept."""
    figure = go.Figure()
    number = "%{y:.1%}" if share else "%{y:.4g}"
    for name, values, colour, dash in (
        ("Training", train, TRAIN, "solid"),
        ("Validation", val, VALIDATION, "dash"),
    ):
        figure.add_scatter(
            x=epoch, y=values, name=name, mode="lines+markers",
            line={"color": colour, "dash": dash}, hovertemplate=f"{number}<extra>{name}</extra>",
        )  # fmt: skip
    if best is not None and len(epoch):
        figure.add_vline(x=best, line={"color": TEST, "dash": "dot"}, annotation_text="best")
    if len(epoch) <= FEW:
        figure.update_xaxes(dtick=1)
    if share:
        figure.update_yaxes(tickformat=".0%")
    return styled(figure, x_title="epoch", y_title=title, empty="No epoch has ended yet.")
