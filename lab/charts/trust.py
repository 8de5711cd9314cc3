"""The tests of an explanation map: random weights, shifted copies, places hidden or shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import Column
from lab.charts.style import GRID, QUIET, TRAIN, VALIDATION, styled

BAND = "rgba(125, 133, 144, 0.28)"
PALE = "#dfe3e8"
"""Of fields that hold a number and stand for nothing; opaque, so that the number's colour, which
plotly chooses by the field's, can be read on a dark page too."""


def likeness(
    what: Sequence[str], means: Column, draws: Sequence[Column], *, unchanged: float
) -> go.Figure:
    """How alike the map is, step by step of what was randomised.

    `what` names the steps; `means` (S,) and `draws`, an array a step, in [0, 1]. A line marks
    `unchanged`, from which a map that was made with random weights counts as the same.
    """
    figure = go.Figure()
    if len(what):
        places = [name for name, values in zip(what, draws, strict=True) for _ in values]
        figure.add_scatter(
            x=places, y=np.concatenate(draws), name="Each random network", mode="markers",
            marker={"color": QUIET, "size": 6, "symbol": "circle-open"},
            hovertemplate="%{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=list(what), y=means, name="Average", mode="lines+markers",
            line={"color": TRAIN, "width": 2.5}, marker={"size": 8},
            hovertemplate="average %{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_hline(
            y=unchanged, line={"color": VALIDATION, "dash": "dash", "width": 1.5},
            annotation={"text": "all stages above this: unchanged", "font": {"size": 11}},
            annotation_position="top right",
        )  # fmt: skip
    styled(figure, x_title="", y_title="rank correlation", empty="Not tested", height=250)
    figure.update_xaxes(type="category", fixedrange=True)
    figure.update_yaxes(range=[-0.04, 1.08], fixedrange=True, dtick=0.5)
    figure.update_layout(dragmode=False)
    return figure


def likeness_alt(what: Sequence[str], means: Column) -> str:
    """One true sentence in place of `likeness`."""
    if not len(what):
        return "Rank correlation with random weights: not tested."
    steps = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(what, means, strict=True))
    return f"Rank correlation of the map with the one made when these weights are random: {steps}."


def copies(gains: Column) -> go.Figure:
    """What a map and its shifted copies are worth, as a coloured table with the map in the middle.

    gains (S, S): by how much of probability the half of the picture with more of the map beats the
    other, for copies shifted down and to the right; [0, 0] is the map in its own place.
    """
    side = len(gains)
    half = side // 2
    table = np.roll(gains, (half, half), (0, 1))
    shifts = [f"{100 * (k - half) // side:+d}%" for k in range(side)]
    shifts[half] = "0"
    figure = go.Figure()
    figure.add_heatmap(
        z=table, x=shifts, y=shifts, zmin=-1, zmax=1, zmid=0,
        colorscale=[[0, VALIDATION], [0.5, PALE], [1, TRAIN]],
        texttemplate="%{z:+.0%}", textfont={"size": 12}, showscale=False, xgap=2, ygap=2,
        hovertemplate="shifted %{x} to the right, %{y} down: %{z:+.0%}<extra></extra>",
    )  # fmt: skip
    figure.add_shape(
        type="rect", x0=half - 0.5, x1=half + 0.5, y0=half - 0.5, y1=half + 0.5,
        line={"width": 3, "color": QUIET},
    )  # fmt: skip
    styled(figure, x_title="shifted to the right", y_title="down", empty="Not tested", height=270)
    figure.update_xaxes(type="category", fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True, showgrid=False)
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def copies_alt(gains: Column) -> str:
    """One true sentence in place of `copies`."""
    others = np.delete(gains.ravel(), 0)
    return (
        f"The map in its own place tells the halves apart by {gains.flat[0]:+.0%}; "
        f"{len(others)} shifted copies by {others.min():+.0%} to {others.max():+.0%}."
    )


