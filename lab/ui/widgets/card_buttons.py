"""The buttons that download a lab card of several runs, made when they are pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from lab.people import acting_as, current_person

if TYPE_CHECKING:
    from lab.export.page_parts import Sheet


def draw_card_buttons(make: Callable[[], Sheet], name: str, *, key: str) -> None:
    """Draws both; `name` begins the files' names."""
    person = current_person()

    def text(json: bool) -> str:
        with acting_as(person):  # a download is made outside the page's run
            sheet = make()
        return sheet.json if json else sheet.html

    st.download_button(
        "Lab card",
        lambda: text(json=False),
        file_name=f"{name}.html",
        mime="text/html",
        key=f"{key}_card",
        icon=":material/id_card:",
        on_click="ignore",
        help="One page that works offline, to keep, to print or to hand on.",
    )
    st.download_button(
        "For programs",
        lambda: text(json=True),
        file_name=f"{name}.json",
        mime="application/json",
        key=f"{key}_card_json",
        icon=":material/data_object:",
        on_click="ignore",
        help="The card's facts as JSON.",
    )
