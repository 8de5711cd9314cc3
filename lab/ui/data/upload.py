"""A zip or a folder of pictures from the browser."""

from __future__ import annotations

import uuid
from pathlib import Path

import streamlit as st

from lab.home import home_folder


def draw_upload(key: str) -> Path | None:
    """Draws the upload of a zip or a folder; returns where it lies once it is here whole.

    The same path at every run of the page, until it is removed there or `release_upload` is called.
    """
    stored: Path | None = st.session_state.get(f"{key}_stored")
    if stored is not None and stored.exists():
        return stored
    upload = st.file_uploader("or a zip from your browser", type=["zip"], key=key)
    if upload is None:
        return None
    target = home_folder("downloads") / f"upload-{uuid.uuid4().hex}.zip"
    target.write_bytes(upload.getvalue())
    st.session_state[f"{key}_stored"] = target
    return target


def release_upload(key: str) -> None:
    """Forgets the upload without deleting it: who imports it owns it now, and deletes it."""
    st.session_state.pop(f"{key}_stored", None)
