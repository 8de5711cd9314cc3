"""The button that pins an image: the film strip of each run follows the pinned ones."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from lab.data import probes
from lab.data.access import may_change_dataset
from lab.errors import LabError
from lab.ui.words import plain


def draw_pin_button(
    dataset: str,
    index: int,
    *,
    key: str,
    pinned: bool,
    width: Literal["content", "stretch"] = "content",
) -> None:
    """Draws "Pin", or "Unpin" where image `index` of the data set's pack is `pinned` already;
    nothing where the data set is somebody else's."""
    if not may_change_dataset(dataset):
        return
    st.button(
        "Unpin" if pinned else "Pin",
        key=key,
        icon=":material/keep_off:" if pinned else ":material/keep:",
        help="Pinned images are followed by the film strip of every run on this data set.",
        on_click=_unpin if pinned else _pin,
        args=(dataset, index),
        width=width,
    )


def _pin(dataset: str, index: int) -> None:
    """The button's callback."""
    try:
        probes.pin(dataset, index)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _unpin(dataset: str, index: int) -> None:
    """The button's callback."""
    try:
        probes.unpin(dataset, index)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")
