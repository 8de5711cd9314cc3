"""The Classify page: the frame on a picture around the part that matters, such as the hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import streamlit as st

from lab.ui.classify.answers import ClassifyState, Cut
from lab.ui.classify.uploads import Upload
from lab.ui.widgets.pictures import jpeg_url

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_crop",
    html="""
    <div class="crop">
      <div class="stage">
        <img class="image" draggable="false">
        <div class="frame" role="group" tabindex="0" hidden><div class="corner"></div></div>
      </div>
      <button class="start" type="button">Crop</button>
      <button class="whole" type="button" hidden>Whole picture</button>
    </div>
    """,
    css=(_HERE / "crop.css").read_text(encoding="utf-8"),
    js=(_HERE / "crop.js").read_text(encoding="utf-8"),
)


def draw_crop(state: ClassifyState, upload: Upload) -> None:
    """Draws the picture with its frame; a new frame is in `state.cuts` before the page runs."""
    key = f"classify_crop_{upload.id}"

    def store_cut() -> None:
        change = st.session_state[key]["cut"]
        if change is None:
            return
        cut = valid_cut(change)
        if cut is None:
            state.cuts.pop(upload.id, None)
        else:
            state.cuts[upload.id] = cut

    thumb = state.thumbs[upload.id]
    _mount(
        key=key,
        data={
            "src": state.encode((upload.id, None, "picture"), lambda: jpeg_url(thumb.pixels)),
            "size": list(thumb.size),
            "cut": state.cuts.get(upload.id),
            "alt": f"The picture {upload.name}; drag on it to use only a part",
        },
        on_cut_change=store_cut,
    )


def valid_cut(change: Any) -> Cut | None:
    """Returns the frame that the browser sent; None for the whole picture."""
    values = change.get("cut") if isinstance(change, dict) else None
    if not isinstance(values, list) or len(values) != 3:
        return None
    if not all(isinstance(v, int | float) and math.isfinite(v) and 0 <= v <= 1 for v in values):
        return None
    x, y, side = (float(value) for value in values)
    return (x, y, side) if side > 0 else None
