"""Which image the Inspect page looks at: from a list of the data set, pinned, linked, or one's own.

What is chosen lives in the widgets, so it stays while the person changes run, checkpoint or tab.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL.Image import Image

from lab.data import probes
from lab.data.decode import FORMAT_WORDS, ValueRange, decode
from lab.errors import LabError
from lab.evaluate.pictures import Picture, pack_picture, upload_picture
from lab.evaluate.report import Order, ordered
from lab.explain.overlay import square
from lab.runs.class_rules import results_hidden
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.inspect.subject import Subject, changed
from lab.ui.widgets.links import INSPECT_SOURCE, INSPECT_UPLOAD, Upload
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.widgets.predictions import predictions_of
from lab.ui.widgets.uploaded import release_files
from lab.ui.words import plain

NEIGHBOURS = 8
"""Thumbnails above the pager."""
THUMBNAIL = 58
"""Their side on the page, in pixels."""

SOURCES = {
    "val": "Validation",
    "test": "Test",
    "pinned": "Pinned",
    "upload": "Your own",
    "link": "From a link",
}
WHICH = {
    "all": "All images",
    "wrong": "Wrong, surest first",
    "right": "Right, surest first",
    "worst": "Highest loss first",
    "least_sure": "Least sure first",
}
_ORDERS: dict[str, Order] = {
    "wrong": "confident_wrong",
    "right": "least_sure",  # and then the other way round
    "worst": "worst",
    "least_sure": "least_sure",
}
WHICH_KEY = "inspect_which"
ALL = -1
_POSITION = "inspect_position"
_FILE = "inspect_file"
"""In the session: the uploader's file of the page's last run."""
_LINKED, _SEEN = "inspect_linked", "inspect_seen_image"


def choose_image(subject: Subject) -> tuple[Picture, Image | None] | None:
    """The picture for the subject's network, and of an upload the original; None, with a sentence,
    while there is none."""
    source, linked = _choose_source(subject)
    if source == "upload":
        st.query_params.pop("image", None)
        return _upload(subject)
    assert subject.pack is not None
    if source == "link":
        _show_in_url(subject, linked)
        return pack_picture(subject.pack, linked), None
    indices = _candidates(subject, source)
    if indices is None:
        return None
    if not len(indices):
        st.query_params.pop("image", None)
        _draw_empty(subject, source)
        return None
    index = int(indices[_pager(subject, indices)])
    _show_in_url(subject, index)
    return pack_picture(subject.pack, index), None


def _draw_empty(subject: Subject, source: str) -> None:
    if source == "pinned":
        st.caption("No image here.")
        return
    mistakes = st.session_state.get(WHICH_KEY) == "wrong"
    st.info("No wrong answer among these images." if mistakes else "No image here.")
    st.button("Show all images", key="inspect_show_all", on_click=_show_all, args=(subject,))


def _show_all(subject: Subject) -> None:
    st.session_state[WHICH_KEY] = "all"
    st.session_state[_class_key(subject)] = ALL


def _class_key(subject: Subject) -> str:
    return f"inspect_class_{subject.run.id}"


def _show_in_url(subject: Subject, index: int) -> None:
    """The URL names what is looked at, so that it can be passed on; for this session it is no
    news."""
    st.session_state[_SEEN] = f"{subject.run.id}:{index}"
    st.query_params["image"] = str(index)


def _choose_source(subject: Subject) -> tuple[str, int]:
    """The list to choose from, and the image that a link brought (0 where none did)."""
    sources = []
    if subject.splits is not None:
        parts = ("val",) if results_hidden(store().database) else ("val", "test")
        sources = [part for part in parts if len(getattr(subject.splits, part))]
        sources.append("pinned")
    sources.append("upload")
    default: str | None = sources[0]
    linked = st.query_params.get("image", "")
    known = linked.isdecimal() and subject.pack is not None
    if known and changed(_SEEN, f"{subject.run.id}:{linked}"):
        st.session_state[_LINKED] = (subject.run.id, int(linked))
        st.session_state[INSPECT_SOURCE] = "link"
        default = None  # Streamlit wants one or the other
    elif (
        not linked
        and st.query_params.get(WHICH_KEY)
        and st.session_state.get(INSPECT_SOURCE) == "link"
    ):  # a link to a list, such as the mistakes, after one to an image
        st.session_state[INSPECT_SOURCE] = sources[0]
    of, index = st.session_state.get(_LINKED, ("", 0))
    if of == subject.run.id and subject.pack is not None:
        sources.append("link")
    if st.session_state.get(INSPECT_SOURCE, sources[0]) not in sources:
        del st.session_state[INSPECT_SOURCE]
    source = st.segmented_control(
        "Images",
        sources,
        default=default if INSPECT_SOURCE not in st.session_state else None,
        format_func=SOURCES.__getitem__,
        key=INSPECT_SOURCE,
        required=True,
        on_change=_begin,
    )
    return source or sources[0], index


def _candidates(subject: Subject, source: str) -> Sequence[int] | None:
    """Indices into the pack, in the order in which they are paged through; None while that order
    is not known yet."""
    assert subject.pack is not None
    assert subject.splits is not None
    if source == "pinned":
        try:
            return probes.chosen_probes(subject.pack, subject.splits)
        except LabError as error:
            st.caption(plain(str(error)))
            return ()
    names = subject.class_names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox(
            "True class",
            [ALL, *range(len(names))],
            format_func=lambda k: "All classes" if k == ALL else names[k],
            key=_class_key(subject),
            width=125,
            label_visibility="collapsed",
            on_change=_begin,
        )
        which = st.selectbox(
            "Which of them",
            list(WHICH),
            format_func=WHICH.__getitem__,
            key=WHICH_KEY,
            bind="query-params",  # other pages link to the mistakes
            width="stretch",
            label_visibility="collapsed",
            on_change=_begin,
        )
    indices = getattr(subject.splits, source)
    if which != "all":
        predictions = predictions_of(subject.choice, source)
        if predictions is None:
            return None
        order = ordered(predictions, _ORDERS[which])
        if which == "right":
            order = order[predictions.right[order]][::-1]
        indices = predictions.indices[order]
    if label != ALL:
        indices = indices[subject.pack.labels[indices] == label]
    return list(map(int, indices))


def _pager(subject: Subject, indices: Sequence[int]) -> int:
    """Which of the candidates, counted from 0: previous and next, a number, or a thumbnail."""
    if not 1 <= st.session_state.get(_POSITION, 1) <= len(indices):
        st.session_state[_POSITION] = 1
    slot = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.button(
            "Previous",
            key="inspect_previous",
            on_click=_step,
            args=(-1, len(indices)),
        )
        st.button("Next", key="inspect_next", on_click=_step, args=(1, len(indices)))
        number = st.number_input(
            f"Image (of {len(indices):,})",
            min_value=1,
            max_value=len(indices),
            key=_POSITION,
            label_visibility="collapsed",
            width=100,
        )
        st.caption(f"of {len(indices):,}", width="content")
    position = int(number) - 1
    with slot:
        _draw_neighbours(subject, indices, position)
    return position


def _draw_neighbours(subject: Subject, indices: Sequence[int], position: int) -> None:
    """The images around the one that is looked at; a click goes there."""
    assert subject.pack is not None
    first = max(0, min(position - NEIGHBOURS // 2, len(indices) - NEIGHBOURS))
    shown = indices[first : first + NEIGHBOURS]
    pictures = []
    for place, index in enumerate(shown, first):
        name = subject.class_names[int(subject.pack.labels[index])]
        pixels = np.asarray(subject.pack.images[index])
        if pixels.shape[0] > 2 * THUMBNAIL:
            pixels = square(pixels, 2 * THUMBNAIL)
        pictures.append(
            PictureButton(pixels, f"Image {place + 1}: {name}", chosen=place == position)
        )
    draw_picture_buttons(
        pictures,
        key="inspect_thumbnails",
        side=THUMBNAIL,
        label="Images to choose from",
        on_choose=lambda at: _go(first + at + 1),
    )


def _begin() -> None:
    """Another list begins with its first image."""
    _go(1)


def _go(number: int) -> None:
    st.session_state[_POSITION] = number


def _step(by: int, count: int) -> None:
    _go(min(max(1, st.session_state.get(_POSITION, 1) + by), count))


def _upload(subject: Subject) -> tuple[Picture, Image] | None:

    file = st.file_uploader(
        "A picture of your own",
        key="inspect_upload",
        help=f"{FORMAT_WORDS}. It stays in this session's memory and is not kept on disk.",
    )
    file_id = file.file_id if file is not None else ""
    if (before := st.session_state.get(_FILE, "")) != file_id:
        release_files([before])
        st.session_state[_FILE] = file_id
    upload: Upload | None = st.session_state.get(INSPECT_UPLOAD)
    if file is not None:  # newer than what another page gave
        st.session_state.pop(INSPECT_UPLOAD, None)
        upload = Upload(file.file_id, file.name, file.getvalue())
    elif upload is not None:
        st.caption(f"“{plain(upload.name)}”, from the Classify page.")
    else:
        st.caption(f"Drop in a picture: {FORMAT_WORDS}. It is not kept on disk.")
        return None
    try:
        card = CheckpointMetadata.read(subject.folder)
        image = _decoded(upload, card.value_range)
        return upload_picture(image, card, name=upload.name), image
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _decoded(upload: Upload, value_range: ValueRange | None) -> Image:
    """Decoded once an upload, not at every rerun: a large photograph takes half a second."""
    key = (upload.id, value_range)
    decoded: tuple[tuple[str, ValueRange | None], Image] | None = st.session_state.get(
        "inspect_decoded"
    )
    if decoded is None or decoded[0] != key:
        with st.spinner("Reading the picture"):
            image = decode(upload.data, name=upload.name, value_range=value_range).image
        if upload.crop is not None:
            image = image.crop(upload.crop.box(*image.size))
        decoded = (key, image)
        st.session_state["inspect_decoded"] = decoded
    return decoded[1]
