"""The camera of the Data page: hold the button, and a burst of pictures of one class is taken.

The pictures of a burst are nearly the same. So they come as one group, which never lies on two
sides of a split.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

MOST_PICTURES = 200
"""Pictures of one burst."""
MOST_MESSAGE_BYTES = 20_000_000
"""Of a burst as it is sent: Streamlit closes the page for a message of more than 25 MB."""
MOST_BYTES = 2_000_000
"""Of one picture: at most 640 pixels a side, as JPEG."""
RATES = (2, 5, 10)
"""Pictures a second to choose from."""
_JPEG = "data:image/jpeg;base64,"
_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_burst",
    html="""
    <div class="burst">
      <div class="view">
        <video class="video" muted playsinline></video>
        <div class="row">
          <button class="shoot" type="button" disabled>Hold to shoot</button>
          <button class="turn" type="button" hidden>Other camera</button>
          <span class="count" role="status"></span>
        </div>
      </div>
      <div class="thumbs" aria-hidden="true"></div>
      <p class="message" role="alert" hidden></p>
    </div>
    """,
    css=(_HERE / "burst.css").read_text(encoding="utf-8"),
    js=(_HERE / "burst.js").read_text(encoding="utf-8"),
)


def draw_burst(class_name: str, take: Callable[[str, Sequence[bytes]], None]) -> None:
    """Draws the camera for a class; `take` gets the class and the JPEG files of each burst."""
    rate = st.segmented_control(
        "Pictures a second",
        RATES,
        default=RATES[1],
        required=True,
        key="collect_rate",
        help="The pictures of one burst are nearly the same and count as one group: move the "
        "thing, the camera and the light between two bursts.",
    )
    key = f"collect_burst_{class_name}"
    _mount(
        key=key,
        data={
            "rate": rate or RATES[1],
            "most": MOST_PICTURES,
            "most_bytes": MOST_MESSAGE_BYTES,
            "alt": f"What the camera sees, for {class_name}",
        },
        on_pictures_change=lambda: take(
            class_name, burst_pictures(st.session_state[key]["pictures"])
        ),
    )


def burst_pictures(urls: Any) -> list[bytes]:
    """Returns the files in a list of data: URLs of JPEGs; leaves out anything else."""
    files: list[bytes] = []
    for url in urls[:MOST_PICTURES] if isinstance(urls, list) else []:
        if not isinstance(url, str) or not url.startswith(_JPEG) or len(url) > MOST_BYTES * 4 // 3:
            continue
        try:
            files.append(base64.b64decode(url.removeprefix(_JPEG), validate=True))
        except (binascii.Error, ValueError):
            continue
    return files
