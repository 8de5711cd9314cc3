"""The learning rate of a run that trains, to be changed by hand."""

from __future__ import annotations

import streamlit as st

from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.ui.words import page_words, plain

KEY = "live_rate"


def draw_rate(run: RunRow) -> None:
    """Draws one button; behind it the new rate."""
    with st.popover("Rate", icon=":material/speed:", key="live_rate_open"):
        now = store().newest(run.id).learning_rate or float(run.settings["learning_rate"])
        st.number_input(
            "Learning rate from the next step on",
            min_value=1e-9,
            max_value=10.0,
            value=now / 10,
            format="%g",
            step=1e-4,
            key=KEY,
            help=f"It is {now:.3g} now. A schedule goes on from the new one.",
        )
        st.button("Change", key="live_rate_change", type="primary", on_click=_ask, args=(run.id,))
        st.caption(
            "The curve gets a mark. The same settings and seed then give this curve only with the "
            "same change at the same step."
        )


def _ask(run_id: str) -> None:
    """A callback."""
    try:
        store().request_rate(run_id, float(st.session_state[KEY]))
    except LabError as error:
        st.toast(plain(page_words(str(error))), icon=":material/error:")
