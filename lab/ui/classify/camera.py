"""The Classify page: the webcam, answered a few times a second by the lab's API.

The component (camera.js) sends small frames to `POST /api/runs/{id}/classify` (`lab.api.classify`)
and shows the answers as they come, without a run of the page. A picture that is taken becomes the
first of the page's pictures.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import streamlit as st

from lab.evaluate.familiarity import ALARM
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.classify.uploads import CAMERA_NAME, Upload, upload_list
from lab.ui.widgets.checkpoints import CheckpointChoice

MOST_BYTES = 10_000_000
"""Of one picture, as of an upload (server.maxUploadSize)."""
_JPEG = "data:image/jpeg;base64,"
_KEY = "classify_camera"
_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_camera",
    html="""
    <div class="camera">
      <div class="view">
        <video class="video" muted playsinline></video>
        <button class="shoot" type="button" disabled>Take picture</button>
      </div>
      <div class="beside">
        <div class="answers"></div>
        <p class="message" role="status" hidden></p>
      </div>
    </div>
    """,
    css=(_HERE / "camera.css").read_text(encoding="utf-8"),
    js=(_HERE / "camera.js").read_text(encoding="utf-8"),
)


def draw_camera(choices: Sequence[CheckpointChoice]) -> None:
    """Draws the switch and, while it is on, the camera with live answers of these networks."""
    if not st.toggle(
        "Use the camera",
        key="classify_camera_on",
        help="Live answers, a few times a second. The browser asks for your permission; it has a "
        "camera for pages of this machine or over https only.",
    ):
        return
    _mount(
        key=_KEY,
        data={
            "networks": [
                {
                    "name": choice.run.name,
                    "url": f"/api/runs/{quote(choice.run.id)}/classify"
                    f"?checkpoint={quote(choice.checkpoint)}",
                    "alarm": ALARM,
                }
                for choice in choices
            ],
            # Twice the network's size, as uploads are read.
            "side": max(
                2 * CheckpointMetadata.read(c.folder).preprocess.image_size for c in choices
            ),
            "alt": "What the camera sees",
        },
        on_picture_change=_take_picture,
    )


def _take_picture() -> None:
    """Puts the picture that was taken first among the page's pictures."""
    data = picture_bytes(st.session_state[_KEY]["picture"])
    if data is not None:
        upload_list().add_camera_picture(Upload(uuid.uuid4().hex, CAMERA_NAME, data))


def picture_bytes(url: Any) -> bytes | None:
    """Returns the file in a data: URL of a JPEG; None for anything else."""
    if not isinstance(url, str) or not url.startswith(_JPEG) or len(url) > MOST_BYTES * 4 // 3:
        return None
    try:
        return base64.b64decode(url.removeprefix(_JPEG), validate=True)
    except (binascii.Error, ValueError):
        return None
