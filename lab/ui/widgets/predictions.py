"""What checkpoints answer to a part of the images: from the disk, else from a background job."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from lab import jobs
from lab.evaluate.opened import checkpoint_identity
from lab.evaluate.predictions import Predictions, predict, saved_predictions
from lab.progress import Cancel, Report
from lab.training.checkpoint import NetworkCard
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import PART_WORDS, CheckpointChoice, part_counts
from lab.ui.words import plain

UNASKED_PIXELS = 20_000_000
"""Up to so many pixels in all, a second or a few of work, a part is predicted without a button: the
7,172 test images of 28 x 28 are 5.6 million, 2,000 photographs of 224 x 224 are 100 million."""


def predictions_of(choice: CheckpointChoice, part: str) -> Predictions | None:
    """The answers to all images of `part` ("val" or "test"); None while a button or a job's
    progress is on the page instead.

    A run in training writes a new checkpoint with each epoch. Its saved predictions are shown with
    their epoch until the person asks for newer ones; following by itself would never end.
    """
    run, folder, name = choice.run, choice.folder, choice.checkpoint
    images = part_counts(run)[part]
    identity = checkpoint_identity(folder, name)
    found = saved_predictions(folder, name, part, outdated=run.is_live)
    key = f"predict:{run.id}:{name}:{'live' if run.is_live else identity}:{part}"
    title = f"Predicting {images:,} {PART_WORDS[part]} images"

    def work(report: Report, cancel: Cancel) -> int:
        return len(predict(folder, name, part, progress=report, cancel=cancel))

    if found is not None:
        if found.identity != identity:
            _offer_newer(key, title, work, found.epoch)
        return found
    if jobs.latest(key) is None and images * _image_pixels(choice) > UNASKED_PIXELS:
        st.caption(
            f"The {images:,} {PART_WORDS[part]} images have not been shown to this checkpoint yet. "
            "That is done once, in the background, and then kept."
        )
        if st.button("Predict them", key="results_predict", icon=":material/play_arrow:"):
            jobs.start("predict", title, work, key=key)
            st.rerun()
        return None
    if computed(key, title, work, kind="predict") is None:
        return None
    found = saved_predictions(folder, name, part, outdated=run.is_live)
    if found is None:  # somebody tidied the run's folder after the job had ended
        st.warning("The saved predictions are gone or of an older checkpoint.")
        if st.button("Predict again", key="results_again", icon=":material/replay:"):
            jobs.start("predict", title, work, key=key)
            st.rerun()
    return found


def predictions_of_all(
    choices: Mapping[str, CheckpointChoice], part: str, *, place: str
) -> list[Predictions] | None:
    """The answers of several runs, by letter and in that order; None, with a button or a progress
    bar, while some have not answered yet.

    `place` begins the button's key: "<page>_<where>".
    """

    def saved() -> dict[str, Predictions | None]:
        # A run in training has newer weights after each epoch; its last answers will do.
        return {
            letter: saved_predictions(c.folder, c.checkpoint, part, outdated=c.run.is_live)
            for letter, c in choices.items()
        }

    found = saved()
    missing = {letter: choices[letter] for letter, answers in found.items() if answers is None}
    if missing:
        identities = [
            "live" if c.run.is_live else checkpoint_identity(c.folder, c.checkpoint)
            for c in missing.values()
        ]
        what = [(c.run.id, c.checkpoint) for c in missing.values()]
        key = f"predict-all:{part}:{list(zip(what, identities, strict=True))}"
        who = ", ".join(f"{letter} ({plain(c.run.name)})" for letter, c in missing.items())
        if jobs.latest(key) is None:
            images = part_counts(next(iter(missing.values())).run)[part]
            slot = st.empty()  # what is done at once leaves no button behind
            with slot.container():
                st.caption(
                    f"Not asked yet about the {images:,} {PART_WORDS[part]} images: {who}. That is "
                    "done once, in the background, and then kept."
                )
                if not st.button("Ask them", key=f"{place}_ask", icon=":material/play_arrow:"):
                    return None
            slot.empty()

        def work(report: Report, cancel: Cancel) -> int:
            return sum(
                len(predict(c.folder, c.checkpoint, part, progress=report, cancel=cancel))
                for c in missing.values()
            )

        if computed(key, f"Asking {who}", work, kind="predict") is None:
            return None
        found = saved()
    predictions = [answers for answers in found.values() if answers is not None]
    if len(predictions) < len(choices):  # a folder was tidied, or weights written since
        st.warning("Some answers are no longer there. Open the run's results to make them again.")
        return None
    return predictions


def _offer_newer(key: str, title: str, work: jobs.Work, epoch: int | None) -> None:
    job = jobs.latest(key)
    if job is not None and (job.active or job.state == "failed"):
        computed(key, title, work, kind="predict")
        return
    of = "an earlier epoch" if epoch is None else f"epoch {epoch}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Below are the results after {of}; the run has newer weights by now.")
        if st.button("Predict with the newer ones", key="results_newer", icon=":material/update:"):
            jobs.start("predict", title, work, key=key)
            st.rerun()


def _image_pixels(choice: CheckpointChoice) -> int:
    return NetworkCard.read(choice.folder).preprocess.image_size ** 2
