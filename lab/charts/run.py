"""A run at a glance: its loss by step and its accuracy by epoch."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.charts.series import Column
from lab.charts.style import TRAIN, VALIDATION, styled

EPOCH_COLUMNS = ("epoch", "step", "val_loss", "train_accuracy", "val_accuracy")
"""What of each epoch is drawn, in the order of `run_curves`."""


def run_curves(
    step: Column,
    loss: Column,
    epoch: Column,
    epoch_step: Column,
    val_loss: Column,
    train_accuracy: Column,
    val_accuracy: Column,
) -> go.Figure:
    """`step`, `loss` (n,): the batch's loss at each step, thinned by the caller if there are many;
    the others (m,): by epoch, `epoch_step` the last step of each. NaN is a gap. The figure holds
    lists, which every viewer of notebooks reads; not all know plotly's packed arrays."""
    figure = make_subplots(1, 2)
    solid, dashed = {"color": TRAIN}, {"color": VALIDATION, "dash": "dash"}
    few = "lines" if len(step) > 50 else "lines+markers"
    figure.add_scatter(
        x=step.tolist(), y=loss.tolist(),
        name="Training", mode=few, line=solid, legendgroup="training",
        hovertemplate="%{y:.4g}<extra>Training</extra>", row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=epoch_step.tolist(), y=val_loss.tolist(),
        name="Validation", mode="lines+markers", line=dashed,
        legendgroup="validation", hovertemplate="%{y:.4g}<extra>Validation</extra>", row=1, col=1,
    )  # fmt: skip
    for name, values, line in (
        ("Training", train_accuracy, solid),
        ("Validation", val_accuracy, dashed),
    ):
        figure.add_scatter(
            x=epoch.tolist(), y=values.tolist(),
            name=name, mode="lines+markers", line=line, showlegend=False,
            legendgroup=name.lower(), hovertemplate=f"%{{y:.1%}}<extra>{name}</extra>",
            row=1, col=2,
        )  # fmt: skip
    styled(figure, x_title="step", y_title="loss", empty="No step is done yet.")
    figure.update_xaxes(title_text="epoch", row=1, col=2)
    figure.update_yaxes(title_text="accuracy", tickformat=".0%", row=1, col=2)
    return figure
