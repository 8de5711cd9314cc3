"""Edits of a data set that this session has not saved yet, and the bar that saves them.

    exclude, relabel, move, bring_back, rename, merge   what the tabs of the Data page call
    pending                                             the edits so far
    draw_pending                                        "3 pictures left out · Save as new version"

The edits live in the session, so they last across pages and tabs, and nobody else sees them until
they are saved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import streamlit as st

from lab.data import catalog, versions
from lab.data.catalog import DatasetInfo
from lab.data.pack import SPLIT_WORDS
from lab.data.versions import Edits
from lab.errors import LabError
from lab.ui.words import plain

TAB = "data_tab"
"""The session's key of the open tab of the Data page."""
VERSIONS_TAB = "Versions"
SAVED = "data_saved_version"
"""The session's key of (data set, content hash) of the version that was saved last."""
_EDITS = "data_edits"


# --- what the tabs call ---------------------------------------------------------------------------
def pending(name: str) -> Edits:
    """Returns the edits of a data set that are not saved yet."""
    edits: Edits = st.session_state.get(_EDITS, {}).get(name, Edits())
    return edits


def exclude(name: str, rows: Iterable[int]) -> None:
    """Leaves these pictures out of the data set, once saved."""
    before, chosen = pending(name), frozenset(rows)
    _set(
        name,
        exclude=before.exclude | chosen,
        move={row: part for row, part in before.move.items() if row not in chosen},
        relabel={row: c for row, c in before.relabel.items() if row not in chosen},
    )


def relabel(name: str, rows: Iterable[int], class_name: str) -> None:
    """Makes these pictures ones of `class_name`, once saved; a name that is not there is new."""
    before, chosen = pending(name), list(rows)
    _set(
        name,
        exclude=before.exclude - frozenset(chosen),
        relabel={**before.relabel, **dict.fromkeys(chosen, class_name)},
    )


def move(name: str, rows: Iterable[int], split: str) -> None:
    """Moves these pictures to "train", "val" or "test", once saved; one that a saved version left
    out is back then."""
    before, chosen = pending(name), list(rows)
    _set(
        name,
        exclude=before.exclude - frozenset(chosen),
        move={**before.move, **dict.fromkeys(chosen, split)},
    )


def take_back(name: str, rows: Iterable[int]) -> None:
    """Forgets the edits of these pictures."""
    before, chosen = pending(name), frozenset(rows)
    _set(
        name,
        exclude=before.exclude - chosen,
        move={row: part for row, part in before.move.items() if row not in chosen},
        relabel={row: c for row, c in before.relabel.items() if row not in chosen},
    )


def rename(name: str, class_name: str, new_name: str) -> None:
    """Gives a class another name, once saved."""
    _set(name, rename={**pending(name).rename, class_name: new_name})


def merge(name: str, class_name: str, into: str) -> None:
    """Puts the pictures of a class into another one, once saved."""
    _set(name, merge={**pending(name).merge, class_name: into})


def discard(name: str) -> None:
    """Forgets all edits of a data set."""
    st.session_state.get(_EDITS, {}).pop(name, None)


def _set(name: str, **changes: object) -> None:
    edits = dataclasses.replace(pending(name), **changes)  # type: ignore[arg-type]
    if not edits:
        discard(name)
        return
    if not edits.images_hash:
        edits = dataclasses.replace(edits, images_hash=catalog.describe(name).images_hash)
    st.session_state.setdefault(_EDITS, {})[name] = edits


# --- the bar --------------------------------------------------------------------------------------
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
            reason = st.text_input(
                "Why (optional)",
                key=f"data_reason_{info.name}",
                placeholder="for example: blurred pictures",
                max_chars=200,
                width=280,
            )
            save = st.button(
                "Save as new version",
                key="data_save_version",
                type="primary",
                icon=":material/save:",
            )
            st.button(
                "Discard",
                key="data_discard",
                icon=":material/undo:",
                on_click=discard,
                args=(info.name,),
            )
        if save:
            _save(info, edits, reason or "")


def _save(info: DatasetInfo, edits: Edits, reason: str) -> None:
    try:
        with st.spinner("Saving the new version"):
            version = versions.apply(info.name, edits, reason=reason)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    discard(info.name)
    st.session_state[SAVED] = (info.name, version.content_hash)
    st.rerun()


def draw_take_back(name: str, row: int, *, key: str) -> None:
    """Draws the button that forgets the edits of one picture."""
    st.button(
        "Take back",
        key=key,
        icon=":material/undo:",
        type="tertiary",
        on_click=take_back,
        args=(name, [row]),
    )


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
                on_click=_open_versions,
            )


def _open_versions() -> None:
    st.session_state[TAB] = VERSIONS_TAB
