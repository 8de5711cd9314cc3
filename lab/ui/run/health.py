"""Gradient health of a run: charts of layers x time that show which layers learn.

A fragment of its own that checks every few seconds for a new sample in the run's folder. One chart
at a time, kept until there is something new, so that the live chart is not held up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from lab.charts import gradient_health as charts
from lab.charts.style import CHART
from lab.errors import LabError, NotFoundError
from lab.evaluate.verdicts.layers import vanishing_gradients
from lab.runs.store import RunRow, store
from lab.training.watch.layer_file import LayerHistory, layer_history, newest_sample
from lab.ui.widgets.pace import pace
from lab.ui.words import plain

TICK = 3.0
"""Seconds between two refreshes in a run's first minute."""

COLUMNS = 240
"""Sampled steps in one chart: more cannot be told apart."""

NEWEST = 60
"""Samples in the recent window."""

_DRAWN = "health_drawn"
"""The session's key of the figure on the page and what it was made from."""


@dataclass(frozen=True)
class _Chart:
    """One of the charts of layers x time, with a text on what to look for."""

    figure: Callable[[LayerHistory], go.Figure]
    alt: Callable[[LayerHistory], str]
    look_for: str


CHARTS = {
    "Gradient": _Chart(
        charts.gradient_strength,
        charts.gradient_strength_alt,
        "How strong the training signal is that reaches each layer (the length of its gradient). "
        "Some stripes are usual, as layers differ in size and kind. Rows that darken step by step "
        "towards the first layer mean that the signal fades on its way back, and the first layers "
        "hardly learn.",
    ),
    "Step size": _Chart(
        charts.update_sizes,
        charts.update_sizes_alt,
        "How far each step moves a layer's weights, as a share of their length. Grey, around "
        "1/1000, is usual. Blue: the layer hardly moves, the learning rate is low for it. Orange: "
        "it is thrown about, the rate is high for it. A rule of thumb, not a law.",
    ),
    "Quiet units": _Chart(
        charts.quiet_units,
        charts.quiet_units_alt,
        "Share of a layer that passes no signal. Behind a ReLU: units (filters) at zero for every "
        "image of the batch, which are dead if they stay so. Behind sigmoid or tanh: values in "
        "the flat ends of the curve. Some is usual; a row that turns orange and stays so is lost.",
    ),
}
_ACTIVATIONS = "Activations"
_ABOUT_ACTIVATIONS = (
    "What came out behind one layer, before the step that is chosen. Many different values are "
    "healthy; all at zero (ReLU) or all at the two ends (sigmoid, tanh) means that the images look "
    "alike to the layers behind."
)


def draw_gradient_health(run: RunRow, *, verdict: bool = True) -> None:
    """Draws a chart of the layers of `run`, which grows while the run is active.

    `verdict`: also tell what the samples mean; off where the page does so already.
    """
    seconds = pace(run, TICK)
    st.fragment(run_every=seconds, key="health")(_body)(run.id, seconds, verdict)


def _body(run_id: str, seconds: float | None, verdict: bool) -> None:
    try:
        run = store().run(run_id)
    except NotFoundError:  # deleted in another tab
        st.rerun()
    if pace(run, TICK) != seconds:
        st.rerun()  # once: the timer goes away, or comes
    folder = store().folder(run_id)
    newest = newest_sample(folder)
    if newest is None:
        st.caption(_why_empty(run))
        return
    chart, window = _choose(samples=newest[0])
    history = layer_history(folder, points=COLUMNS, last=window)
    if history is None:  # replaced at this moment: the next tick sees it
        st.caption("The samples are being written.")
        return
    if verdict:
        _draw_verdict(run, folder)
    if chart == _ACTIVATIONS:
        _draw_activations(run_id, history)
        return
    st.caption(CHARTS[chart].look_for)
    shown = charts.quiet_shares(history) if chart == "Quiet units" else history.gradient_norm
    if np.isnan(shown).all():
        st.info(
            "No layer of this network is followed by ReLU, sigmoid or tanh (or none of those ran): "
            "other curves have neither dead units nor flat ends.",
            icon=":material/info:",
        )
        return
    st.plotly_chart(
        _figure((run_id, newest, window, chart), lambda: CHARTS[chart].figure(history)),
        key=f"health_{chart}",
        config=CHART,
        alt=CHARTS[chart].alt(history),
    )
    st.caption(_made_from(history, window) + _blanks(run, history, chart))


def _why_empty(run: RunRow) -> str:
    if run.settings.get("layer_statistics") == "off":
        return "Switched off for this run, by the knob “Gradient health” in the group “Machine”."
    if run.is_live:
        return "The first sample comes with the first training step."
    return (
        "This run has none: it ended before its first step, could not keep it (its log says so), "
        "or an earlier version of the lab trained it."
    )


