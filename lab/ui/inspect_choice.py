"""The Inspect page's upper part: which run, which of its weights, which image, which class.

A link sets all of it: ?run=...&checkpoint=...&image=<index in the pack>.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from lab.data import probes
from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.ui import film_pins
from lab.ui.background import computed
from lab.ui.dataset_view import enlarge
from lab.ui.results import Choice, checkpoint_title, predictions_of
from lab.ui.state import current_run, look_at
from lab.ui.words import plain, probability

if TYPE_CHECKING:  # they import torch, which a first page must not wait for
    from PIL.Image import Image

    from lab.data.pack import Pack
    from lab.data.splits import Splits
    from lab.evaluate.inspecting import Anatomy
    from lab.evaluate.pictures import Picture

NEIGHBOURS = 8
"""Thumbnails beside the pager."""

SOURCES = {
    "val": "Validation",
    "test": "Test",
    "pinned": "Pinned",
    "upload": "Your own",
    "link": "From a link",
}
WHICH = {
    "all": "All",
    "wrong": "Wrong ones, surest first",
    "right": "Right ones",
    "worst": "Worst first",
    "least_sure": "Least sure first",
}


@dataclass(frozen=True)
class Subject:
    """One run with one checkpoint, as the page looks at it."""

    run: RunRow
    folder: Path
    checkpoint: str
    key: str
    """Run, checkpoint and its identity: the beginning of every job's key."""
    anatomy: Anatomy
    pack: Pack | None
    """None when the data set is gone; uploads can be looked at even so."""
    splits: Splits | None


@dataclass(frozen=True)
class Chosen:
    """A picture in front of a network."""

    picture: Picture
    key: str
    """The subject's key and the picture."""
    probabilities: np.ndarray
    target: int
    """The class that is explained."""
    original: Image | None
    """The upload as it was, for networks of another image size."""


def choose_subject() -> Subject | None:
    """The run and the checkpoint; None, with a sentence, where there is none."""
    from lab.evaluate.inspecting import anatomy
    from lab.evaluate.opened import checkpoint_identity, open_data
    from lab.training.checkpoint import NetworkCard, checkpoint_epoch, checkpoints

    # A run has weights as soon as an epoch is done.
    rows = {row.id: row for row in store().runs() if row.best_epoch is not None}
    if not rows:
        st.info(
            "No trained network yet. Train one first: it can be looked into from the end of its "
            "first epoch on, also while it trains.",
            icon=":material/info:",
        )
        st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")
        return None
    current = current_run()
    if current is not None and current.id not in rows:
        st.info(f"Run “{plain(current.name)}” has no weights yet; here is another one.")
    wanted = current.id if current is not None and current.id in rows else next(iter(rows))
    if st.session_state.get("inspect_run") not in rows or (
        current is not None and current.id in rows and _changed("inspect_seen_run", current.id)
    ):
        st.session_state["inspect_run"] = wanted
    left, right = st.columns([2, 1])
    run_id = left.selectbox(
        "Run",
        list(rows),
        format_func=lambda i: f"{rows[i].name} · {rows[i].dataset} · {i[-4:]}",
        key="inspect_run",
        on_change=_take_run,
    )
    run, folder = rows[run_id], store().folder(run_id)
    names = checkpoints(folder)
    if not names:
        st.error(f"The weights of “{plain(run.name)}” are gone from {folder}.")
        return None
    linked = st.query_params.get("checkpoint")
    if linked in names and _changed("inspect_seen_checkpoint", f"{run_id}:{linked}"):
        st.session_state[f"inspect_checkpoint_{run_id}"] = linked
    with right:
        checkpoint = st.selectbox(
            "Checkpoint",
            names,
            index=names.index("last") if run.is_live and "last" in names else 0,
            format_func=lambda n: checkpoint_title(run, n, checkpoint_epoch(folder, n)),
            key=f"inspect_checkpoint_{run_id}",
            help="The network as it was after one epoch. “Best” had the best validation figure.",
        )
    key = f"{run_id}:{checkpoint}:{checkpoint_identity(folder, checkpoint)}"
    found = computed(
        f"anatomy:{key}", "Opening the network", lambda report, cancel: anatomy(folder, checkpoint)
    )
    if found is None:
        return None
    pack = splits = None
    try:
        with st.spinner("Opening the images"):
            pack, splits = open_data(NetworkCard.read(folder))
    except LabError as error:
        st.warning(f"{error} Pictures of your own can be looked at even so.")
    return Subject(run, folder, checkpoint, key, found, pack, splits)


