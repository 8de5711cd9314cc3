"""The Inspect page's choices: which run, which of its weights, which image, which class.

A link sets all of it, ?run=...&checkpoint=...&image=<index in the pack>, and the URL follows what
is chosen, so that it can be passed on.
"""

from __future__ import annotations

import streamlit as st

from lab.errors import LabError
from lab.evaluate.opened import PublishedNetwork, open_data
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, checkpoints
from lab.ui.inspect.images import choose_image
from lab.ui.inspect.subject import Chosen, Subject, changed
from lab.ui.state import current_run, look_at
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import choose_checkpoint, draw_no_network, run_labels
from lab.ui.words import plain

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
    run_id = st.selectbox(
        "Network",
        list(rows),
        format_func=run_labels(list(rows.values())).__getitem__,
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
        st.warning(f"{plain(str(error))} Pictures of your own can be looked at even so.")
    return Subject(choice, network, layers, card.class_names, pack, splits)


def choose_picture(subject: Subject) -> Chosen | None:
    """The image, what the network answers, and the class to explain."""
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
    target = _choose_target(subject, int(answer.argmax()), picture.label)
    return Chosen(picture, place, answer, target, original)


def target_key(subject: Subject) -> str:
    return f"inspect_target_{subject.run.id}"


def _choose_target(subject: Subject, predicted: int, label: int | None) -> int:
    """The class to explain. The choice stays while one walks from image to image."""
    names = subject.class_names
    words = {PREDICTED: f"Its answer ({names[predicted]})"}
    if label is not None:
        words[TRUE] = f"The true class ({names[label]})"
    key = target_key(subject)
    options = [*words, *range(len(names))]
    if st.session_state.get(key, PREDICTED) not in options:
        st.session_state[key] = PREDICTED  # the true class of an upload is not known
    wanted = st.selectbox(
        "What speaks for",
        options,
        format_func=lambda k: words[k] if k in words else names[k],
        key=key,
        help="Maps and the trust test ask what speaks for this class.",
    )
    return int(
        {PREDICTED: predicted, TRUE: predicted if label is None else label}.get(wanted, wanted)
    )


def _take_run() -> None:
    """A run chosen here is the session's run, so that other pages and the URL follow."""
    run_id = st.session_state["inspect_run"]
    st.session_state["inspect_seen_run"] = run_id
    for name in ("image", "checkpoint"):
        st.query_params.pop(name, None)
    look_at(run_id)
