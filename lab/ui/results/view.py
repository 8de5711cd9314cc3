"""The Results tab of a run: what one checkpoint answers to the validation or test images.

    choose checkpoint and part ── saved? ──┬── yes: figures, charts, images, from arrays at once
                                           └── no: a background job predicts and saves them

Runs in the page's script thread; only the prediction itself runs in a job's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from lab import jobs
from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.runs.store import RunRow, store
from lab.ui.results.images import draw_matrix_and_images
from lab.ui.results.scores import (
    draw_calibration,
    draw_classes,
    draw_numbers,
    draw_two_classes,
)
from lab.ui.widgets.background import computed
from lab.ui.words import status_badge

if TYPE_CHECKING:  # both import torch, which a first page must not wait for
    from lab.data.pack import Pack
    from lab.evaluate.predictions import Predictions

UNASKED_PIXELS = 20_000_000
"""Up to so many pixels in all, a second or a few of work, a part is predicted without a button: the
7,172 test images of 28 x 28 are 5.6 million, 2,000 photographs of 224 x 224 are 100 million."""

PARTS = {"val": "Validation", "test": "Test"}
PART_WORDS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Choice:
    """Which predictions are looked at."""

    folder: Path
    checkpoint: str
    part: str
    """"val" or "test"."""
    images: int


def draw_results(run: RunRow) -> None:
    """The whole tab."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(run.name, anchor=False, width="content")
        status_badge(run.status)
    try:
        choice = _choose(run)
        if choice is None:
            return
        predictions = predictions_of(run, choice)
        if predictions is not None:
            _draw(run, choice, predictions)
    except LabError as error:
        st.error(str(error), icon=":material/error:")


def _choose(run: RunRow) -> Choice | None:
    """The two choices; None, with a sentence, where there is nothing to choose from."""
    from lab.training.checkpoint import checkpoint_epoch, checkpoints

    folder = store().folder(run.id)
    names = checkpoints(folder)
    if not names:
        st.info(_no_checkpoint(run), icon=":material/hourglass_empty:")
        return None
    epochs = {name: checkpoint_epoch(folder, name) for name in names}
    counts = part_counts(run)
    parts = list(counts)
    if not parts:
        st.info("This run has neither validation nor test images, so there is nothing to measure.")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        checkpoint = st.selectbox(
            "Checkpoint",
            names,
            format_func=lambda name: checkpoint_title(run, name, epochs[name]),
            key=f"results_checkpoint_{run.id}",
            width=260,
            help="A checkpoint is the network as it was after one epoch. “Best” had the best "
            "validation figure; every n-th epoch is kept when “Keep every” is set before training.",
        )
        final = run.status == "completed" and checkpoint == "best"
        part = st.segmented_control(
            "Part",
            parts,
            default="test" if final and "test" in parts else parts[0],
            format_func=lambda part: f"{PARTS[part]} ({counts[part]:,})",
            key=f"results_part_{run.id}_{checkpoint}",
            required=True,
            help="Validation images chose the checkpoint. Test images took part in nothing, so "
            "only they tell how good the network will be on new images.",
        )
    if part == "test" and not final:
        st.info(
            "Looking at the test images of any but a finished run's best checkpoint is fine for "
            "learning. But once something is chosen by what is seen here (a checkpoint, a knob, "
            "when to stop), the test figure no longer tells how good the network is on new "
            "images. Choose by the validation images.",
            icon=":material/visibility:",
        )
    return Choice(folder, checkpoint, part, counts[part])


def part_counts(run: RunRow) -> dict[str, int]:
    """ "val" and "test", as far as the run has images there, and how many."""
    counts = {"val": run.val_samples or 0, "test": run.test_samples or 0}
    return {part: images for part, images in counts.items() if images}


def _no_checkpoint(run: RunRow) -> str:
    if run.is_live or run.status == "paused":
        return (
            "This run has no checkpoint yet. The first one is written at the end of its first "
            "epoch; then its results can be seen here, while the training goes on."
        )
    return (
        "This run has no checkpoint: it ended before its first epoch was done, so there is no "
        "network to look at. Resume it, or start it again."
    )


