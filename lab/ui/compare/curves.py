"""Compare, "Curves": one figure of all chosen runs, laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from lab.charts.compare import MOST_SINGLE, Line, overlaid, overlaid_alt, smooth
from lab.charts.style import CHART
from lab.config import KNOBS
from lab.evaluate.compare import differing_settings
from lab.runs import history
from lab.runs.curves import CurveFigure
from lab.runs.rows import Curve
from lab.runs.store import RunRow, store
from lab.ui.compare.choice import Chosen
from lab.ui.widgets.settings_table import knob_title, setting_text

ALL_POINTS = 20_000
"""Of all lines together, at most; more would make the browser slow and are not seen."""
FEWEST, MOST = 50, 400
"""Points of one line."""
MOST_RAW = 6
"""Runs whose single batches are offered: more would be a thicket."""
MOST_GROUPS = 8
RANGES = 4


@dataclass(frozen=True)
class Figure:
    title: str
    column: CurveFigure
    share: bool = False
    per_epoch: bool = False
    about: str = ""


FIGURES = {
    "val_accuracy": Figure(
        "Validation accuracy", "val_accuracy", True, True,
        "Measured at the end of each epoch on images that were not trained on.",
    ),
    "val_loss": Figure(
        "Validation loss", "val_loss", False, True,
        "Measured at the end of each epoch on images that were not trained on.",
    ),
    "train_accuracy": Figure(
        "Training accuracy", "accuracy_smoothed", True, False,
        "Of the training batches while the weights move, with dropout and augmentation on: a run "
        "that augments looks worse here than it is.",
    ),
    "train_loss": Figure(
        "Training loss", "loss_smoothed", False, False,
        "Of the training batches while the weights move, with dropout and augmentation on: a run "
        "that augments looks worse here than it is.",
    ),
    "learning_rate": Figure("Learning rate", "learning_rate", False, False, "Of each step."),
}  # fmt: skip
ACROSS = {"epoch": "Epochs", "step": "Steps", "seconds": "Seconds"}
ACROSS_HELP = (
    "Epochs: the same number of looks at each training image. Steps: the same number of updates of "
    "the weights. Seconds: the same training time on the machine that trained."
)
RAW = -1
BATCH_SMOOTHING = {RAW: "None", 0: "20 steps", 100: "100 steps", 500: "500 steps"}
EPOCH_SMOOTHING = {0: "None", 2: "2 epochs", 5: "5 epochs"}
SMOOTHING_HELP = (
    "The line becomes a moving average in which a value counts half after so long. It shows the "
    "trend and hides the jumps; compare final figures in the next tab, not here."
)
ONE_COLOUR = ""


def draw_curves(chosen: Sequence[Chosen]) -> None:
    """The choices and the chart."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Figure",
            list(FIGURES),
            format_func=lambda name: FIGURES[name].title,
            key="compare_figure",
            width=220,
            bind="query-params",
        )
        across = st.segmented_control(
            "Across",
            list(ACROSS),
            default="epoch",
            format_func=ACROSS.__getitem__,
            key="compare_across",
            required=True,
            help=ACROSS_HELP,
            bind="query-params",
        )
        figure = FIGURES[name]
        half_life = _choose_smoothing(figure, len(chosen))
        log = st.toggle(
            "Log scale",
            key="compare_log",
            help="Powers of ten instead of equal steps: shows differences between small values, as "
            "of a loss near 0. A value of 0 has no place there.",
            bind="query-params",
        )
        groups = _choose_groups([c.row for c in chosen]) if len(chosen) > MOST_SINGLE else None
    points = max(FEWEST, min(MOST, ALL_POINTS // max(1, len(chosen))))
    curves = _read([c.row for c in chosen], figure, raw=half_life == RAW, points=points)
    lines = [
        _line(c, curves[c.row.id], across or "epoch", figure, half_life, group)
        for c, group in zip(chosen, groups or [""] * len(chosen), strict=True)
        if c.row.id in curves and (across != "epoch" or c.row.steps_per_epoch)
    ]
    st.plotly_chart(
        overlaid(
            lines,
            x_title={"epoch": "epoch", "step": "step", "seconds": "seconds"}[across or "epoch"],
            y_title=figure.title.lower(),
            share=figure.share,
            log=log,
        ),
        key="compare_curves",
        config=CHART,
        alt=overlaid_alt(lines, what=figure.title, share=figure.share),
    )
    st.caption(_made_from(chosen, lines, figure, points, grouped=groups is not None))


def _choose_smoothing(figure: Figure, runs: int) -> int:
    """The half-life: in epochs for what is measured once an epoch, else in steps; RAW for none."""
    if figure.column == "learning_rate":
        return 0
    if figure.per_epoch:
        options, key = EPOCH_SMOOTHING, "compare_smooth_epochs"
    else:
        options, key = dict(BATCH_SMOOTHING), "compare_smooth_steps"
        if runs > MOST_RAW:
            del options[RAW]
            if st.session_state.get(key) == RAW:
                st.session_state[key] = 0
    return int(
        st.select_slider(
            "Smoothing",
            list(options),
            value=0,
            format_func=options.__getitem__,
            key=key,
            width=220,
            help=SMOOTHING_HELP,
            persist_state="session",
        )
    )


def _read(rows: Sequence[RunRow], figure: Figure, *, raw: bool, points: int) -> dict[str, Curve]:
    if not raw:
        found = store().curves([row.id for row in rows], figure.column, points=points)
        if figure.per_epoch:  # all epochs come; every high and low of them is kept
            return {run_id: history.thinned(c, points=points) for run_id, c in found.items()}
        return found
    name = "loss" if figure.column == "loss_smoothed" else "accuracy"
    raw_curves = {}
    for row in rows:  # a few: every jump is kept
        steps = history.curve(store(), row.id, points=1000)
        raw_curves[row.id] = Curve(steps.step, steps.seconds, getattr(steps, name))
    return raw_curves


def _line(
    chosen: Chosen, curve: Curve, across: str, figure: Figure, half_life: int, group: str
) -> Line:
    per_epoch = chosen.row.steps_per_epoch or 1
    y = curve.value
    if half_life > 0:
        y = smooth(curve.step, y, half_life * per_epoch if figure.per_epoch else half_life)
    x = {"step": curve.step, "epoch": curve.step / per_epoch, "seconds": curve.seconds}[across]
    return Line(chosen.title, x, y, group)


def _made_from(
    chosen: Sequence[Chosen], lines: Sequence[Line], figure: Figure, points: int, *, grouped: bool
) -> str:
    said = [figure.about]
    missing = len(chosen) - len(lines)
    if missing:
        said.append(f"{missing} of the {len(chosen)} runs have no such figure yet.")
    live = sum(c.row.is_live for c in chosen)
    if live:
        said.append(f"{live} still train or wait; reload the page to see how far they are.")
    if not figure.per_epoch and any(len(line.x) >= points for line in lines):
        said.append(
            f"Each line goes through at most {points} evenly spread steps, first and last included."
        )
    if grouped:
        said.append("Colour and dash tell the group, the pointer the run.")
    if len({c.row.dataset for c in chosen}) > 1:
        said.append("The runs are on several data sets: their figures are of different images.")
    return " ".join(said)


# --- colour by a knob, for many runs -------------------------------------------------------------
def _choose_groups(rows: Sequence[RunRow]) -> list[str] | None:
    """The group of each run; None while all have one colour."""

    different = differing_settings([row.settings for row in rows])
    offered = {
        name: labels
        for name, values in different.items()
        if (labels := group_labels(name, values)) is not None
    }
    if not offered:
        return None
    # First the knob that makes the fewest groups, but not the seed.
    order = sorted(offered, key=lambda name: (name == "seed", len(set(offered[name]))))
    name = st.selectbox(
        "Colour by",
        [*order, ONE_COLOUR],
        format_func=lambda name: knob_title(name) if name else "Nothing",
        key="compare_colour",
        width=220,
        help="The setting whose values have a colour and a dash each.",
    )
    return None if name == ONE_COLOUR else offered[name]


def group_labels(name: str, values: Sequence[Any]) -> list[str] | None:
    """What each run's value of a knob is called: the value itself, or the range it lies in when a
    number has many; None when there are too many words to tell apart."""
    texts = [setting_text(name, value) for value in values]
    if len(set(texts)) <= MOST_GROUPS:
        return texts
    measured = name in KNOBS and name != "seed" and KNOBS[name].kind in ("int", "float")
    if not measured or None in values:
        return None
    numbers = np.array(values, dtype=np.float64)
    edges = np.quantile(numbers, np.linspace(0, 1, RANGES + 1))
    which = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, RANGES - 1)
    return [f"{edges[i]:.2g} to {edges[i + 1]:.2g}" for i in which.tolist()]
