"""A zip or a folder of pictures from the browser, streamed to the lab's disk.

The component (upload.js) sends the files to `POST /api/uploads/{id}` (`lab.api.uploads`) and shows
how far it is; the page runs once when all are there.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import streamlit as st

from lab.data.uploads import discard, most_bytes, uploaded_path
from lab.ui.words import plain
from lab.words import size

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_upload",
    html="""
    <div class="upload">
      <div class="drop">
        <span class="words"></span>
        <button class="zip" type="button">Choose a zip</button>
        <button class="folder" type="button">Choose a folder</button>
        <input class="zip-input" type="file" accept=".zip" hidden>
        <input class="folder-input" type="file" webkitdirectory multiple hidden>
      </div>
      <div class="sending" hidden>
        <progress max="1" value="0" aria-label="Upload"></progress>
        <span class="state" role="status"></span>
        <button class="cancel" type="button">Cancel</button>
      </div>
      <p class="message" role="alert" hidden></p>
    </div>
    """,
    css=(_HERE / "upload.css").read_text(encoding="utf-8"),
    js=(_HERE / "upload.js").read_text(encoding="utf-8"),
)


def draw_upload(key: str) -> Path | None:
    """Draws the upload of a zip or a folder; returns where it lies once it is here whole.

    The same path at every run of the page, until it is removed there or `release_upload` is called.
    """
    upload: str = st.session_state.setdefault(f"{key}_id", uuid.uuid4().hex)
    stored: dict[str, Any] | None = st.session_state.get(f"{key}_stored")
    if stored is not None:
        path = uploaded_path(upload)
        if path is not None:
            _draw_stored(key, stored)
            return path
        release_upload(key)  # swept in the meantime
        st.rerun()
    most = most_bytes()
    if not most:
        st.caption("This lab takes no uploads; give the path of a folder or zip on its machine.")
        return None
    _mount(
        key=f"{key}_{upload}",
        data={
            "url": f"/api/uploads/{upload}",
            "most": most,
            "words": f"or drop a zip or a folder here, up to {size(most)}",
        },
        on_done_change=lambda: _note_done(key, upload),
    )
    return None


def upload_name(key: str) -> str:
    """Returns what the person's zip or folder is called; "" without an upload."""
    stored: dict[str, Any] = st.session_state.get(f"{key}_stored") or {}
    return str(stored.get("name", ""))


def release_upload(key: str) -> None:
    """Forgets the upload without deleting it: who imports it owns it now, and deletes it."""
    st.session_state.pop(f"{key}_stored", None)
    st.session_state.pop(f"{key}_id", None)


def _note_done(key: str, upload: str) -> None:
    done = st.session_state[f"{key}_{upload}"]["done"]
    if isinstance(done, dict) and uploaded_path(upload) is not None:
        st.session_state[f"{key}_stored"] = {
            "name": str(done.get("name", ""))[:100],
            "files": int(done.get("files", 1)),
            "bytes": int(done.get("bytes", 0)),
        }


def _draw_stored(key: str, stored: dict[str, Any]) -> None:
    files = f"{stored['files']:,} files, " if stored["files"] > 1 else ""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/check: **{plain(stored['name'])}** is here: {files}{size(stored['bytes'])}",
            width="stretch",
        )
        st.button(
            "Remove",
            key=f"{key}_remove",
            icon=":material/delete:",
            type="tertiary",
            on_click=_remove,
            args=(key,),
        )


def _remove(key: str) -> None:
    upload = st.session_state.get(f"{key}_id")
    release_upload(key)
    if upload:
        discard(upload)
