"""The Data page's bar of edits that are not saved: "3 pictures left out · Save as new version"."""

from __future__ import annotations

import streamlit as st

from lab.data import versions
from lab.data.catalog import DatasetInfo
from lab.data.pack import SPLIT_WORDS
from lab.data.versions import Edits
from lab.errors import LabError
from lab.ui.widgets.edits import discard, pending
from lab.ui.words import plain

TAB = "data_tab"
"""The session's key of the open tab of the Data page."""
VERSIONS_TAB = "Versions"
SAVED = "data_saved_version"
"""The session's key of (data set, content hash) of the version that was saved last."""
_REFUSED = "data_save_refused"
"""The session's key of the sentence why the last press of Save did nothing."""


def in_words(edits: Edits) -> str:
    """Returns such as "3 pictures left out, 2 relabelled, class “dgo” renamed to “dog”"."""
    parts = []
    if edits.exclude:
        parts.append(f"{_pictures(len(edits.exclude))} left out")
    if edits.relabel:
        parts.append(f"{_pictures(len(edits.relabel))} relabelled")
    for split, title in SPLIT_WORDS.items():
        if count := sum(part == split for part in edits.move.values()):
            parts.append(f"{_pictures(count)} moved to {title}")
    parts += [f"class “{old}” renamed to “{new}”" for old, new in edits.rename.items()]
    parts += [f"class “{old}” merged into “{new}”" for old, new in edits.merge.items()]
    return ", ".join(parts)


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def draw_pending(info: DatasetInfo) -> None:
    """Draws the bar of the edits that are not saved, and what the last saving did."""
    edits = pending(info.name)
    if not edits:
        _draw_saved(info)
        return
    with st.container(border=True, key="data_pending"):
        st.markdown(f":material/edit: **Not saved yet:** {plain(in_words(edits))}.")
        if edits.images_hash != info.images_hash:
            st.warning(
                "The set was imported anew since, so these edits belong to other pictures. "
                "Discard them.",
                icon=":material/warning:",
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Why (optional)",
                key=_reason_key(info.name),
                placeholder="Why (optional): blurred pictures ...",
                label_visibility="collapsed",
                max_chars=200,
                width=320,
            )
            st.button(
                "Save as new version",
                key="data_save_version",
                type="primary",
                icon=":material/save:",
                on_click=_save,
                args=(info.name,),
            )
            st.button(
                "Discard",
                key="data_discard",
                icon=":material/undo:",
                on_click=discard,
                args=(info.name,),
            )
        if refused := st.session_state.pop(_REFUSED, ""):
            st.error(plain(refused), icon=":material/error:")


def _reason_key(name: str) -> str:
    return f"data_reason_{name}"


def _save(name: str) -> None:
    """A button's callback, because a second click, which ends the page's run, must not part the
    saving from the forgetting of the edits."""
    try:
        reason = st.session_state.get(_reason_key(name)) or ""
        version = versions.apply(name, pending(name), reason=reason)
    except LabError as error:
        st.session_state[_REFUSED] = str(error)
        return
    discard(name)
    st.session_state[SAVED] = (name, version.content_hash)


def _draw_saved(info: DatasetInfo) -> None:
    if st.session_state.get(SAVED) != (info.name, info.content_hash):
        st.session_state.pop(SAVED, None)
        return
    newest = versions.versions(info.name)[0]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/check_circle: **Saved as version {newest.number}:** "
            f"{plain(newest.changes)}. New runs train on it; earlier runs keep their version.",
            width="stretch",
        )
        if st.session_state.get(TAB) != VERSIONS_TAB:
            st.button(
                "Did it help? Train both versions",
                key="data_to_proof",
                icon=":material/balance:",
                on_click=open_tab,
                args=(VERSIONS_TAB,),
            )


def open_tab(title: str) -> None:
    """A button's callback."""
    st.session_state[TAB] = title