def checkpoint_title(run: RunRow, name: str, epoch: int | None) -> str:
    """How a checkpoint is called in the select box."""
    if name.startswith("epoch-"):
        return f"Epoch {int(name.removeprefix('epoch-'))}"
    if epoch is None and name == "best" and run.status == "completed":
        epoch = run.best_epoch  # written by lab version 0.1, which did not note it in the file
    word = {"best": "Best", "last": "Last"}.get(name, name)
    if run.is_live:
        word = {"best": "Best so far", "last": "Newest"}.get(name, name)
    return word if epoch is None else f"{word} (epoch {epoch})"


def predictions_of(run: RunRow, choice: Choice) -> Predictions | None:
    """From the disk, else from a job whose progress is then on the page (and None returned).

    A run in training writes a new checkpoint with each epoch. Its saved predictions are shown with
    their epoch until the person asks for newer ones; following by itself would never end.
    """
    from lab.evaluate.opened import checkpoint_identity
    from lab.evaluate.predictions import predict, saved_predictions

    folder, name, part = choice.folder, choice.checkpoint, choice.part
    identity = checkpoint_identity(folder, name)
    found = saved_predictions(folder, name, part, outdated=run.is_live)
    key = f"predict:{run.id}:{name}:{'live' if run.is_live else identity}:{part}"
    title = f"Predicting {choice.images:,} {PART_WORDS[part]} images"

    def work(report: Report, cancel: Cancel) -> int:
        return len(predict(folder, name, part, progress=report, cancel=cancel))

    if found is not None:
        if found.identity != identity:
            _offer_newer(key, title, work, found.epoch)
        return found
    if jobs.latest(key) is None and _pixels(choice) > UNASKED_PIXELS:
        st.caption(
            f"The {choice.images:,} {PART_WORDS[part]} images have not been shown to this "
            "checkpoint yet. That is done once, in the background, and then kept."
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


def _pixels(choice: Choice) -> int:
    from lab.training.checkpoint import NetworkCard

    return choice.images * NetworkCard.read(choice.folder).preprocess.image_size ** 2


def _draw(run: RunRow, choice: Choice, predictions: Predictions) -> None:
    from lab.evaluate.report import make_report

    report = make_report(predictions)
    epoch = "" if predictions.epoch is None else f", the weights after epoch {predictions.epoch}"
    made_from = (
        f"Made from all {report.n:,} {PART_WORDS[choice.part]} images by checkpoint "
        f"“{choice.checkpoint}”{epoch}."
    )
    draw_numbers(report, made_from)
    pack, trouble = _open_images(choice)
    if trouble:
        st.warning(
            f"The figures are those that were saved; the images cannot be shown. {trouble}",
            icon=":material/image_not_supported:",
        )
    draw_matrix_and_images(run.id, predictions, report, pack, dataset=run.dataset)
    draw_classes(report, predictions.class_names)
    if len(predictions.class_names) == 2:
        draw_two_classes(predictions, key=f"results_positive_{run.id}")
    draw_calibration(report)
    if pack is not None:
        _draw_download(run, choice, predictions, pack.names)


def _open_images(choice: Choice) -> tuple[Pack | None, str]:
    """The images behind the predictions; or None and the sentence why not."""
    from lab.evaluate.opened import open_data
    from lab.training.checkpoint import NetworkCard

    try:
        with st.spinner("Opening the images"):  # at another size they may have to be made again
            pack, _ = open_data(NetworkCard.read(choice.folder))
    except LabError as error:
        return None, str(error)
    return pack, ""


def _draw_download(
    run: RunRow, choice: Choice, predictions: Predictions, names: tuple[str, ...]
) -> None:
    from lab.evaluate.report import predictions_csv

    st.download_button(
        "Download all predictions (CSV)",
        # Called in a thread of its own when the button is pressed.
        partial(predictions_csv, predictions, names),
        file_name=f"{run.id}-{choice.checkpoint}-{choice.part}.csv",
        mime="text/csv",
        key="results_csv",
        icon=":material/download:",
        on_click="ignore",
        help="One line an image: its name, true and predicted class, loss, every probability.",
    )
