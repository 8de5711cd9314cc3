"""The Train form's choice of a run to start from."""

from __future__ import annotations

import streamlit as st

from lab.config import GROUP_TITLES
from lab.errors import LabError
from lab.runs.store import store
from lab.training.checkpoint import kept_epochs
from lab.ui.state import knob_key
from lab.ui.widgets.knob_form import draw_knob

NONE = "None: a new network"


def draw_start() -> None:
    """Draws the choice; nothing while there is no run to start from."""
    chosen = st.session_state.get(knob_key("start_from"), "")
    runs = {row.id: row for row in store().runs() if row.has_weights}
    if not runs and not chosen:
        return
    with st.expander(
        GROUP_TITLES["start"], key="train_group_start", expanded=bool(chosen), on_change="rerun"
    ) as expander:
        if not expander.open:
            return

        def label(run_id: str) -> str:
            if not run_id:
                return NONE
            return f"{runs[run_id].name} · {run_id[-4:]}" if run_id in runs else run_id

        draw_knob("start_from", options=dict.fromkeys(["", *runs, chosen]), label=label)
        chosen = st.session_state[knob_key("start_from")]
        if not chosen:
            return
        draw_knob("start_with")
        draw_knob("start_epoch")
        try:
            kept = list(kept_epochs(store().folder(chosen))) if chosen in runs else []
        except LabError:
            kept = []
        if kept:
            count = "epoch" if len(kept) == 1 else "epochs"
            st.caption(f"Weights are kept of {count} {', '.join(map(str, kept))}.")