def _choose(*, samples: int) -> tuple[str, int | None]:
    """Draws the choices; returns the chart and how many of the newest samples, None for all."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chart = st.segmented_control(
            "What to look at",
            [*CHARTS, _ACTIVATIONS],
            default="Gradient",
            key="health_chart",
            required=True,
        )
        if samples <= NEWEST or chart == _ACTIVATIONS:
            return chart, None
        window = st.segmented_control(
            "Time",
            ["Whole run", f"Newest {NEWEST}"],
            default="Whole run",
            key="health_window",
            required=True,
            help="The colours of the gradient span what is shown: the newest steps alone show "
            "small differences that a whole run hides.",
        )
    return chart, None if window == "Whole run" else NEWEST


def _figure(made_from: tuple[Any, ...], make: Callable[[], go.Figure]) -> go.Figure:
    """Returns the session's figure if nothing has changed, so that the browser keeps its chart."""
    cached = st.session_state.get(_DRAWN)
    if cached is None or cached[0] != made_from:
        cached = st.session_state[_DRAWN] = (made_from, make())
    figure: go.Figure = cached[1]
    return figure


def _made_from(history: LayerHistory, window: int | None) -> str:
    steps = history.steps
    text = f"Steps {steps[0]:,} to {steps[-1]:,}: "
    if window is None and len(steps) < history.samples:
        text += f"{len(steps)} of the {history.samples:,} that were sampled"
    elif len(steps) == 1:
        return f"Step {steps[0]:,}, the only one that was sampled."
    else:
        text += f"the {len(steps)} that were sampled"
    gap = int(np.diff(steps[-2:])[0])
    if gap > 1 and len(steps) == min(history.samples, window or history.samples):
        text += f", now {gap} steps apart"
    return text + ". The first layer is on top. Sampling takes at most 3 % of the training time."


def _blanks(run: RunRow, history: LayerHistory, chart: str) -> str:
    """Returns why cells are blank or crossed, where there are such."""
    text = ""
    if chart != "Quiet units" and np.isnan(history.gradient_norm).any():
        text += " Blank: the layer was frozen at that step."
    if chart == "Quiet units" and np.isnan(charts.quiet_shares(history)).any():
        text += " Blank: no ReLU, sigmoid or tanh follows that layer"
        frozen = run.settings.get("freeze", "scratch") != "scratch"
        text += ", or it is frozen and its outputs were kept." if frozen else "."
    if np.isposinf(history.gradient_norm).any() and chart != "Quiet units":
        text += " A cross: not a finite number; the run diverged there."
    return text


def _draw_activations(run_id: str, history: LayerHistory) -> None:
    st.caption(_ABOUT_ACTIVATIONS)
    ran = history.histograms.any(axis=(0, 2))
    layers = [history.layers[place] for place in np.flatnonzero(ran)]
    if not layers:
        st.info("No layer ran while it was sampled.", icon=":material/info:")
        return
    key = f"health_layer_{run_id}"
    if st.session_state.get(key) not in layers:
        st.session_state[key] = layers[0]
    name = st.selectbox(
        "Layer", layers, key=key, width=320, help="In the order of the network, first to last."
    )
    layer = history.layers.index(name)
    row = _chosen_row(run_id, history)
    made_from = (run_id, int(history.steps[row]), history.samples, name)
    st.plotly_chart(
        _figure(made_from, lambda: charts.activation_histogram(history, layer=layer, row=row)),
        key="health_histogram",
        config=CHART,
        alt=charts.activation_histogram_alt(history, layer=layer, row=row),
    )
    curve = history.activations[layer]
    what = f"behind the {curve} of {plain(name)}" if curve else f"out of {plain(name)}"
    values = int(history.histograms[row, layer].sum())
    st.caption(
        f"{values:,} values {what}, evenly picked from one batch of training images"
        + ("." if curve else "; no activation follows this layer.")
    )


def _chosen_row(run_id: str, history: LayerHistory) -> int:
    """Draws the slider; returns the row of its step. At its right end it follows the run."""
    steps = history.steps.tolist()
    if len(steps) == 1:
        return 0
    key, newest_key = f"health_step_{run_id}", f"health_newest_{run_id}"
    chosen = st.session_state.get(key)
    if chosen == st.session_state.get(newest_key) or chosen is None:
        st.session_state[key] = steps[-1]
    elif chosen not in steps:  # a longer run shows every second step, say
        st.session_state[key] = min(steps, key=lambda step: abs(step - chosen))
    st.session_state[newest_key] = steps[-1]
    shown: int = st.select_slider(
        "Step",
        steps,
        key=key,
        format_func=lambda step: f"{step:,}",
        help="At the right end it follows the run.",
    )
    return int(steps.index(shown))


def _draw_verdict(run: RunRow, folder: Path) -> None:
    """Tells where the gradients vanish and what to do about it."""
    try:
        verdict = vanishing_gradients(run.config, layer_history(folder))
    except LabError:  # settings of another version of the lab: the chart alone is shown
        return
    if verdict is not None:
        button = (
            " A button under the curves runs the change beside this run." if verdict.change else ""
        )
        st.warning(
            plain(f"{verdict.sentence} {verdict.suggestion}"), icon=":material/trending_down:"
        )
        st.caption(plain(verdict.evidence) + button)
