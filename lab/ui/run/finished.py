"""A run that has ended: what it reached, and where to go from here."""

from __future__ import annotations

import contextlib

import streamlit as st

from lab.api.outcome import outcome
from lab.errors import LabError
from lab.experiments.forecasts import (
    expectation,
    forecast_of,
    range_score,
    record,
    rival_score,
    verdict_score,
)
from lab.runs.judging import judge
from lab.runs.store import RunRow, store
from lab.training.plan import as_trained
from lab.ui.run.going_on import draw_going_on
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.links import compare_query_with
from lab.ui.words import plain


def draw_finished(run: RunRow) -> None:
    """Draws the outcome and the next steps; nothing while the run is live or paused."""
    if run.is_live or run.status == "paused":
        if (expected := forecast_of(run)) and (words := expectation(expected)):
            st.caption(plain(words))
        return
    with st.container(border=True):
        st.markdown(f"**{plain(outcome(run, store().folder(run.id)))}**")
        if words := _prediction(run):
            st.caption(plain(words))
        if run.has_weights and (words := store().elsewhere(run)):
            st.info(plain(words), icon=":material/lan:")
        with st.container(horizontal=True, vertical_alignment="center"):
            if run.has_weights:
                _link("runs", "Results", "table_chart", run, runs_tab="Results")
                _link("classify", "Try your own picture", "image_search", run)
                _link("inspect", "Where it looks", "frame_inspect", run)
                if run.best_val_accuracy != 1:  # else the list would be empty
                    wrong = "Wrong, surest first"
                    _link("inspect", "Its mistakes", "rule", run, inspect_which=wrong)
                _link("runs", "Take it away", "archive", run, runs_tab="Take it away")
            if run.epoch:
                st.page_link(
                    "pages/compare.py",
                    label="Compare with others",
                    icon=":material/compare_arrows:",
                    query_params=compare_query_with(run.id, run.parent),
                )
        with st.container(horizontal=True, vertical_alignment="center"):
            if run.can_go_on:
                draw_going_on(run)
            if st.button("Run again with changes", key="finished_again", icon=":material/replay:"):
                run_again(run)


def _prediction(run: RunRow) -> str:
    """Returns what came of the run's prediction; empty where none was."""
    forecast = forecast_of(run)
    if forecast is None:
        return ""
    scores = [range_score(run, forecast), rival_score(run, forecast, store())]
    if forecast.verdict:
        with contextlib.suppress(LabError):  # of another version of the lab
            given = [v.kind for v in judge(store(), run, may_predict=False).verdicts]
            scores.append(verdict_score(forecast, given))
    words = [score.words for score in scores if score is not None]
    if not words:
        return f"{expectation(forecast)} It ended without a test, so nothing is scored."
    return " ".join(words)


def draw_record() -> None:
    """Draws how a person's predictions have done so far; nothing where nothing was predicted."""
    if words := record(store().runs(), store()).words:
        st.caption(f"What you predicted before training: {plain(words)}")


def run_again(run: RunRow) -> None:
    """Opens the form with the run's settings. Draws an error when another version made the run."""
    try:
        fill_form(as_trained(run.config, store().folder(run.id)))
    except LabError as error:
        st.error(f"Another version of the lab made this run. {plain(str(error))}")
        return
    look_at(None)
    st.switch_page("pages/train.py")


def _link(page: str, label: str, icon: str, run: RunRow, **query: str) -> None:
    st.page_link(
        f"pages/{page}.py",
        label=label,
        icon=f":material/{icon}:",
        query_params={"run": run.id, **query},
    )
