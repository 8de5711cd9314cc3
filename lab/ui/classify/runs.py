"""The Classify page: the choice of runs and checkpoints."""

from __future__ import annotations

import streamlit as st

from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.training.checkpoint import CheckpointMetadata, checkpoints
from lab.ui.state import current_run
from lab.ui.widgets.checkpoints import (
    CheckpointChoice,
    choose_checkpoint,
    default_checkpoint,
    draw_no_network,
    run_labels,
)
from lab.ui.words import plain

MOST_RUNS = 4
_LINKED = "classify_linked"


def choose() -> list[CheckpointChoice]:
    """Draws the choice; returns one to four checkpoints, none when none is chosen."""
    rows = {row.id: row for row in store().runs() if row.has_weights}
    if not rows:
        draw_no_network()
        return []
    _preset(rows)
    runs, weights = st.columns([3, 1], vertical_alignment="bottom")
    chosen = runs.multiselect(
        "Runs to classify with",
        list(rows),
        format_func=run_labels(list(rows.values())).__getitem__,
        key="classify_runs",
        max_selections=MOST_RUNS,
        select_all=False,
        wrap=True,
        placeholder="Choose one to four runs",
        persist_state="session",
        help="Every run with at least one whole epoch, also one that is still training.",
    )
    if not chosen:
        st.caption("Choose at least one run.")
        return []
    choices = []
    for run_id in chosen:
        run = rows[run_id]
        try:
            CheckpointMetadata.read(store().folder(run_id))  # raises where files were deleted
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
            continue
        if len(chosen) == 1 and (names := checkpoints(store().folder(run_id))):
            with weights:
                choices.append(choose_checkpoint(run, names, key="classify_checkpoint"))
        else:
            choices.append(default_checkpoint(run))
    if len(chosen) > 1:
        weights.caption("Each with the weights of its best epoch; one that trains with its newest.")
    return choices


def _preset(rows: dict[str, RunRow]) -> None:
    """Sets the choice before it is drawn: a run that the session newly selected, else the choice so
    far, else the newest completed run."""
    current = current_run()
    linked = current.id if current is not None and current.id in rows else None
    before = st.session_state.get("classify_runs")
    if linked is not None and st.session_state.get(_LINKED) != linked:
        st.session_state[_LINKED] = linked
        st.session_state["classify_runs"] = [linked]
    elif before is None:
        completed = [row.id for row in rows.values() if row.status == "completed"]
        st.session_state["classify_runs"] = [linked or (completed or list(rows))[0]]
    elif any(run_id not in rows for run_id in before):  # deleted since
        st.session_state["classify_runs"] = [run_id for run_id in before if run_id in rows]
