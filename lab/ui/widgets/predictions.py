"""Predictions of checkpoints on a part of the images: saved ones, else from a background job."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from lab import jobs
from lab.evaluate.opened import checkpoint_identity
from lab.evaluate.predictions import Predictions, predict, saved_predictions
from lab.progress import Cancel, Report
from lab.runs.class_rules import results_hidden
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import PART_WORDS, CheckpointChoice, part_counts
from lab.ui.words import plain

AUTOMATIC_PIXELS = 20_000_000
"""A part of up to so many pixels, a few seconds of work, is predicted without a button: the 7,172
test images of 28 x 28 are 5.6 million, 2,000 photographs of 224 x 224 are 100 million."""


def predictions_of(choice: CheckpointChoice, part: str) -> Predictions | None:
    """Returns the predictions for `part` ("val" or "test"); None while the page shows a button or
    a job's progress instead.

    A run in training writes a new checkpoint with each epoch. Its saved predictions are shown with
    their epoch until the person asks for newer ones; following by itself would never end.
    """
    if part == "test" and results_hidden(store().database):
        st.info("Test results are not shown yet.", icon=":material/visibility_off:")
        return None
    run, folder, name = choice.run, choice.folder, choice.checkpoint
    images = part_counts(run)[part]
    identity = checkpoint_identity(folder, name)
    predictions = saved_predictions(folder, name, part, outdated=run.is_live)
    key = f"predict:{run.id}:{name}:{'live' if run.is_live else identity}:{part}"
    title = f"Predicting {images:,} {PART_WORDS[part]} images"

    def work(report: Report, cancel: Cancel) -> int:
        return len(predict(folder, name, part, progress=report, cancel=cancel))

    if predictions is not None:
        if predictions.identity != identity:
            _offer_newer(key, title, work, predictions.epoch)
        return predictions
    # Who opens the results of a finished run wants its test, and validation images choose
    # thresholds for it; all else may be a passing look.
    wanted = run.status == "completed" and name == "best"
    large = images * _image_pixels(choice) > AUTOMATIC_PIXELS
    if jobs.latest(key) is None and large and not wanted:
        st.caption(
            f"The answers of this checkpoint to the {images:,} {PART_WORDS[part]} images are not "
            "kept yet. They are made once, in the background."
        )
        if st.button("Predict them", key="results_predict", icon=":material/play_arrow:"):
            jobs.start("predict", title, work, key=key)
            st.rerun()
        return None
    if computed(key, title, work, kind="predict") is None:
        return None
    predictions = saved_predictions(folder, name, part, outdated=run.is_live)
    if predictions is None:  # deleted after the job had ended
        st.warning("The saved predictions are gone or of an older checkpoint.")
        if st.button("Predict again", key="results_again", icon=":material/replay:"):
            jobs.start("predict", title, work, key=key)
            st.rerun()
    return predictions


def predictions_of_all(
    choices: Mapping[str, CheckpointChoice], part: str, *, place: str
) -> list[Predictions] | None:
    """Returns the predictions of several runs in the order of `choices`; None while the page shows
    a button or a job's progress instead.

    `place` begins the button's key: "<page>_<where>".
    """

    def read() -> dict[str, Predictions | None]:
        # A run in training has newer weights after each epoch; its last predictions will do.
        return {
            letter: saved_predictions(c.folder, c.checkpoint, part, outdated=c.run.is_live)
            for letter, c in choices.items()
        }

    by_letter = read()
    missing = {letter: choices[letter] for letter, saved in by_letter.items() if saved is None}
    if missing:
        identities = [
            "live" if c.run.is_live else checkpoint_identity(c.folder, c.checkpoint)
            for c in missing.values()
        ]
        checkpoints = [(c.run.id, c.checkpoint) for c in missing.values()]
        key = f"predict-all:{part}:{list(zip(checkpoints, identities, strict=True))}"
        names = ", ".join(f"{letter} ({plain(c.run.name)})" for letter, c in missing.items())
        if jobs.latest(key) is None:
            images = part_counts(next(iter(missing.values())).run)[part]
            slot = st.empty()  # a job that ends at once leaves no button behind
            with slot.container():
                st.caption(
                    f"Not asked yet about the {images:,} {PART_WORDS[part]} images: {names}. That "
                    "is done once, in the background, and then kept."
                )
                if not st.button("Ask them", key=f"{place}_ask", icon=":material/play_arrow:"):
                    return None
            slot.empty()

        def work(report: Report, cancel: Cancel) -> int:
            return sum(
                len(predict(c.folder, c.checkpoint, part, progress=report, cancel=cancel))
                for c in missing.values()
            )

        if computed(key, f"Asking {names}", work, kind="predict") is None:
            return None
        by_letter = read()
    predictions = [each for each in by_letter.values() if each is not None]
    if len(predictions) < len(choices):  # deleted, or of older weights by now
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
    return CheckpointMetadata.read(choice.folder).preprocess.image_size ** 2
