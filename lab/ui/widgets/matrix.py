"""The confusion matrix on a page: a table of cells, each of which can be clicked (matrix.js)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import streamlit as st

from lab.charts.confusion import Matrix

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_confusion_matrix",
    html='<div class="matrix"></div>',
    css=(_HERE / "matrix.css").read_text(encoding="utf-8"),
    js=(_HERE / "matrix.js").read_text(encoding="utf-8"),
)


def choose_share(*, key: str) -> bool:
    """Draws the choice; returns whether cells show the percent of their row instead of images."""
    return bool(
        st.segmented_control(
            "Numbers",
            (False, True),
            default=False,
            format_func={False: "Images", True: "Percent of the row"}.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
        )
    )


def draw_matrix(
    matrix: Matrix,
    *,
    key: str,
    alt: str,
    on_cell: Callable[[tuple[int, int]], None] | None = None,
) -> None:
    """Draw `matrix`; `alt` describes it for those who do not see it.

    `on_cell` is called with (true, predicted) before the page runs again after a click on a cell;
    without it a click does nothing.
    """

    def report_cell() -> None:
        cell = st.session_state[key]["cell"]
        if cell is not None and on_cell is not None:
            true, predicted = cast("list[int]", cell)
            on_cell((int(true), int(predicted)))

    _mount(
        key=key,
        data={**matrix, "alt": alt, "clickable": on_cell is not None},
        on_cell_change=report_cell,
    )
