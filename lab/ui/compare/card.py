"""Compare: the lab card of the chosen runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from lab.ui.compare.choice import ComparedRun
from lab.ui.widgets.card_buttons import draw_card_buttons

if TYPE_CHECKING:
    from lab.export.page_parts import Sheet


def draw_card(chosen: Sequence[ComparedRun]) -> None:
    """Draws the buttons; nothing for one run, whose own card says more."""
    if len(chosen) < 2:
        return
    runs = [c.row for c in chosen]

    def make() -> Sheet:
        from lab.export.comparison_card import comparison_card  # brings torch

        return comparison_card(runs)

    with st.container(horizontal=True, vertical_alignment="center"):
        draw_card_buttons(make, f"comparison-of-{len(runs)}-runs", key="compare")