def choose_picture(subject: Subject) -> Chosen | None:
    """The image, shown with the network's answer, and the class to explain."""
    from lab.evaluate.inspecting import probabilities

    with st.container(border=True):
        given = _picture(subject)
        if given is None:
            return None
        picture, original = given
        place = (
            str(picture.index)
            if picture.index is not None
            else hashlib.blake2b(picture.pixels.tobytes(), digest_size=8).hexdigest()
        )
        key = f"{subject.key}:{place}"
        answer = computed(
            f"answer:{key}",
            "Asking the network",
            lambda report, cancel: probabilities(subject.folder, subject.checkpoint, picture),
        )
        if answer is None:
            return None
        target = _draw_answer(subject, picture, answer)
    return Chosen(picture, key, answer, target, original)


def _picture(subject: Subject) -> tuple[Picture, Image | None] | None:
    from lab.evaluate.pictures import pack_picture

    sources = _sources(subject)
    linked = st.query_params.get("image")
    if linked and subject.pack is not None and linked.isdecimal():
        sources.append("link")
        if _changed("inspect_seen_image", f"{subject.run.id}:{linked}"):
            st.session_state["inspect_source"] = "link"
    if st.session_state.get("inspect_source") not in sources:
        st.session_state["inspect_source"] = sources[0]
    source = (
        st.segmented_control(
            "Images",
            sources,
            format_func=SOURCES.__getitem__,
            key="inspect_source",
            required=True,
        )
        or sources[0]
    )
    if source == "upload":
        return _upload(subject)
    assert subject.pack is not None
    if source == "link":
        return pack_picture(subject.pack, int(linked or 0)), None
    indices = _candidates(subject, source)
    if indices is None:
        return None
    if not len(indices):
        st.caption("No image here. Choose another class or another list.")
        return None
    position = _pager(subject, indices)
    return pack_picture(subject.pack, int(indices[position])), None


def _sources(subject: Subject) -> list[str]:
    sources = []
    if subject.splits is not None:
        sources = [part for part in ("val", "test") if len(getattr(subject.splits, part))]
        sources.append("pinned")
    return [*sources, "upload"]


def _candidates(subject: Subject, source: str) -> Sequence[int] | None:
    """Indices into the pack, in the order in which they are paged through."""
    assert subject.pack is not None
    assert subject.splits is not None
    if source == "pinned":
        try:
            return probes.chosen_probes(subject.pack, subject.splits)
        except LabError as error:
            st.caption(str(error))
            return ()
    names = subject.anatomy.class_names
    with st.container(horizontal=True):
        label = st.selectbox(
            "True class",
            [None, *range(len(names))],
            format_func=lambda k: "All" if k is None else names[k],
            key=f"inspect_class_{subject.run.id}",
            width=160,
        )
        which = st.selectbox(
            "Which",
            list(WHICH),
            format_func=WHICH.__getitem__,
            key="inspect_which",
            width=240,
        )
    indices = getattr(subject.splits, source)
    if which != "all":
        from lab.evaluate.report import ordered

        choice = Choice(subject.folder, subject.checkpoint, source, len(indices))
        predictions = predictions_of(subject.run, choice)
        if predictions is None:
            return None
        order = ordered(
            predictions,
            "worst"
            if which == "worst"
            else "confident_wrong"
            if which == "wrong"
            else "least_sure",
        )
        if which == "right":
            order = order[predictions.right[order]][::-1]  # the surest first
        indices = predictions.indices[order]
    if label is not None:
        indices = indices[subject.pack.labels[indices] == label]
    return list(map(int, indices))


