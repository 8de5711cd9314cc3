"""The Inspect page's upper part: which run, which of its weights, which image, which class.

A link sets all of it, ?run=...&checkpoint=...&image=<index in the pack>, and the URL follows what
is chosen, so that it can be passed on.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab.data import probes
from lab.errors import LabError
from lab.evaluate.opened import PublishedNetwork, open_data
from lab.evaluate.pictures import Picture
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, checkpoints
from lab.ui.inspect.images import choose_image
from lab.ui.inspect.subject import Chosen, Subject, changed
from lab.ui.state import current_run, look_at
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import choose_checkpoint, draw_no_network, run_label
from lab.ui.widgets.pictures import enlarge
from lab.ui.widgets.pin_button import draw_pin_button
from lab.ui.words import plain
from lab.words import probability

PREDICTED, TRUE = -1, -2
"""Classes to explain that have no number of their own."""


def choose_subject() -> Subject | None:
    """The run and the checkpoint; None, with a sentence, where there is none."""
    rows = {row.id: row for row in store().runs() if row.has_weights}
    if not rows:
        draw_no_network()
        return None
    current = current_run()
    if current is not None and current.id not in rows:
        st.info(f"Run “{plain(current.name)}” has no weights yet; here is another one.")
    wanted = current.id if current is not None and current.id in rows else next(iter(rows))
    if st.session_state.get("inspect_run") not in rows or (
        current is not None and current.id in rows and changed("inspect_seen_run", current.id)
    ):
        st.session_state["inspect_run"] = wanted
    left, right = st.columns([2, 1])
    run_id = left.selectbox(
        "Run",
        list(rows),
        format_func=lambda i: run_label(rows[i]),
        key="inspect_run",
        on_change=_take_run,
    )
    run, folder = rows[run_id], store().folder(run_id)
    names = checkpoints(folder)
    if not names:
        st.error(f"The weights of “{plain(run.name)}” are gone from {folder}.")
        return None
    linked = st.query_params.get("checkpoint")
    if linked in names and changed("inspect_seen_checkpoint", f"{run_id}:{linked}"):
        st.session_state[f"inspect_checkpoint_{run_id}"] = linked
    with right:
        choice = choose_checkpoint(run, names, key="inspect_checkpoint")
    checkpoint = choice.checkpoint
    st.session_state["inspect_seen_checkpoint"] = f"{run_id}:{checkpoint}"
    st.query_params["checkpoint"] = checkpoint
    network = PublishedNetwork.newest(folder, checkpoint)
    layers = computed(
        f"layers:{network}",
        "Opening the network",
        lambda report, cancel: network.ask(lambda opened: opened.layers),
    )
    if layers is None:
        return None
    card = CheckpointMetadata.read(folder)
    pack = splits = None
    try:
        with st.spinner("Opening the images"):
            pack, splits = open_data(card)
    except LabError as error:
        st.warning(f"{error} Pictures of your own can be looked at even so.")
    return Subject(choice, network, layers, card.class_names, pack, splits)


def choose_picture(subject: Subject) -> Chosen | None:
    """The image, shown with the network's answer, and the class to explain."""
    with st.container(border=True):
        given = choose_image(subject)
        if given is None:
            return None
        picture, original = given
        place = picture.key
        answer = subject.ask(
            f"answer:{place}", "Asking the network", lambda opened: opened.probabilities(picture)
        )
        if answer is None:
            return None
        target = _draw_answer(subject, picture, answer)
    return Chosen(picture, place, answer, target, original)


def _draw_answer(subject: Subject, picture: Picture, answer: np.ndarray) -> int:
    """The picture, what the network says of it, and which class is to be explained."""
    names = subject.class_names
    predicted = int(answer.argmax())
    image, words = st.columns([1, 2])
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
                min(1.0, float(answer[k])),
                text=f"{plain(names[k])} {probability(float(answer[k]))}{true}",
            )
        target = _choose_target(subject, predicted, picture.label)
        _pin_button(subject, picture)
    return target


def _choose_target(subject: Subject, predicted: int, label: int | None) -> int:
    """The class to explain. The choice stays while one walks from image to image."""
    names = subject.class_names
    words = {PREDICTED: "The predicted class", TRUE: "The true class"}
    wanted = st.selectbox(
        "Explain the score of",
        [PREDICTED, TRUE, *range(len(names))],
        format_func=lambda k: words[k] if k in words else names[k],
        key=f"inspect_target_{subject.run.id}",
        width=260,
        help="Maps and the trust test ask what speaks for this class.",
    )
    if wanted == TRUE and label is None:
        st.caption("The true class of your own picture is not known; explained is the prediction.")
    target = {PREDICTED: predicted, TRUE: predicted if label is None else label}.get(wanted, wanted)
    if wanted in words:
        st.caption(f"Explained is {plain(names[target])}.")
    return int(target)


def _pin_button(subject: Subject, picture: Picture) -> None:
    if picture.index is None:
        return
    try:
        pinned = probes.is_pinned(subject.run.dataset, picture.index)
    except LabError:
        return
    draw_pin_button(subject.run.dataset, picture.index, key="inspect_pin", pinned=pinned)


def _take_run() -> None:
    """A run chosen here is the session's run, so that other pages and the URL follow."""
    run_id = st.session_state["inspect_run"]
    st.session_state["inspect_seen_run"] = run_id
    for name in ("image", "checkpoint"):
        st.query_params.pop(name, None)
    look_at(run_id)
