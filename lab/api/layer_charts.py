"""The charts of a run's layers, each with words on what to look for, as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.charts import gradient_health as charts
from lab.config import KNOBS
from lab.errors import NotFoundError
from lab.runs.rows import RunRow
from lab.training.watch.layer_file import LayerHistory, layer_history
from lab.words import layer_title, layer_words

COLUMNS = 240
"""Sampled steps in one chart: more cannot be told apart."""


@dataclass(frozen=True)
class LayerChart:
    """One of the charts of layers x time."""

    figure: Callable[[LayerHistory], go.Figure]
    alt: Callable[[LayerHistory], str]
    look_for: str


CHARTS = {
    "gradient": LayerChart(
        charts.gradient_strength,
        charts.gradient_strength_alt,
        "How strong the training signal is that reaches each layer (the length of its gradient). "
        "Some stripes are usual, as layers differ in size and kind. Rows that darken step by step "
        "towards the first layer mean that the signal fades on its way back, and the first layers "
        "hardly learn.",
    ),
    "update": LayerChart(
        charts.update_sizes,
        charts.update_sizes_alt,
        "How far each step moves a layer's weights, as a share of their length. Grey, around "
        "1/1000, is usual. Blue: the layer hardly moves, the learning rate is low for it. Orange: "
        "it moves far, the rate is high for it. A rule of thumb, not a law.",
    ),
    "quiet": LayerChart(
        charts.quiet_units,
        charts.quiet_units_alt,
        "Share of a layer that passes no signal. Behind a ReLU: units (filters) at zero for every "
        "image of the batch, which are dead if they stay so. Behind sigmoid or tanh: values in "
        "the flat ends of the curve. Some is usual; a row that turns orange and stays so is lost.",
    ),
}
ACTIVATIONS = "activations"
_ABOUT_ACTIVATIONS = (
    "What came out behind one layer, before the newest sampled step. Many different values are "
    "healthy; all at zero (ReLU) or all at the two ends (sigmoid, tanh) means that the images look "
    "alike to the layers behind."
)
_NO_CURVES = (
    "No layer of this network is followed by ReLU, sigmoid or tanh (or none of those ran): other "
    "curves have neither dead units nor flat ends."
)


def layer_chart_values(
    run: RunRow, folder: Path, *, chart: str, newest: int | None, layer: str
) -> dict[str, Any]:
    """Returns one chart: "figure" (Plotly's JSON, or None), "alt", "about", "caption", "layers" to
    choose from with their "titles", and the "layer" that is shown.

    `newest` limits it to so many sampled steps. Raises NotFoundError.
    """
    if chart not in CHARTS and chart != ACTIVATIONS:
        choices = ", ".join([*CHARTS, ACTIVATIONS])
        raise NotFoundError(f"There is no chart of layers {chart!r}; there are: {choices}.")
    history = layer_history(folder, points=COLUMNS, last=newest)
    if history is None:
        raise NotFoundError(why_empty(run))
    if chart == ACTIVATIONS:
        return _activations(history, layer)
    values = {"about": CHARTS[chart].look_for, "layers": [], "titles": [], "layer": ""}
    shown = charts.quiet_shares(history) if chart == "quiet" else history.gradient_norm
    if np.isnan(shown).all():
        return {**values, "figure": None, "alt": "", "caption": _NO_CURVES}
    return {
        **values,
        "figure": _json(CHARTS[chart].figure(history)),
        "alt": CHARTS[chart].alt(history),
        "caption": _made_from(history, newest) + _blanks(run, history, chart),
    }


def why_empty(run: RunRow) -> str:
    """Returns why a run has no samples of its layers."""
    if run.settings.get("layer_statistics") == "off":
        return "Switched off for this run, by the setting “Gradient health” in the group “Machine”."
    if run.is_live:
        return "The first sample comes with the first training step."
    return (
        "This run has none: it ended before its first step, could not keep it (its log says so), "
        "or an earlier version of the lab trained it."
    )


def _activations(history: LayerHistory, layer: str) -> dict[str, Any]:
    ran = history.histograms.any(axis=(0, 2))
    layers = [history.layers[place] for place in np.flatnonzero(ran)]
    titles = [layer_title(name) for name in layers]
    values: dict[str, Any] = {
        "about": _ABOUT_ACTIVATIONS,
        "layers": layers,
        "titles": titles,
        "layer": "",
    }
    if not layers:
        caption = "No layer ran while it was sampled."
        return {**values, "figure": None, "alt": "", "caption": caption}
    name = layer if layer in layers else layers[0]
    number, row = history.layers.index(name), len(history.steps) - 1
    curve = history.activations[number]
    title = layer_words(name)
    what = f"behind the {_curve_title(curve)} of {title}" if curve else f"out of {title}"
    count = int(history.histograms[row, number].sum())
    return {
        **values,
        "layer": name,
        "figure": _json(charts.activation_histogram(history, layer=number, row=row)),
        "alt": charts.activation_histogram_alt(history, layer=number, row=row),
        "caption": f"{count:,} values {what}, evenly picked from one batch of training images, "
        f"step {int(history.steps[row]):,}"
        + ("." if curve else "; no activation follows this layer."),
    }


def _curve_title(curve: str) -> str:
    knob = KNOBS["activation"]
    return knob.text(curve) if curve in knob.choices else curve


def _json(figure: go.Figure) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(figure.to_json())
    return values


def _made_from(history: LayerHistory, newest: int | None) -> str:
    steps = history.steps
    if len(steps) == 1:
        return f"Step {steps[0]:,}, the only one that was sampled."
    text = f"Steps {steps[0]:,} to {steps[-1]:,}: "
    if newest is None and len(steps) < history.samples:
        text += f"{len(steps)} of the {history.samples:,} that were sampled"
    else:
        text += f"the {len(steps)} that were sampled"
    gap = int(np.diff(steps[-2:])[0])
    if gap > 1 and len(steps) == min(history.samples, newest or history.samples):
        text += f", now {gap} steps apart"
    return text + ". The first layer is on top. Sampling takes at most 3% of the training time."


def _blanks(run: RunRow, history: LayerHistory, chart: str) -> str:
    """Returns why cells are blank or crossed, where there are such."""
    text = ""
    if chart != "quiet" and np.isnan(history.gradient_norm).any():
        text += " Blank: the layer was frozen at that step."
    if chart == "quiet" and np.isnan(charts.quiet_shares(history)).any():
        text += " Blank: no ReLU, sigmoid or tanh follows that layer"
        frozen = run.settings.get("freeze", "scratch") != "scratch"
        text += ", or it is frozen and its outputs were kept." if frozen else "."
    if np.isposinf(history.gradient_norm).any() and chart != "quiet":
        text += " A cross: not a finite number; the run diverged there."
    return text
