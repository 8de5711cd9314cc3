"""The Classify page: uploads and camera pictures.

Nothing is written to disk. Streamlit holds the bytes in memory while the uploader shows them; what
is made of them is in the session's ClassifyState (`lab.ui.classify.answers`) and goes with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from lab.ui.words import plain
from lab.words import size

MOST_FILES = 100
"""Pictures classified at a time."""
MOST_BYTES = 200_000_000
"""Size of all their files together."""
NAMED = 20


@dataclass(frozen=True)
class Upload:
    """One file, not decoded yet."""

    id: str
    name: str
    data: bytes = field(repr=False)


def draw_uploader() -> list[Upload]:
    """Draws uploader and camera; returns the accepted files and names the others on the page."""
    files = st.file_uploader(
        "Pictures",
        # No `type`: the browser would turn some files away with messages of its own, and some
        # browsers do not know what a HEIC is. Each file gets its answer from lab.data.decode.
        accept_multiple_files=True,
        key="classify_files",
        help=f"JPEG, PNG or WebP; up to {MOST_FILES} at a time, {size(MOST_BYTES)} in all.",
    )
    pictures = list(files)
    if st.toggle(
        "Use the camera",
        key="classify_camera_on",
        help="The browser asks for your permission. Works on this machine or over https.",
    ):
        shot = st.camera_input("Take a picture", key="classify_camera")
        if shot is not None:
            pictures.append(shot)
    st.caption(
        ":material/lock: Nothing is kept on disk: pictures stay in the memory of this lab until "
        "you remove them or close this tab."
    )
    accepted, rejected = _within_limits(pictures)
    if rejected:
        names = ", ".join(f"“{file_name(file)}”" for file in rejected[:NAMED])
        more = f" and {len(rejected) - NAMED} more" if len(rejected) > NAMED else ""
        st.warning(
            f"At most {MOST_FILES} pictures of {size(MOST_BYTES)} in all are answered at a time: "
            f"the first {len(accepted)} are. Not taken: {names}{more}.",
            icon=":material/filter_none:",
        )
    return [Upload(file.file_id, _name(file), file.getvalue()) for file in accepted]


def _within_limits(files: Sequence[UploadedFile]) -> tuple[list[UploadedFile], list[UploadedFile]]:
    """Splits into accepted and rejected; a file that is too large stops no later one."""
    accepted: list[UploadedFile] = []
    rejected: list[UploadedFile] = []
    total = 0
    for file in files:
        fits = len(accepted) < MOST_FILES and total + file.size <= MOST_BYTES
        (accepted if fits else rejected).append(file)
        total += file.size if fits else 0
    return accepted, rejected


def _name(file: UploadedFile) -> str:
    return "Camera picture" if file.name.startswith("camera_input") else file.name


def file_name(upload: Upload | UploadedFile) -> str:
    """Returns a file's name escaped for Markdown, a long one without its middle."""
    name = " ".join(upload.name.split())
    return plain(name if len(name) <= 80 else f"{name[:50]}…{name[-29:]}")
