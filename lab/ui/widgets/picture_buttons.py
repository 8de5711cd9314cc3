"""Pictures in rows that are buttons: a click, Enter or the space bar chooses one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.ui.widgets.pictures import jpeg, png

_HERE = Path(__file__).parent
SMALL = 64
"""Pictures of at most so many pixels a side are sent without loss and shown in sharp blocks."""

_mount = st.components.v2.component(
    "epochlab_picture_buttons",
    html='<div class="pictures"></div>',
    css=(_HERE / "picture_buttons.css").read_text(encoding="utf-8"),
    js=(_HERE / "picture_buttons.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, eq=False)
class PictureButton:
    """One of the pictures."""

    pixels: NDArray[np.uint8]
    """(H, W, 1 or 3)"""
    alt: str
    """What it shows and what choosing it does, for those who do not see it."""
    caption: str = ""
    """Plain text below it; a line break starts a second line."""
    chosen: bool = False


def draw_picture_buttons(
    pictures: Sequence[PictureButton],
    *,
    key: str,
    side: int,
    label: str,
    on_choose: Callable[[int], None],
) -> None:
    """Draws `pictures`, each at least `side` pixels wide, in as many rows as they need.

    `label` names them all for screen readers. `on_choose` is called with the position of the chosen
    one before the page runs again.
    """

    def report() -> None:
        position = st.session_state[key]["position"]
        if position is not None:
            on_choose(int(position))

    _mount(
        key=key,
        data={
            "side": side,
            "label": label,
            "pictures": [
                {
                    "source": data_url(picture.pixels),
                    "alt": picture.alt,
                    "caption": picture.caption,
                    "chosen": picture.chosen,
                }
                for picture in pictures
            ],
        },
        on_position_change=report,
    )


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Encodes (H, W, 1 or 3) uint8 as a URL that holds the picture itself."""
    small = max(pixels.shape[:2]) <= SMALL
    kind, content = ("png", png(pixels)) if small else ("jpeg", jpeg(pixels))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