def passed(
    layers: Sequence[str], methods: Sequence[str], shares: Column, texts: Column
) -> go.Figure:
    """Which maps of a run can be trusted: a table of colours, a row a layer, a column a method.

    shares (L, M) in [0, 1]; texts (L, M) what each field says, such as "22 of 33".
    """
    figure = go.Figure()
    figure.add_heatmap(
        z=shares, x=list(methods), y=list(layers), text=texts, zmin=0, zmax=1,
        colorscale=[[0, PALE], [1, TRAIN]], showscale=False,
        texttemplate="%{text}", textfont={"size": 13}, xgap=2, ygap=2,
        hovertemplate="%{x} in %{y}: %{text} can be trusted<extra></extra>",
    )  # fmt: skip
    height = 70 + 34 * max(1, len(layers))
    styled(figure, x_title="", y_title="", empty="Not tested", height=height)
    figure.update_xaxes(type="category", fixedrange=True, side="top")
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True, showgrid=False)
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def passed_alt(layers: Sequence[str], methods: Sequence[str], texts: Column) -> str:
    """The same as sentences, a layer each."""
    return " ".join(
        f"{layer}: " + ", ".join(f"{m} {t}" for m, t in zip(methods, row, strict=True)) + "."
        for layer, row in zip(layers, texts, strict=True)
    )


def hiding(
    fractions: Column, of_map: Column, of_random: Column,
    shown_fractions: Column, shown_of_map: Column, shown_of_random: Column,
) -> go.Figure:  # fmt: skip
    """Probability of the class while places are hidden (left), and while they are shown (right).

    fractions (F,) of the picture; of_map (F,) in the map's order; of_random (R, F) in random ones.
    """
    figure = go.Figure()
    panels = (
        (fractions, of_map, of_random, "x", "hidden"),
        (shown_fractions, shown_of_map, shown_of_random, "x2", "shown"),
    )
    for x, own, others, axis, word in panels:
        if not len(x):
            continue
        first = axis == "x"
        common = {"x": x, "xaxis": axis, "mode": "lines", "showlegend": False}
        figure.add_scatter(
            **common, y=others.min(0), line={"width": 0}, hoverinfo="skip", name="lowest random"
        )
        figure.add_scatter(
            **{**common, "showlegend": first}, y=others.max(0), line={"width": 0},
            fill="tonexty", fillcolor=BAND, hoverinfo="skip", name=f"{len(others)} random orders",
        )  # fmt: skip
        figure.add_scatter(
            **common, y=others.mean(0), line={"color": QUIET, "width": 1.5, "dash": "dash"},
            name="random, on average", hovertemplate="random order %{y:.0%}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            **{**common, "mode": "lines+markers", "showlegend": first}, y=own,
            line={"color": TRAIN, "width": 2.5}, marker={"size": 5}, name="The map's order",
            hovertemplate=f"%{{x:.0%}} {word}: %{{y:.0%}}<extra></extra>",
        )  # fmt: skip
    styled(figure, x_title="hidden", y_title="probability", empty="Not tested", height=270)
    figure.update_layout(
        xaxis={"domain": [0, 0.43]},
        xaxis2={
            "domain": [0.57, 1],
            "anchor": "y",
            "title": {"text": "shown"},
            "showgrid": False,
            "automargin": True,
            "zeroline": False,
        },
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", dtick=0.5, fixedrange=True)
    figure.update_yaxes(range=[-0.02, 1.04], tickformat=".0%", gridcolor=GRID, fixedrange=True)
    return figure


def hiding_alt(deletion: float, insertion: float, random: float) -> str:
    """One true sentence in place of `hiding`, of the areas under its curves."""
    return (
        "Average probability of the class while places are hidden in the map's order "
        f"{deletion:.0%}, while they are shown in that order {insertion:.0%}, in random order "
        f"{random:.0%}."
    )
