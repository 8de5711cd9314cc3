"""Compare, "Settings and results": any knob against any result, and all knobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from lab.charts.compare_knobs import (
    Axis,
    category_axis,
    knob_scatter,
    knob_scatter_alt,
    number_axis,
    parallel,
    parallel_alt,
)
from lab.charts.style import CHART
from lab.config import KNOBS
from lab.evaluate.compare import differing_settings
from lab.experiments.sweeps.config import varies
from lab.runs.intervals import accuracy_intervals
from lab.ui.compare.choice import ComparedRun
from lab.ui.compare.scores import RESULTS, results_of
from lab.ui.widgets.links import AGAINST, MATTER
from lab.ui.widgets.settings_table import knob_title, setting_text

MOST_WHISKERS = 60
MOST_AXES = 7
MOST_WORDS = 12
"""Values that an axis of words has room for."""
SEED = "seed"
NO_KNOB = ""


def draw_knobs(chosen: Sequence[ComparedRun]) -> None:
    """Draws the whole tab."""
    different = differing_settings([c.row.settings for c in chosen])
    if len(chosen) < 2:
        st.info("Choose a second run to draw a setting against a result.", icon=":material/tune:")
        return
    if not different:
        st.info(
            "These runs have the same settings, the seed included, so no setting can be drawn "
            "against a result. Choose runs that differ in at least one.",
            icon=":material/tune:",
        )
        return
    # Knobs that a person varied on purpose come first.
    knobs = sorted(different, key=lambda name: name == SEED)
    _draw_scatter(chosen, knobs, different)
    _draw_parallel(chosen, knobs, different)


def _draw_scatter(
    chosen: Sequence[ComparedRun], knobs: Sequence[str], different: dict[str, tuple[Any, ...]]
) -> None:
    st.header("A setting against a result", anchor=False)
    results = results_of(chosen)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        across = st.selectbox(
            "Across",
            [*knobs, *results],
            format_func=_title,
            key="compare_knob",
            width=220,
            help="A setting in which the runs differ, or a result, such as the training time.",
        )
        up = st.selectbox(
            "Up",
            results,
            format_func=lambda name: RESULTS[name].title,
            key="compare_result",
            width=220,
        )
        by = st.selectbox(
            "Colour by",
            [NO_KNOB, *(name for name in knobs if len(set(map(str, different[name]))) <= 5)],
            format_func=lambda name: knob_title(name) if name else "Nothing",
            key="compare_knob_colour",
            width=220,
        )
        log = st.toggle(
            "Log scale",
            value=across in KNOBS and KNOBS[across].log,
            key=f"compare_knob_log_{across}",
            help="Across: 0.001, 0.01, 0.1 at equal distances.",
        )
    knob, result = _axis(across, chosen, different, log=log), _axis(up, chosen, different)
    names = [c.title for c in chosen]
    parts = {"test_accuracy": "test", "best_val_accuracy": "val"}
    intervals = (
        [each.interval for each in accuracy_intervals([c.row for c in chosen], parts[up])]
        if up in parts and len(chosen) <= MOST_WHISKERS
        else []
    )
    st.plotly_chart(
        knob_scatter(
            knob,
            result,
            names,
            by=_axis(by, chosen, different, as_words=True) if by else None,
            intervals=intervals,
        ),
        key="compare_scatter",
        config=CHART,
        alt=knob_scatter_alt(knob, result, names),
    )
    sentences = ["A dot is a run."]
    if knob.categories:
        sentences.append("The grey bar is the mean of the runs that have the same value.")
    if any(intervals):
        sentences.append("Whiskers are 95% intervals over other images.")
    if len(knobs) > 1:
        sentences.append(
            "The runs differ in other settings too, so a trend may have another cause: colour by "
            "one of those to see."
        )
    st.caption(" ".join(sentences))


def draw_question(chosen: Sequence[ComparedRun]) -> None:
    """Draws the way to a sweep that settles whether the one setting that differs matters."""
    different = differing_settings([c.row.settings for c in chosen])
    results = [k for k in different if k not in KNOBS or KNOBS[k].effect == "result"]
    knobs = [name for name in results if name != "seed"]
    if len(knobs) != 1 or knobs[0] not in KNOBS or not varies(KNOBS[knobs[0]], "grid"):
        return
    values = different[knobs[0]]
    other = next(value for value in values if value != values[0])
    text = ",".join(map(str, other)) if isinstance(other, (list, tuple)) else str(other)
    if knobs[0] != "dataset" and None not in values:
        st.page_link(
            "pages/experiments.py",
            label=f"Does {knob_title(knobs[0]).lower()} matter? Try both with five seeds",
            icon=":material/balance:",
            query_params={"run": chosen[0].row.id, MATTER: knobs[0], AGAINST: text},
        )


def _draw_parallel(
    chosen: Sequence[ComparedRun], knobs: Sequence[str], different: dict[str, tuple[Any, ...]]
) -> None:
    st.header("All of them at once", anchor=False)
    fitting = [name for name in knobs if _fits(name, different)]
    up = st.selectbox(
        "Result",
        results_of(chosen),
        format_func=lambda name: RESULTS[name].title,
        key="compare_parallel_result",
        width=220,
    )
    shown = st.multiselect(
        "Axes",
        fitting,
        default=fitting[:MOST_AXES],
        format_func=knob_title,
        key="compare_axes_" + "_".join(fitting),
        max_selections=MOST_AXES,
        select_all=False,
        wrap=True,
    )
    axes = [_axis(name, chosen, different, log=KNOBS[name].log) for name in shown]
    axes.append(_axis(up, chosen, different))
    names = [c.title for c in chosen]
    higher = RESULTS[up].higher_is_better
    st.plotly_chart(
        parallel(axes, names, higher_is_better=higher),
        key="compare_parallel",
        config=CHART,
        alt=parallel_alt(axes, names, higher_is_better=higher),
    )
    caption = (
        "A line is a run: it crosses each axis at its value there; the last axis is its result. "
        "The best fifth are drawn strong: where these lines come together, good runs have a "
        "setting in common."
    )
    if len(fitting) < len(knobs):
        omitted = ", ".join(knob_title(name) for name in knobs if name not in fitting)
        caption += f" Left out, with more than {MOST_WORDS} names: {omitted}."
    st.caption(caption)


def _title(name: str) -> str:
    return RESULTS[name].title if name in RESULTS else knob_title(name)


def _fits(name: str, different: dict[str, tuple[Any, ...]]) -> bool:
    """Returns whether an axis has room for the knob's values."""
    if name not in KNOBS:
        return False
    values = different[name]
    return _is_number(name, values) or len({str(value) for value in values}) <= MOST_WORDS


def _is_number(name: str, values: Sequence[Any]) -> bool:
    """Returns whether all values are numbers; "automatic" is none and makes it an axis of words."""
    return name in KNOBS and KNOBS[name].kind in ("int", "float") and None not in values


def _axis(
    name: str,
    chosen: Sequence[ComparedRun],
    different: dict[str, tuple[Any, ...]],
    *,
    log: bool = False,
    as_words: bool = False,
) -> Axis:
    if name in RESULTS:
        result = RESULTS[name]
        return number_axis(
            result.title, [result.of(c.row) for c in chosen], log=log, share=result.is_share
        )
    values = different[name]
    if not as_words and _is_number(name, values):
        unit = KNOBS[name].unit
        title = knob_title(name)
        if unit and unit != title.lower():  # not "Epochs (epochs)"
            title += f" ({unit})"
        return number_axis(title, values, log=log)
    return category_axis(knob_title(name), [setting_text(name, value) for value in values])
