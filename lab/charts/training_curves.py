"""How a run learned: loss step by step, loss and accuracy epoch by epoch.

For pages that stand still (the Runs page, a report). The chart that moves while a run trains is
lab/ui/live_chart.py; both draw training solid and validation dashed in the same colours. Histories
come thinned: about 2,000 points a line.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column, Epochs, Steps, last_number, row_of
from lab.charts.style import ACCENT, QUIET, TRAIN, VALIDATION, styled


def loss_per_step(steps: Steps) -> go.Figure:
    """Loss of every batch (faint), smoothed (strong), and the learning rate in a strip below."""
    figure = go.Figure()
    x = steps.step
    figure.add_scatter(
        x=x, y=steps.loss, name="Each batch", line={"color": TRAIN, "width": 1}, opacity=0.3
    )
    figure.add_scatter(
        x=x, y=steps.loss_smoothed, name="Smoothed", line={"color": TRAIN, "width": 2.5}
    )
    figure.add_scatter(
        x=x, y=steps.learning_rate, name="Learning rate", yaxis="y2",
        line={"color": QUIET, "width": 1.5, "shape": "hv"},
    )  # fmt: skip
    figure.update_traces(mode="lines" if len(x) > 1 else "markers")
    figure.update_layout(
        yaxis={"domain": [0.3, 1]},
        yaxis2={"domain": [0, 0.16], "nticks": 3, "tickformat": "~e", "title": {"text": "rate"}},
        xaxis={"anchor": "y2"},
    )
    return styled(figure, x_title="step", y_title="loss", empty="No steps yet", height=400)


def loss_per_step_alt(steps: Steps) -> str:
    """One true sentence in place of `loss_per_step`."""
    now = last_number(steps.loss_smoothed)
    if now is None:
        return "Loss per step: no steps yet."
    first = float(steps.loss_smoothed[np.isfinite(steps.loss_smoothed)][0])
    return (
        f"Loss per step over {int(steps.step[-1]):,} steps: "
        f"the smoothed loss went from {first:.3g} to {now:.3g}."
    )


def loss_per_epoch(epochs: Epochs, *, best_epoch: int | None = None) -> go.Figure:
    """Average loss of each epoch, training and validation, the best epoch marked."""
    figure = _per_epoch(epochs, epochs.train_loss, epochs.val_loss, best_epoch)
    return styled(figure, x_title="epoch", y_title="loss", empty="No epoch is finished yet")


def accuracy_per_epoch(epochs: Epochs, *, best_epoch: int | None = None) -> go.Figure:
    """Accuracy of each epoch, training and validation, the best epoch marked."""
    figure = _per_epoch(epochs, epochs.train_accuracy, epochs.val_accuracy, best_epoch)
    figure.update_yaxes(tickformat=".0%", hoverformat=".1%")
    return styled(figure, x_title="epoch", y_title="accuracy", empty="No epoch is finished yet")


def loss_per_epoch_alt(epochs: Epochs, *, best_epoch: int | None = None) -> str:
    """One true sentence in place of `loss_per_epoch`."""
    return _alt("Loss", epochs, epochs.train_loss, epochs.val_loss, best_epoch, "{:.3g}")


def accuracy_per_epoch_alt(epochs: Epochs, *, best_epoch: int | None = None) -> str:
    """One true sentence in place of `accuracy_per_epoch`."""
    return _alt(
        "Accuracy", epochs, epochs.train_accuracy, epochs.val_accuracy, best_epoch, "{:.1%}"
    )


def _per_epoch(epochs: Epochs, train: Column, val: Column, best_epoch: int | None) -> go.Figure:
    figure = go.Figure()
    x = epochs.epoch
    # Markers show the single epochs; over fifty of them they would hide the line.
    mode = "lines+markers" if len(x) <= 50 else "lines"
    figure.add_scatter(
        x=x, y=train, name="Training", mode=mode,
        line={"color": TRAIN, "width": 2}, marker={"symbol": "circle", "size": 6},
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=val, name="Validation", mode=mode,
        line={"color": VALIDATION, "width": 2, "dash": "dash"},
        marker={"symbol": "diamond", "size": 7},
    )  # fmt: skip
    row = row_of(x, best_epoch)
    if row is not None:
        figure.add_scatter(
            x=x[row : row + 1], y=val[row : row + 1], name="Best epoch", mode="markers",
            marker={"symbol": "star", "size": 14, "color": ACCENT},
        )  # fmt: skip
    figure.update_xaxes(tickformat=",d", dtick=1 if len(x) <= 12 else None)
    return figure


def _alt(
    what: str, epochs: Epochs, train: Column, val: Column, best_epoch: int | None, number: str
) -> str:
    if not len(epochs.epoch):
        return f"{what} per epoch: no epoch is finished yet."
    parts = [f"{what} per epoch after {int(epochs.epoch[-1])} epochs"]
    for name, column in (("training", train), ("validation", val)):
        value = float(column[-1])
        parts.append(f"{name} {number.format(value) if np.isfinite(value) else 'not a number'}")
    row = row_of(epochs.epoch, best_epoch)
    best = (
        ""
        if row is None
        else f"; best epoch {best_epoch} with validation {number.format(val[row])}"
    )
    return f"{parts[0]}: {parts[1]}, {parts[2]}{best}."
