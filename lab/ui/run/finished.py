"""A run that has ended: what it reached, and where to go from here."""

from __future__ import annotations

import streamlit as st

from lab.api.outcome import outcome
from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.training.plan import as_trained
from lab.ui.run.going_on import draw_going_on
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.links import compare_query_with
from lab.ui.words import plain


def draw_finished(run: RunRow) -> None:
    """Draws the outcome and the next steps; nothing while the run is live or paused."""
    if run.is_live or run.status == "paused":
        return
    with st.container(border=True):
        st.markdown(f"**{plain(outcome(run, store().folder(run.id)))}**")
        with st.container(horizontal=True, vertical_alignment="center"):
            if run.has_weights:
                _link("runs", "Results", "table_chart", run, runs_tab="Results")
                _link("classify", "Try your own picture", "image_search", run)
                _link("inspect", "Where it looks", "frame_inspect", run)
            if run.epoch:
                st.page_link(
                    "pages/compare.py",
                    label="Compare with others",
                    icon=":material/compare_arrows:",
                    query_params=compare_query_with(run.id, run.parent),
                )
            if run.can_go_on:
                draw_going_on(run)
            if st.button("Run again with changes", key="finished_again", icon=":material/replay:"):
                run_again(run)


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
