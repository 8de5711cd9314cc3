"""The button that downloads runs with their settings and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from lab.experiments.results_csv import results_csv
from lab.runs.rows import RunRow


def draw_results_button(runs: Callable[[], Sequence[RunRow]], *, key: str, file_name: str) -> None:
    """Draws it; `runs` is asked once it is pressed."""
    st.download_button(
        "CSV",
        lambda: results_csv(runs()),
        file_name=file_name,
        mime="text/csv",
        key=key,
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        help="These runs with their settings and results, one a line.",
    )
