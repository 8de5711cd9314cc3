"""Compare, "Curves": one metric of all chosen runs, laid over each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from lab.api.panels import Panel, figure, text
from lab.charts.compare import MOST_SINGLE, RunCurve, overlaid, overlaid_alt, smooth
from lab.config import KNOBS
from lab.errors import NotFoundError
from lab.evaluate.compare import differing_settings
from lab.metrics import metrics_of
from lab.runs import history
from lab.runs.rows import Curve
from lab.runs.store import RunRow, store
from lab.ui.compare.choice import ComparedRun
from lab.ui.live.panel import live_panel
from lab.ui.widgets.settings_table import knob_title, setting_text

LIVE_SECONDS = 2.0
"""Between two charts while a run trains."""
ALL_POINTS = 20_000
"""Points of all lines together; more would make the browser slow and are not seen."""
FEWEST_CLASSES = 2
"""Classes assumed of runs that have not started."""
FEWEST, MOST = 50, 400
"""Points of one line."""
MOST_RAW = 6
"""Runs whose single batches are offered: more lines could not be told apart."""
MOST_GROUPS = 8
RANGES = 4


@dataclass(frozen=True)
class CurveChoice:
    """A curve over the training that can be drawn."""

    title: str
    column: str
    """Its name in `lab.runs.store.Store.curves`."""
    is_share: bool = False
    per_epoch: bool = False
    about: str = ""
    raw: str = ""
    """The column of single batches; empty where there is none."""


VALIDATED = "Measured at the end of each epoch on images that were not trained on."
TRAINED = (
    "Of the training batches while the weights move, with dropout and augmentation on: a run that "
    "augments looks worse here than it is."
)


def curve_choices(classes: int) -> dict[str, CurveChoice]:
    """Returns the curves by their name in the URL, for runs of at most so many classes."""
    metrics = metrics_of(classes)
    val = {
        f"val_{m.name}": CurveChoice(
            f"Validation {m.title.lower()}", f"val_{m.name}", m.is_share, True, VALIDATED
        )
        for m in metrics
    }
    train = {
        f"train_{m.name}": CurveChoice(
            f"Training {m.title.lower()}",
            f"{m.name}_smoothed",
            m.is_share,
            about=TRAINED,
            raw=m.name,
        )
        for m in metrics
        if m.of_batches
    }
    return {
        **val,
        **train,
        "learning_rate": CurveChoice("Learning rate", "learning_rate", about="Of each step."),
    }


ACROSS = {"epoch": "Epochs", "step": "Steps", "seconds": "Seconds"}
ACROSS_HELP = (
    "Epochs: the same number of passes over the training images. Steps: the same number of updates "
    "of the weights. Seconds: the same training time on the machine that trained."
)
RAW = -1
BATCH_SMOOTHING = {RAW: "None", 0: "1/20 epoch", 100: "100 steps", 500: "500 steps"}
EPOCH_SMOOTHING = {0: "None", 2: "2 epochs", 5: "5 epochs"}
SMOOTHING_HELP = (
    "The line becomes a moving average in which a value counts half after so long. It shows the "
    "trend and hides the jumps; compare final results in the next tab, not here."
)
ONE_COLOUR = ""


def draw_curves(chosen: Sequence[ComparedRun]) -> None:
    """Draws the whole tab."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choices = curve_choices(max(len(c.row.class_names) for c in chosen) or FEWEST_CLASSES)
        name = st.selectbox(
            "Curve",
            list(choices),
            index=list(choices).index("val_accuracy"),
            format_func=lambda name: choices[name].title,
            key="compare_curve",
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
        curve = choices[name]
        half_life = _choose_smoothing(curve, len(chosen))
        log = st.toggle(
            "Log scale",
            key="compare_log",
            help="Powers of ten instead of equal steps: shows differences between small values, as "
            "of a loss near 0. A value of 0 has no place there.",
            bind="query-params",
        )
        groups = _choose_groups([c.row for c in chosen]) if len(chosen) > MOST_SINGLE else None
    live_panel(
        partial(
            _panel, chosen, across or "epoch", curve, half_life=half_life, log=log, groups=groups
        ),
        key="compare_curves",
        live=any(c.row.is_live for c in chosen),
        seconds=LIVE_SECONDS,
    )


def _panel(
    chosen: Sequence[ComparedRun],
    across: str,
    curve: CurveChoice,
    *,
    half_life: int,
    log: bool,
    groups: Sequence[str] | None,
) -> Panel:
    """Returns the chart with the runs as they are now; also called by the event hub."""
    chosen = [replace(c, row=row) for c in chosen if (row := _row_now(c.row)) is not None]
    points = max(FEWEST, min(MOST, ALL_POINTS // max(1, len(chosen))))
    curves = _read([c.row for c in chosen], curve, raw=half_life == RAW, points=points)
    lines = [
        _line(c, _branched(c.row, curves, curve), across, curve, half_life, group)
        for c, group in zip(chosen, groups or [""] * len(chosen), strict=False)
        if c.row.id in curves and (across != "epoch" or c.row.steps_per_epoch)
    ]
    chart = overlaid(
        lines, x_title=across, y_title=curve.title.lower(), share=curve.is_share, log=log
    )
    return {
        "state": " ".join(sorted(c.row.id for c in chosen if c.row.is_live)),
        "blocks": [
            figure(
                "curves",
                json.loads(chart.to_json()),
                alt=overlaid_alt(lines, what=curve.title, share=curve.is_share),
            ),
            text(
                _made_from(chosen, lines, curve, points, grouped=groups is not None), tone="small"
            ),
        ],
    }


def _row_now(row: RunRow) -> RunRow | None:
    try:
        return store().run(row.id) if row.is_live else row
    except NotFoundError:  # deleted in another tab
        return None


def _choose_smoothing(curve: CurveChoice, runs: int) -> int:
    """Returns the half-life in epochs (a metric of epochs) or steps; RAW for none."""
    if curve.column == "learning_rate":
        return 0
    if curve.per_epoch:
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


def _read(
    rows: Sequence[RunRow], choice: CurveChoice, *, raw: bool, points: int
) -> dict[str, Curve]:
    if not raw:
        curves = store().curves([row.id for row in rows], choice.column, points=points)
        if choice.per_epoch:  # all epochs come; every high and low of them is kept
            return {run_id: history.thinned_curve(c, points=points) for run_id, c in curves.items()}
        return curves
    raw_curves = {}
    for row in rows:  # few runs: every jump is kept
        steps = history.thinned_steps(store(), row.id, points=1000)
        raw_curves[row.id] = Curve(steps.step, steps.seconds, steps[choice.raw])
    return raw_curves


def _branched(row: RunRow, curves: Mapping[str, Curve], choice: CurveChoice) -> Curve:
    """Returns the run's curve; of one that goes on from another, shown, it begins on that one's."""
    own, before = curves[row.id], curves.get(row.parent)
    if before is None or not choice.per_epoch or row.settings.get("start_with") == "weights":
        return own
    at = np.flatnonzero(before.step == (row.parent_epoch or 0) * (row.steps_per_epoch or 1))
    return Curve(
        np.concatenate([before.step[at], own.step]),
        np.concatenate([before.seconds[at], own.seconds]),
        np.concatenate([before.value[at], own.value]),
    )


def _line(
    chosen: ComparedRun, curve: Curve, across: str, choice: CurveChoice, half_life: int, group: str
) -> RunCurve:
    per_epoch = chosen.row.steps_per_epoch or 1
    y = curve.value
    if half_life > 0:
        y = smooth(curve.step, y, half_life * per_epoch if choice.per_epoch else half_life)
    x = {"step": curve.step, "epoch": curve.step / per_epoch, "seconds": curve.seconds}[across]
    return RunCurve(chosen.title, x, y, group)


def _made_from(
    chosen: Sequence[ComparedRun],
    lines: Sequence[RunCurve],
    curve: CurveChoice,
    points: int,
    *,
    grouped: bool,
) -> str:
    sentences = [curve.about]
    missing = len(chosen) - len(lines)
    if missing:
        have = "has" if missing == 1 else "have"
        sentences.append(f"{missing} of the {len(chosen)} runs {have} no such curve yet.")
    live = sum(c.row.is_live for c in chosen)
    if live:
        still = "trains or waits" if live == 1 else "train or wait"
        sentences.append(f"{live} of the {len(chosen)} runs still {still}.")
    if not curve.per_epoch and any(len(line.x) >= points for line in lines):
        sentences.append(
            f"Each line goes through at most {points} evenly spread steps, first and last included."
        )
    if grouped:
        sentences.append("Colour and dash show the group; point at a line to see its run.")
    if len({c.row.dataset for c in chosen}) > 1:
        sentences.append(
            "The runs are on several data sets: their metrics are of different images."
        )
    return " ".join(sentences)


# --- colour by a knob, for many runs -------------------------------------------------------------
def _choose_groups(rows: Sequence[RunRow]) -> list[str] | None:
    """Draws the choice; returns the group of each run, None while all have one colour."""
    different = differing_settings([row.settings for row in rows])
    groupings = {
        name: labels
        for name, values in different.items()
        if (labels := group_labels(name, values)) is not None
    }
    if not groupings:
        return None
    # First the knob that makes the fewest groups, but not the seed.
    order = sorted(groupings, key=lambda name: (name == "seed", len(set(groupings[name]))))
    name = st.selectbox(
        "Colour by",
        [*order, ONE_COLOUR],
        format_func=lambda name: knob_title(name) if name else "Nothing",
        key="compare_colour",
        width=220,
        help="The setting whose values have a colour and a dash each.",
    )
    return None if name == ONE_COLOUR else groupings[name]


def group_labels(name: str, values: Sequence[Any]) -> list[str] | None:
    """Returns a label for each run's value of a knob: the value, or its range where a number has
    many; None where there are too many texts to tell apart."""
    texts = [setting_text(name, value) for value in values]
    if len(set(texts)) <= MOST_GROUPS:
        return texts
    numeric = name in KNOBS and name != "seed" and KNOBS[name].kind in ("int", "float")
    if not numeric or None in values:
        return None
    numbers = np.array(values, dtype=np.float64)
    edges = np.quantile(numbers, np.linspace(0, 1, RANGES + 1))
    which = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, RANGES - 1)
    return [f"{edges[i]:.2g} to {edges[i + 1]:.2g}" for i in which.tolist()]
