"""Mounts a module of js/ on a page, as a Streamlit component.

Streamlit sends a component's inline JavaScript with the page; so that is three lines, which load
the module named in the data. A module has `render(component)`, as Streamlit's own do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from lab.ui.live.assets import asset_url

_mount = st.components.v2.component(
    "epochlab_live",
    # Plotly's style sheet goes into the document, where a shadow root would not see it.
    isolate_styles=False,
    html='<div class="live"></div>',
    js="""
    export default async (component) => {
      const [data] = component.data
      const url = new URL(data.module, document.baseURI)
      return (await import(url.href)).render({ ...component, data })
    }
    """,
)
# The data goes in a list: in a mapping Streamlit looks for tables, for which it imports pandas, and
# the first page of a server would wait for that.


def live_component(
    module: str,
    data: dict[str, Any],
    *,
    key: str,
    on_act: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Draws js/<module>.js with `data`; returns what it has triggered in this run of the script.

    It stays on the page while `data` and `key` stay the same. Triggers: "change", when something
    happened that the page itself must follow (the run ended); "act", when a person pressed
    something in it, with what was pressed.
    """
    result = _mount(
        key=key,
        data=[{**data, "module": asset_url(f"{module}.js")}],
        on_change_change=_nothing,
        on_act_change=on_act or _nothing,
    )
    return {"change": result.get("change"), "act": result.get("act")}


def preload_live_view() -> None:
    """Has the browser load the live view's code while a person still reads; draws nothing.

    So the first point after a press of a start button does not wait for it.
    """
    _mount(key="live_preload", data=[{"module": asset_url("preload.js")}])


def triggered(key: str, name: str) -> Any:
    """Returns a trigger's value, for its callback."""
    return st.session_state[key][name]


def _nothing() -> None:
    """Streamlit hands a trigger's value over only where a callback is."""
