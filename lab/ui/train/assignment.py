"""An assignment on the Train page: its text, the knobs that are open, the others as a line.

The link names it (?assignment=ID); the session keeps it until the person leaves it.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.models.architecture import ARCHITECTURES, used_knobs
from lab.people import current_person
from lab.runs.assignments import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    Assignment,
    assignment,
    create_assignment,
)
from lab.runs.store import store
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.knob_form import draw_knob, form_values
from lab.ui.widgets.links import ASSIGNMENT
from lab.ui.words import page_words, plain

_FILLED = "train_assignment_filled"
"""The session's key of the assignment whose settings the form was filled with."""
_NEVER_OPEN = ("dataset_version", "start_from", "start_epoch", "start_with")
_USUALLY_OPEN = ("epochs", "learning_rate", "batch_size")


def current_assignment() -> Assignment | None:
    """Returns the assignment that the URL or else the session names, after filling the form with
    its settings once; None, with a sentence, for one that is not there."""
    wanted = st.query_params.get(ASSIGNMENT) or st.session_state.get(ASSIGNMENT)
    if not wanted:
        return None
    try:
        given = assignment(store().database, wanted)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/link_off:")
        _forget()
        return None
    st.query_params[ASSIGNMENT] = st.session_state[ASSIGNMENT] = given.id
    if st.session_state.get(_FILLED) != given.id:
        st.session_state[_FILLED] = given.id
        look_at(None)
        fill_form(given.config, touched=frozenset(KNOBS))
    return given


def _forget() -> None:
    st.query_params.pop(ASSIGNMENT, None)
    st.session_state.pop(ASSIGNMENT, None)
    st.session_state.pop(_FILLED, None)


def draw_text(given: Assignment) -> None:
    """Draws what is to be done, and the way out."""
    if given.closed:
        st.warning("This assignment is closed; it takes no more runs.", icon=":material/lock:")
    if given.text:
        st.markdown("  \n".join(map(plain, given.text.splitlines())))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "pages/board.py",
            label="Board",
            icon=":material/leaderboard:",
            query_params={"subject": given.id},
        )
        st.button(
            "Leave the assignment",
            key="train_leave_assignment",
            icon=":material/logout:",
            type="tertiary",
            on_click=_forget,
            help="Shows all settings again. The link leads back.",
        )


def draw_open_knobs(given: Assignment) -> None:
    """Draws the open knobs that have an effect, and what is fixed."""
    values = {**form_values(), **_fixed(given)}
    used = set(used_knobs(values))
    titles = {
        "dataset": {info.name: info.title for info in catalog.list_datasets() if info.usable},
        "architecture": {name: ARCHITECTURES.get(name).title for name in ARCHITECTURES.names()},
    }
    for name in given.open:
        words = titles.get(name, {})
        if name in used:
            draw_knob(name, options=words or None, label=partial(_choice, name, words))
    st.caption(f"Fixed: {plain(', '.join(given.fixed()))}.")


def _choice(name: str, titles: dict[str, str], value: str) -> str:
    """Returns a choice of a knob in words."""
    return titles.get(value) or KNOBS[name].text(value)


def _fixed(given: Assignment) -> dict[str, object]:
    values = given.config.model_dump()
    return {name: value for name, value in values.items() if name not in given.open}


def draw_hand_out(config: RunConfig) -> None:
    """Draws the button that makes an assignment of these settings, for a teacher."""
    if not current_person().is_admin:
        return
    if st.button(
        "Hand out as an assignment",
        key="train_hand_out_open",
        icon=":material/assignment:",
        width="stretch",
    ):
        _hand_out(config)


@st.dialog("Hand out as an assignment")  # a popover at the foot of the form ends below the window
def _hand_out(config: RunConfig) -> None:
    title = st.text_input("Title", key="train_hand_out_title", max_chars=LONGEST_TITLE)
    text = st.text_area("What to do", key="train_hand_out_text", max_chars=LONGEST_TEXT)
    open_ = st.multiselect(
        "Settings that may be moved",
        [name for name in KNOBS if name not in _NEVER_OPEN],
        default=_USUALLY_OPEN,
        format_func=lambda name: KNOBS[name].title,
        key="train_hand_out_knobs",
        help="All others are fixed as they are now.",
    )
    if st.button("Hand out", key="train_hand_out", type="primary", icon=":material/send:"):
        try:
            made = create_assignment(
                store().database, title=title, text=text, config=config, open=open_
            )
        except LabError as error:
            st.error(plain(page_words(str(error))), icon=":material/error:")
        else:
            st.switch_page("pages/board.py", query_params={"subject": made.id})
