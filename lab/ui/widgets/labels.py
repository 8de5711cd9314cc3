"""Selectboxes whose choices are called otherwise after another widget changed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st


def resend_when_renamed(key: str, labels: Sequence[str]) -> None:
    """Sends a selectbox's choice to the browser again when the choices are called otherwise.

    The browser holds the text of the choice, not the choice. Without this a box whose labels depend
    on another widget goes on showing the old text. Call it before the selectbox is drawn.
    """
    last = f"{key}_labels"
    if st.session_state.get(last, labels) != labels and key in st.session_state:
        st.session_state[key] = st.session_state[key]
    st.session_state[last] = list(labels)