def _pager(subject: Subject, indices: Sequence[int]) -> int:
    """Which of the candidates: previous and next, a number, and thumbnails to see where one is."""
    assert subject.pack is not None
    key = "inspect_position"
    if not 1 <= st.session_state.get(key, 1) <= len(indices):
        st.session_state[key] = 1
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.button(
            "Previous",
            key="inspect_previous",
            icon=":material/chevron_left:",
            on_click=_step,
            args=(-1, len(indices)),
        )
        number = st.number_input(
            f"Image (of {len(indices):,})",
            min_value=1,
            max_value=len(indices),
            key=key,
            width=150,
        )
        st.button(
            "Next",
            key="inspect_next",
            icon=":material/chevron_right:",
            on_click=_step,
            args=(1, len(indices)),
        )
    position = int(number) - 1
    first = max(0, min(position - NEIGHBOURS // 2, len(indices) - NEIGHBOURS))
    with st.container(horizontal=True, gap="xsmall"):
        for place in range(first, min(first + NEIGHBOURS, len(indices))):
            index = indices[place]
            name = subject.anatomy.class_names[int(subject.pack.labels[index])]
            st.image(
                enlarge(subject.pack.images[index]),
                width=56,
                caption=f"**{place + 1}**" if place == position else str(place + 1),
                alt=f"Image {place + 1}: {name}",
            )
    return position


def _step(by: int, count: int) -> None:
    position = st.session_state.get("inspect_position", 1) + by
    st.session_state["inspect_position"] = min(max(1, position), count)


def _upload(subject: Subject) -> tuple[Picture, Image] | None:
    from lab.data.decode import decode_image
    from lab.evaluate.pictures import upload_picture
    from lab.training.checkpoint import NetworkCard

    file = st.file_uploader(
        "A picture of your own",
        key="inspect_upload",
        help="JPEG, PNG or WebP. It stays in this session's memory and is not kept on disk.",
    )
    if file is None:
        st.caption("Drop in a JPEG, PNG or WebP picture. It is not kept on disk.")
        return None
    try:
        image = decode_image(file.getvalue(), name=file.name)
        return upload_picture(image, NetworkCard.read(subject.folder), name=file.name), image
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _draw_answer(subject: Subject, picture: Picture, answer: np.ndarray) -> int:
    """The picture, what the network says of it, and which class is to be explained."""
    names = subject.anatomy.class_names
    predicted = int(answer.argmax())
    image, words = st.columns([1, 2], vertical_alignment="center")
    image.image(
        enlarge(picture.pixels),
        width=224,
        alt=f"{picture.name} as the network gets it",
        caption=f"As the network gets it, {picture.pixels.shape[1]}×{picture.pixels.shape[0]}",
    )
    with words:
        if picture.label is None:
            st.markdown(f"**{plain(names[predicted])}**, says the network.")
        elif picture.label == predicted:
            st.markdown(f":material/check: **{plain(names[predicted])}**, and that is right.")
        else:
            st.markdown(
                f":material/close: **{plain(names[predicted])}**, but it is "
                f"**{plain(names[picture.label])}**."
            )
        for k in np.argsort(-answer, kind="stable")[:5].tolist():
            true = ", the true class" if k == picture.label else ""
            st.progress(
                float(answer[k]), text=f"{plain(names[k])} {probability(float(answer[k]))}{true}"
            )
        options = list(dict.fromkeys([predicted, picture.label, *range(len(names))]))
        target = st.selectbox(
            "Explain the score of",
            [k for k in options if k is not None],
            format_func=lambda k: names[k] + _role(k, predicted, picture.label),
            key=f"inspect_target_{subject.run.id}_{picture.index}_{predicted}",
            width=260,
            help="Maps and the trust test ask what speaks for this class.",
        )
        _pin_button(subject, picture)
    return int(target)


def _role(k: int, predicted: int, label: int | None) -> str:
    roles = ["predicted"] * (k == predicted) + ["true"] * (k == label)
    return f" ({' and '.join(roles)})" if roles else ""


def _pin_button(subject: Subject, picture: Picture) -> None:
    if picture.index is None:
        return
    try:
        pinned = probes.is_pinned(subject.run.dataset, picture.index)
    except LabError:
        return
    st.button(
        "Unpin" if pinned else "Pin",
        key="inspect_pin",
        icon=":material/keep_off:" if pinned else ":material/keep:",
        help="Pinned images are followed by the film strip of every run on this data set.",
        on_click=film_pins.unpin if pinned else film_pins.pin,
        args=(subject.run.dataset, picture.index),
    )


def _take_run() -> None:
    """A run chosen here is the session's run, so that other pages and the URL follow."""
    run_id = st.session_state["inspect_run"]
    st.session_state["inspect_seen_run"] = run_id
    for name in ("image", "checkpoint"):
        st.query_params.pop(name, None)
    look_at(run_id)


def _changed(place: str, value: str) -> bool:
    """Whether a link brought something new since this session last looked."""
    before = st.session_state.get(place)
    st.session_state[place] = value
    return before != value
