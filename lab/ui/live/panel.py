"""A part of a page that keeps itself up to date while somebody only watches."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from lab.api.panels import Panel, offer
from lab.ui.live.component import live_component


def live_panel(make: Callable[[], Panel], *, key: str, live: bool, seconds: float = 1.0) -> bool:
    """Draws what `make` returns and, while it is `live`, asks it again every `seconds`.

    Returns True when the panel's state has changed since the page was drawn: the caller then runs
    the page again, because its buttons depend on it. `make` must not call st.* (see
    `lab.api.panels.offer`).
    """
    panel = make()
    topic = ""
    if live:
        place = f"{key}_offer"
        offer_id = offer(make, seconds=seconds, offer_id=st.session_state.get(place, ""))
        st.session_state[place] = offer_id
        topic = f"panel:{offer_id}"
    result = live_component("panel", {"panel": panel, "topic": topic}, key=key)
    return bool(result["change"])
