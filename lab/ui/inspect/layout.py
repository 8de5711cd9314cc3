"""The frame of the Inspect page: a narrow column of choices, a wide one of what they show."""

from __future__ import annotations

from typing import Any

import streamlit as st

_STYLE = """<style>
.st-key-inspect_panel { gap: 0.6rem; }
@media (max-width: 640px) {
  /* On a telephone the pictures come first. */
  [data-testid="stColumn"]:has(.st-key-inspect_panel) { order: 2; }
}
</style>"""


def panel_and_stage() -> tuple[Any, Any]:
    """Returns two containers: for the choices, and for the pictures."""
    st.html(_STYLE)
    left, right = st.columns([3, 8], gap="medium")
    return left.container(key="inspect_panel"), right.container(key="inspect_stage")
