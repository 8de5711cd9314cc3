"""Assignments: the list of what was handed out, each with its link and QR code."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from lab.config import KNOBS
from lab.runs.assignments import (
    Assignment,
    assignments,
    close_assignment,
    delete_assignment,
)
from lab.runs.store import store
from lab.ui.visitor import draw_qr, link_for_all
from lab.ui.widgets.links import ASSIGNMENT, sharing_title
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain


def draw_assignments() -> None:
    """Draws all assignments for a teacher."""
    given = assignments(store().database)
    st.header("Assignments", anchor=False)
    st.caption(
        "Settings that everybody gets, with the few that may be changed. Make one on the Train "
        f"page: choose the settings, open “{sharing_title()}” below them and press “Hand out as an "
        "assignment”."
    )
    st.page_link("pages/train.py", label="Make one", icon=":material/add:")
    for each in given:
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium"):
            draw_qr(assignment_link(each), side=120)
            with st.container(gap="small"):
                closed = " :gray-badge[closed]" if each.closed else ""
                st.markdown(f"**{plain(each.title)}**{closed}")
                st.caption(f"Open: {', '.join(KNOBS[n].title for n in each.open) or 'nothing'}.")
                st.code(assignment_link(each), language=None, wrap_lines=True)
                with st.container(horizontal=True):
                    st.button(
                        "Open again" if each.closed else "Close",
                        key=f"board_close_{each.id}",
                        icon=":material/lock_open:" if each.closed else ":material/lock:",
                        on_click=ask,
                        args=(_set_closed, each.id, not each.closed),
                        help="A closed one takes no more runs; its board stays.",
                    )
                    with st.popover("Delete", icon=":material/delete:"):
                        st.markdown("The assignment goes; its runs stay.")
                        st.button(
                            "Delete it",
                            key=f"board_delete_{each.id}",
                            type="primary",
                            on_click=ask,
                            args=(delete_assignment, store().database, each.id),
                        )


def _set_closed(assignment_id: str, closed: bool) -> None:
    close_assignment(store().database, assignment_id, closed=closed)


def assignment_link(given: Assignment) -> str:
    """Returns the link to hand out; in a class it lets a pupil in, too."""
    return link_for_all(f"/train?{urlencode({ASSIGNMENT: given.id})}")
