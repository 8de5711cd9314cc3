"""Edits of a data set that this session has not saved yet.

    exclude, relabel, move, take_back, rename, merge   what pages call
    pending                                            the edits so far
    draw_label_is_wrong                                relabels or leaves out, from any page

The edits live in the session, so they last across pages and tabs, and nobody else sees them until
they are saved on the Data page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import streamlit as st

from lab.data import catalog, versions
from lab.data.pack import Pack
from lab.data.versions import Edits
from lab.errors import LabError
from lab.ui.words import plain

_EDITS = "data_edits"


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


def editable_rows(pack: Pack) -> int:
    """Returns how many rows of `pack`, which may be of an older version, are the same pictures in
    the newest version of their set; 0 when that is gone or was imported anew."""
    name = pack.meta.dataset
    try:
        newest = catalog.describe(name).content_hash
        return versions.aligned(name, pack.meta.content_hash, newest) or 0
    except LabError:
        return 0


def draw_label_is_wrong(
    pack: Pack, row: int, class_names: Sequence[str], answer: str, *, key: str
) -> None:
    """Draws "Label wrong?" of one picture: relabel it, by default to `answer`, or leave it out.

    `pack` is that of a run, and `row` one of its `editable_rows`.
    """
    name, edits = pack.meta.dataset, pending(pack.meta.dataset)
    if row in edits.exclude or row in edits.relabel:
        words = "Left out" if row in edits.exclude else plain(f"→ {edits.relabel[row]}")
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            st.badge(words, icon=":material/edit:", color="orange")
            draw_take_back(name, row, key=f"{key}_take_back")
        st.page_link(
            "pages/data.py",
            label="Save on the Data page",
            icon=":material/save:",
            query_params={"dataset": name},
        )
        return
    with st.popover("Label wrong?", type="tertiary", key=f"{key}_open", on_change="rerun") as panel:
        if not panel.open:  # a page has many of these
            return
        given = class_names[pack.labels[row]]
        others = [one for one in class_names if one != given]
        wanted = st.selectbox(
            f"Its label is {plain(given)}; it is",
            others,
            index=others.index(answer) if answer in others else 0,
            key=f"{key}_class",
        )
        with st.container(horizontal=True, gap="xsmall"):
            st.button(
                f"Make it {plain(wanted)}",
                key=f"{key}_relabel",
                type="primary",
                icon=":material/label:",
                on_click=relabel,
                args=(name, [row], wanted),
            )
            st.button(
                "Leave out",
                key=f"{key}_exclude",
                icon=":material/visibility_off:",
                on_click=exclude,
                args=(name, [row]),
            )
        st.caption(
            "Noted for the data set, and saved on the Data page. Change only what is plainly "
            "wrong: putting right nothing but the answers that a network got wrong flatters it."
        )
