"""The teacher's part of a common data set that the class shoots: open, hand out, close, make it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from lab.data.class_needs import LEAST_GROUPS, missing
from lab.data.photo_collections import (
    LONGEST_TITLE,
    Photo,
    PhotoCollection,
    Together,
    class_sizes,
    close_collection,
    collections,
    delete_collection,
    open_collection,
    photos,
    write_folder,
)
from lab.errors import LabError
from lab.people import current_person, sharing
from lab.progress import Report
from lab.ui.data.add import MakeFolder, draw_name, submit
from lab.ui.visitor import draw_qr, link_for_all
from lab.ui.widgets.links import COLLECTION
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain

TOGETHER: dict[Together, str] = {
    "burst": "Bursts and near-copies",
    "person": "All pictures of one person, class by class",
}


def draw_phones() -> None:
    """Draws all collections for a teacher; nothing in a lab that no phone reaches."""
    if not current_person().is_admin:
        return
    given = collections()
    if not sharing() and not given:
        return
    with st.expander(
        "From the phones of the class", icon=":material/photo_camera:", expanded=bool(given)
    ):
        _draw_new()
        for each in given:
            with st.container(border=True):
                _draw_collection(each)


def _draw_new() -> None:
    st.caption(
        "Everybody opens the link or scans the code, chooses a class and takes pictures. You see "
        "them all, leave out what does not belong, and make the data set."
    )
    with (
        st.form("phones_new", border=False, clear_on_submit=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        title = st.text_input(
            "Name", key="phones_title", placeholder="Our leaves", max_chars=LONGEST_TITLE
        )
        classes = st.text_input(
            "Classes", key="phones_classes", placeholder="maple, oak, birch", max_chars=2000
        )
        pressed = st.form_submit_button("Open a collection", icon=":material/add:")
    if not pressed:
        return
    try:
        open_collection(title, classes.split(","))
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        st.rerun()


def _draw_collection(given: PhotoCollection) -> None:
    page = {COLLECTION: given.id}
    link = link_for_all(f"/collect?{urlencode(page)}")
    taken = photos(given)
    sizes = class_sizes(given, taken)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if not given.closed:
            draw_qr(link, side=140)
        with st.container(gap="small"):
            badge = " :gray-badge[closed]" if given.closed else ""
            st.markdown(f"**{plain(given.title)}**{badge}")
            st.caption(" · ".join(f"{plain(name)} {n:,}" for name, (n, _) in sizes.items()))
            if not given.closed:
                st.code(link, language=None, wrap_lines=True)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.page_link(
                    "pages/collect.py",
                    label="See the pictures",
                    icon=":material/photo_library:",
                    query_params=page,
                )
                st.button(
                    "Open again" if given.closed else "Close",
                    key=f"phones_close_{given.id}",
                    icon=":material/lock_open:" if given.closed else ":material/lock:",
                    on_click=ask,
                    args=(_set_closed, given.id, not given.closed),
                    help="A closed one takes no more pictures.",
                )
                with st.popover("Delete", icon=":material/delete:"):
                    st.markdown("Its pictures go for good; a data set made of them stays.")
                    st.button(
                        "Delete it",
                        key=f"phones_delete_{given.id}",
                        type="primary",
                        on_click=ask,
                        args=(delete_collection, given.id),
                    )
    if lacking := missing(sizes):
        st.caption(f"{plain(lacking)} Pictures of one person within seconds are one burst.")
    else:
        _draw_make(given, _few_people(given, taken))


def _few_people(given: PhotoCollection, taken: Sequence[Photo]) -> list[str]:
    """Returns the classes that too few people photographed to keep each one's pictures together."""
    pairs = {(photo.class_name, photo.person) for photo in taken if not photo.left_out}
    people = Counter(class_name for class_name, _ in pairs)
    return [name for name in given.classes if people[name] < LEAST_GROUPS]


def _draw_make(given: PhotoCollection, few_people: Sequence[str]) -> None:
    key = f"phones_{given.id}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = draw_name(f"{key}_name", suggestion=given.title)
        together: Together = st.selectbox(
            "On one side of a split",
            list(TOGETHER),
            format_func=TOGETHER.__getitem__,
            key=f"{key}_together",
            help="What is nearly the same must not be trained on and tested with. With all "
            "pictures of one person together, the test asks about people that the network has "
            "not seen in that class; each class then needs three people or more.",
        )
        impossible = bool(few_people) and together == "person"
        pressed = st.button(
            "Close and make the data set",
            key=f"{key}_make",
            icon=":material/check:",
            type="primary",
            disabled=impossible or not title,
        )
    if impossible:
        st.caption(
            f"Fewer than {LEAST_GROUPS} people photographed {plain(', '.join(few_people))}: keep "
            "bursts together instead, or have more people take pictures."
        )
        return

    def make(report: Report) -> Path:
        return write_folder(given, together, report)

    def source() -> tuple[MakeFolder, bool]:
        close_collection(given.id)
        return make, True

    if title:
        submit(title, source, key=key, pressed=pressed, origin="Photographs by the class")


def _set_closed(collection_id: str, closed: bool) -> None:
    close_collection(collection_id, closed=closed)
