"""What a teacher sees and does on the board: all runs of the class, and its rules."""

from __future__ import annotations

from typing import Any

import streamlit as st

from lab.errors import LabError
from lab.people import name_of
from lab.runs.class_rules import ClassRules, change_rules, rules
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.board.view import runs_of
from lab.ui.words import plain, status_word
from lab.words import NONE, duration, percent

_ROUND = "board_round"


def draw_runs(subject: str) -> None:
    """Draws the runs of the board, newest first, to tick, stop and delete."""
    runs = sorted(runs_of(subject), key=lambda run: (not run.is_live, -run.created_at.timestamp()))
    st.header("Runs", anchor=False)
    chosen = st.dataframe(
        {
            "Person": [name_of(run.person_name) for run in runs],
            "Run": [run.name for run in runs],
            "Status": [status_word(run.status) for run in runs],
            "Validation": [percent(run.best_val_accuracy) for run in runs],
            "Test": [percent(run.test_accuracy) for run in runs],
            "Trained": [duration(run.seconds or None) for run in runs],
        },
        key=f"board_runs_{st.session_state.get(_ROUND, 0)}",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder=NONE,
        alt=f"Table of {len(runs)} runs of this board.",
    )
    ticked = [runs[row] for row in chosen["selection"]["rows"] if row < len(runs)]
    live = [run for run in ticked if run.is_live]
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Stop {len(live)}" if live else "Stop",
            key="board_stop",
            icon=":material/stop_circle:",
            disabled=not live,
            help="Ends what trains within one step; what waits leaves the queue.",
        ):
            _each(live, queue().stop)
        if st.button(
            f"Delete {len(ticked)}" if ticked else "Delete",
            key="board_delete",
            icon=":material/delete:",
            disabled=not ticked,
            help="Asks first. What trains is stopped, and can be deleted then.",
        ):
            _delete(ticked)
        st.page_link("pages/runs.py", label="All runs", icon=":material/history:")
        st.page_link("pages/storage.py", label="Storage", icon=":material/hard_drive:")


def _each(runs: list[RunRow], act: Any) -> None:
    for run in runs:
        try:
            act(run.id)
        except LabError as error:  # it has ended meanwhile
            st.toast(plain(str(error)), icon=":material/error:")
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
    st.rerun()


@st.dialog("Delete runs")
def _delete(runs: list[RunRow]) -> None:
    idle = [run for run in runs if not run.is_active]
    st.markdown(
        f"{len(idle)} of {len(runs)} runs with their weights and results go for good."
        + (" The others train now; stop them first." if len(idle) < len(runs) else "")
    )
    if st.button("Delete", type="primary", key="board_delete_sure", disabled=not idle):
        _each(idle, store().delete)


def draw_rules() -> None:
    """Draws the rules of the class, to change."""
    st.header("Rules of the class", anchor=False)
    st.caption("They hold for pupils, from their next run on; not for you.")
    now = rules(store().database)
    values: dict[str, Any] = {}
    with st.form("board_rules", border=False):
        with st.grid("auto", min_column_width=200, gap="small"):
            for name, facts in ClassRules.model_fields.items():
                if name == "test_shown":
                    continue
                value = getattr(now, name)
                help_, label = facts.description, str(facts.title)
                if isinstance(value, bool):
                    values[name] = st.toggle(label, value, key=f"board_rule_{name}", help=help_)
                else:
                    chosen = st.number_input(
                        label,
                        min_value=1,
                        value=value or None,
                        placeholder=None if facts.default else "no limit",
                        key=f"board_rule_{name}",
                        help=help_,
                    )
                    values[name] = chosen or 0
        if st.form_submit_button("Save", icon=":material/save:"):
            try:
                change_rules(store().database, **values)
            except LabError as error:
                st.error(plain(str(error)), icon=":material/error:")
            else:
                st.toast("Saved.", icon=":material/check:")
