"""The table of settings in which runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from lab.config import KNOBS
from lab.evaluate.compare import differing_settings
from lab.runs.naming import value_text

MOST_COLUMNS = 6
"""Up to so many runs each have a column; more each have a row."""


def draw_differences(titles: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> None:
    """Draws a table of the knobs that differ among runs named `titles`, or says that none do."""
    different = differing_settings(settings)
    if len(titles) < 2:
        st.caption("Choose a second run to see what differs.")
        return
    if not different:
        st.caption("Nothing: these runs have the same settings, the seed included.")
        return
    table = pd.DataFrame(
        {
            knob_title(name): [setting_text(name, value) for value in values]
            for name, values in different.items()
        },
        index=pd.Index(titles, name="Run"),
    )
    if len(titles) <= MOST_COLUMNS:
        table = table.transpose().rename_axis("Setting")
    st.dataframe(
        table.reset_index(),
        hide_index=True,
        alt=f"The {len(different)} settings that are not the same in all of these runs.",
    )


def knob_title(name: str) -> str:
    return KNOBS[name].title if name in KNOBS else name


def setting_text(name: str, value: Any) -> str:
    """Returns a knob's value as a page shows it; unchanged for a knob of another version."""
    return value_text(name, value)
