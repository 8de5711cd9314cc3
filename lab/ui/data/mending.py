"""Pictures of a data set that can be chosen and then left out, relabelled or moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from lab.data.catalog import DatasetInfo
from lab.data.pack import EXCLUDED, NO_CLASS, SPLIT_WORDS, Pack
from lab.data.versions import Edits
from lab.ui.widgets import edits
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.widgets.pictures import SHOWN_SIDE
from lab.ui.words import plain

NEW_CLASS = "A new class …"


def draw_mendable(info: DatasetInfo, pack: Pack, rows: Sequence[int], *, key: str) -> None:
    """Draws the pictures `rows` as buttons that choose them, and what can be done with the chosen
    ones. `key` names the place; the choice lasts while the session does."""
    place = f"{key}_chosen"
    chosen: frozenset[int] = st.session_state.get(place, frozenset()) & frozenset(rows)
    pending = edits.pending(info.name)

    def toggle(position: int) -> None:
        st.session_state[place] = chosen ^ {rows[position]}

    draw_picture_buttons(
        [
            PictureButton(
                pack.images[row],
                alt=f"{_class_of(pack, row)}, {pack.names[row]}: "
                + ("chosen, press to let go" if row in chosen else "press to choose"),
                caption=edit_words(pending, row),
                chosen=row in chosen,
            )
            for row in rows
        ],
        key=f"{key}_pictures",
        side=SHOWN_SIDE,
        label="Pictures to choose",
        on_choose=toggle,
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.button(
            "Choose all" if len(chosen) < len(rows) else "Choose none",
            key=f"{key}_all",
            icon=":material/select_all:",
            on_click=_choose,
            args=(place, rows if len(chosen) < len(rows) else ()),
        )
        if not chosen:
            st.caption("Click pictures to choose them.", width="content")
            return
        st.markdown(f"**{len(chosen):,} chosen:**", width="content")
        out = all(row in pending.exclude or pack.split[row] == EXCLUDED for row in chosen)
        if not out:
            st.button(
                "Leave out",
                key=f"{key}_exclude",
                icon=":material/visibility_off:",
                on_click=_then_choose_none,
                args=(place, edits.exclude, info.name, chosen),
            )
        _draw_other_class(info, chosen, place, key)
        _draw_other_part(info, chosen, place, key)
        if chosen & pending.rows:
            st.button(
                "Take back",
                key=f"{key}_take_back",
                icon=":material/undo:",
                on_click=_then_choose_none,
                args=(place, edits.take_back, info.name, chosen),
            )


def _draw_other_class(info: DatasetInfo, chosen: frozenset[int], place: str, key: str) -> None:
    with st.popover("Other class", icon=":material/label:"):
        wanted = st.selectbox(
            "Class", [*info.class_names, NEW_CLASS], key=f"{key}_class", width=240
        )
        if wanted == NEW_CLASS:
            wanted = st.text_input("Its name", key=f"{key}_new_class", max_chars=100)
        if wanted and wanted.strip():
            st.button(
                f"Make {'it' if len(chosen) == 1 else f'all {len(chosen):,}'} {plain(wanted)}",
                key=f"{key}_relabel",
                type="primary",
                on_click=_then_choose_none,
                args=(place, edits.relabel, info.name, chosen, wanted),
            )


def _draw_other_part(info: DatasetInfo, chosen: frozenset[int], place: str, key: str) -> None:
    with st.popover("Other part", icon=":material/drive_file_move:"):
        st.caption("Pictures of one group always move together.")
        for split, title in SPLIT_WORDS.items():
            st.button(
                f"To {title}",
                key=f"{key}_to_{split}",
                width="stretch",
                on_click=_then_choose_none,
                args=(place, edits.move, info.name, chosen, split),
            )


def edit_words(pending: Edits, row: int) -> str:
    """Returns what is to become of a picture, such as "left out" or "→ dog"; "" for nothing."""
    if row in pending.exclude:
        return "left out"
    words = [f"→ {pending.relabel[row]}"] if row in pending.relabel else []
    if row in pending.move:
        words.append(f"to {SPLIT_WORDS[pending.move[row]]}")
    return ", ".join(words)


def _class_of(pack: Pack, row: int) -> str:
    label = int(pack.labels[row])
    return "of a class that is gone" if label == NO_CLASS else pack.meta.class_names[label]


def _choose(place: str, rows: Sequence[int]) -> None:
    st.session_state[place] = frozenset(rows)


def _then_choose_none(place: str, do: Callable[..., None], *arguments: object) -> None:
    """A button's callback: does it, and lets the pictures go."""
    do(*arguments)
    st.session_state[place] = frozenset()
