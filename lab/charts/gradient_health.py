"""The health of a network's layers: heat maps of layers x time, and one layer's activations.

A blank cell has no value (the layer is frozen, or nothing of the kind follows it); a cross is a
value that is not finite. Columns come thinned: a few hundred sampled steps.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import TRAIN, VALIDATION, chart_text, styled
from lab.words import layer_title, layer_words

# From dark to bright at even steps of lightness, for all eyes: "viridis" of S. van der Walt and
# N. Smith (2015), without its darkest end, which would not stand out from a dark page.
STRENGTH = (
    (0.0, "#46327e"),
    (0.25, "#365c8d"),
    (0.5, "#1fa187"),
    (0.75, "#7ad151"),
    (1.0, "#fde725"),
)

BARELY = "rgba(125, 133, 144, 0.25)"
"""The colour of usual values: a tint of grey on a light and on a dark page."""

AROUND = ((0.0, TRAIN), (0.5, BARELY), (1.0, VALIDATION))
SHARES = ((0.0, BARELY), (1.0, VALIDATION))

USUAL_RATIO = 1e-3
"""Update over weights at which layers learn well, as a rule of thumb (A. Karpathy, notes of the
course CS231n, 2015)."""

LONGEST_NAME = 20


class Layers(Protocol):
    """T sampled steps of L layers; values (T, L), NaN where there is none."""

    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def steps(self) -> Column: ...
    @property
    def gradient_norm(self) -> Column: ...
    @property
    def update_ratio(self) -> Column: ...
    @property
    def dead(self) -> Column: ...
    @property
    def saturated(self) -> Column: ...
    @property
    def histograms(self) -> Column: ...
    @property
    def edges(self) -> Column: ...


def gradient_strength(health: Layers) -> go.Figure:
    """Length (L2 norm) of each layer's gradient, as a power of ten; the scale spans what is
    shown."""
    low, high = _decades(health.gradient_norm)
    return _heatmap(
        health,
        health.gradient_norm,
        _log(health.gradient_norm, floor=low),
        scale={"colorscale": [list(s) for s in STRENGTH], "zmin": low, "zmax": high},
        ticks=_powers(low, high),
        number="gradient %{customdata:.2g}",
    )


def update_sizes(health: Layers) -> go.Figure:
    """Length of each step over the length of the weights, as a power of ten around the usual
    1/1000: grey is usual, blue hardly moves, orange is thrown about."""
    middle = round(np.log10(USUAL_RATIO))
    low, high = middle - 2, middle + 2
    return _heatmap(
        health,
        health.update_ratio,
        _log(health.update_ratio, floor=low),
        scale={"colorscale": [list(s) for s in AROUND], "zmin": low, "zmax": high},
        ticks=_powers(low, high),
        number="step %{customdata:.2g} of the weights",
    )


def quiet_units(health: Layers) -> go.Figure:
    """Share of dead units where a ReLU follows the layer, of saturated activations where a sigmoid
    or tanh does."""
    shares = quiet_shares(health)
    return _heatmap(
        health,
        shares,
        shares,
        scale={"colorscale": [list(s) for s in SHARES], "zmin": 0, "zmax": 1},
        ticks={"tickvals": [0, 0.5, 1], "ticktext": ["0%", "50%", "100%"]},
        number="%{customdata:.0%} dead or saturated",
    )


def activation_histogram(health: Layers, *, layer: int, row: int) -> go.Figure:
    """Histogram of one layer's output at the sampled step `row`: share of the values a bin."""
    figure = go.Figure()
    counts, edges = health.histograms[row, layer], health.edges[row, layer]
    total = counts.sum()
    if total:
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / total,
            width=np.diff(edges),
            marker={"color": TRAIN, "line": {"width": 0}},
            customdata=np.stack([edges[:-1], edges[1:]], axis=1),
            hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g}: %{y:.1%}<extra></extra>",
        )
    styled(figure, x_title="value", y_title="share of values", empty="Not sampled", height=280)
    figure.update_layout(hovermode="closest", showlegend=False, dragmode=False, bargap=0)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True, tickformat=".0%", rangemode="tozero")
    return figure


# --- one true sentence in place of each chart -----------------------------------------------------


def gradient_strength_alt(health: Layers) -> str:
    return _alt("Length of the gradient", health, health.gradient_norm, "{:.1e}")


def update_sizes_alt(health: Layers) -> str:
    return _alt("Size of a step over the weights", health, health.update_ratio, "{:.1e}")


def quiet_units_alt(health: Layers) -> str:
    return _alt("Share of dead or saturated units", health, quiet_shares(health), "{:.0%}")


def activation_histogram_alt(health: Layers, *, layer: int, row: int) -> str:
    name, step = layer_title(health.layers[layer]), int(health.steps[row])
    counts, edges = health.histograms[row, layer], health.edges[row, layer]
    total = int(counts.sum())
    if not total:
        return f"Values behind {name} at step {step:,}: not sampled."
    top = int(counts.argmax())
    return (
        f"{total:,} values behind {name} at step {step:,}: from {edges[0]:.3g} to "
        f"{edges[-1]:.3g}; {counts[top] / total:.0%} of them lie between {edges[top]:.3g} and "
        f"{edges[top + 1]:.3g}."
    )


def quiet_shares(health: Layers) -> Column:
    """(T, L) what `quiet_units` shows."""
    return np.where(np.isnan(health.dead), health.saturated, health.dead)


def _alt(what: str, health: Layers, values: Column, number: str) -> str:
    """About the newest sampled step: the first and the last layer that have a value, and the
    extremes."""
    if not len(health.steps):
        return f"{what}: no step has been sampled."
    newest = values[-1]
    measured = np.flatnonzero(~np.isnan(newest))
    if not measured.size:
        return f"{what} at step {int(health.steps[-1]):,}: no layer has such a value."

    def text(place: int) -> str:
        value = newest[place]
        words = number.format(value) if np.isfinite(value) else "∞"
        return f"{layer_title(health.layers[place])} {words}"

    first, last = int(measured[0]), int(measured[-1])
    sentence = f"{what} at step {int(health.steps[-1]):,}: {text(first)}"
    if last != first:
        sentence += f", {text(last)}"
    known = [int(p) for p in measured if np.isfinite(newest[p])]
    if len(known) > 2:
        sentence += (
            f"; smallest of {len(measured)} layers {text(min(known, key=lambda p: newest[p]))}, "
            f"largest {text(max(known, key=lambda p: newest[p]))}"
        )
    return sentence + "."


# --- the heat map ---------------------------------------------------------------------------------


def _heatmap(
    health: Layers,
    values: Column,
    colours: Column,
    *,
    scale: dict[str, Any],
    ticks: dict[str, Any],
    number: str,
) -> go.Figure:
    """`colours` (T, L) paint the cells, `values` are what hovering tells."""
    figure = go.Figure()
    count = len(health.layers)
    names = [chart_text(layer_words(name)) for name in health.layers]
    if len(health.steps) and not np.isnan(values).all():
        shown = np.where(np.isfinite(values), colours, np.nan).T.astype(np.float32)
        figure.add_heatmap(
            x=health.steps,
            y=names,
            z=shown,
            customdata=values.T.astype(np.float32),
            hoverongaps=False,
            hovertemplate=f"%{{y}}, step %{{x:,}}<br>{number}<extra></extra>",
            colorbar={"thickness": 12, "len": 1, "outlinewidth": 0, **ticks},
            **scale,
        )
        steps, places = np.nonzero(np.isposinf(values))
        if len(steps):
            figure.add_scatter(
                x=health.steps[steps],
                y=[names[place] for place in places],
                mode="markers",
                marker={"symbol": "x-thin", "size": 6, "line": {"width": 1.5, "color": VALIDATION}},
                hovertemplate="%{y}, step %{x:,}<br>not a finite number<extra></extra>",
                showlegend=False,
            )
    height = int(np.clip(100 + 26 * count, 240, 640))
    styled(figure, x_title="step", y_title="", empty="Nothing to show yet", height=height)
    # Names at rows that are far enough apart to be read; hovering tells them all.
    every = max(1, int(np.ceil(count / ((height - 60) / 14))))
    rows = list(range(0, count, every))
    figure.update_yaxes(
        type="category",
        tickvals=[names[row] for row in rows],
        ticktext=[chart_text(_short(layer_title(health.layers[row]))) for row in rows],
        range=[count - 0.5, -0.5],  # the first layer on top
        showgrid=False,
        fixedrange=True,
    )
    figure.update_xaxes(tickformat=",d", fixedrange=True)
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def _log(values: Column, *, floor: float) -> Column:
    """Log10; what is exactly zero gets the scale's lowest colour."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    return np.where(values == 0, floor, logs)


def _decades(values: Column) -> tuple[float, float]:
    """Whole powers of ten around all finite values above zero; at least two of them, so that
    small differences do not look like large ones."""
    known = values[np.isfinite(values) & (values > 0)]
    if not known.size:
        return -3.0, 0.0
    low, high = float(np.floor(np.log10(known.min()))), float(np.ceil(np.log10(known.max())))
    return (low, high) if high - low >= 2 else (high - 2, high)


def _powers(low: float, high: float) -> dict[str, Any]:
    """Ticks at whole powers of ten, at most about seven."""
    step = max(1, int(np.ceil((high - low) / 6)))
    powers = list(range(int(high), int(low) - 1, -step))
    return {"tickvals": powers, "ticktext": [f"10<sup>{power}</sup>" for power in powers]}


def _short(name: str) -> str:
    """Both ends of a long path: the stage, and what it is there."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME // 2 - 1]}…{name[-LONGEST_NAME // 2 :]}"
