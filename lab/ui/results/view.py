"""The Results tab of a run: the predictions of one checkpoint on validation or test images.

    choose checkpoint and part ── saved? ──┬── yes: metrics, charts, images, from arrays at once
                                           └── no: a background job predicts and saves them

Runs in the page's script thread; only the prediction itself runs in a job's.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from lab.data.pack import Pack
from lab.data.splits import Splits
from lab.errors import LabError
from lab.evaluate.leak_free import known_groups, leak_free
from lab.evaluate.opened import open_data
from lab.evaluate.predictions import Predictions
from lab.evaluate.report import make_report, predictions_csv
from lab.experiments.looks import looks_words
from lab.runs.store import RunRow, store
from lab.training.checkpoint import CheckpointMetadata, checkpoints
from lab.ui.results.copies import draw_copies
from lab.ui.results.how_sure import (
    draw_calibration,
    draw_reject,
    draw_sets,
    draw_threshold,
    luck,
)
from lab.ui.results.images import draw_matrix_and_images
from lab.ui.results.mirrored import draw_mirrored
from lab.ui.results.scores import draw_classes, draw_metrics
from lab.ui.widgets.checkpoints import (
    PART_WORDS,
    PARTS,
    CheckpointChoice,
    choose_checkpoint,
    part_counts,
)
from lab.ui.widgets.predictions import predictions_of
from lab.ui.words import plain, status_badge
from lab.words import of_independent


def draw_results(run: RunRow) -> None:
    """Draws the whole tab."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(plain(run.name), anchor=False, width="content")
        status_badge(run.status)
    try:
        chosen = _choose(run)
        if chosen is None:
            return
        choice, part = chosen
        predictions = predictions_of(choice, part)
        if predictions is not None:
            _draw(choice, part, predictions)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")


def _choose(run: RunRow) -> tuple[CheckpointChoice, str] | None:
    """Draws both choices; returns None, with a sentence, where there is nothing to choose from."""
    folder = store().folder(run.id)
    names = checkpoints(folder)
    if not names:
        st.info(_no_checkpoint(run), icon=":material/hourglass_empty:")
        return None
    counts = part_counts(run)
    parts = list(counts)
    if not parts:
        st.info("This run has neither validation nor test images, so there is nothing to measure.")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice = choose_checkpoint(run, names, key="results_checkpoint", width=260)
        checkpoint = choice.checkpoint
        final = run.status == "completed" and checkpoint == "best"
        part = st.segmented_control(
            "Part",
            parts,
            default="test" if final and "test" in parts else parts[0],
            format_func=lambda part: f"{PARTS[part]} ({counts[part]:,})",
            key=f"results_part_{run.id}_{checkpoint}",
            required=True,
            help="Validation images chose the checkpoint. Test images took part in nothing, so "
            "only they show how good the network will be on new images.",
        )
    if part == "test" and not final:
        st.info(
            "Looking at the test images of any but a finished run's best checkpoint is fine for "
            "learning. But once something is chosen by what is seen here (a checkpoint, a setting, "
            "when to stop), the test accuracy no longer shows how good the network is on new "
            "images. Choose by the validation images.",
            icon=":material/visibility:",
        )
    return choice, part or parts[0]


def _no_checkpoint(run: RunRow) -> str:
    if run.is_live or run.status == "paused":
        return (
            "This run has no checkpoint yet. The first one is written at the end of its first "
            "epoch; then its results can be seen here, while the training goes on."
        )
    return (
        plain(store().elsewhere(run))
        or "This run has no checkpoint: it ended before its first epoch was done, so there is no "
        "network to look at. Resume it, or start it again."
    )


def _draw(choice: CheckpointChoice, part: str, predictions: Predictions) -> None:
    run = choice.run

    pack, splits, problem = _open_images(choice)
    groups = None if pack is None else known_groups(pack)
    report = make_report(predictions, groups)
    honest = None
    if splits is not None and groups is not None:
        honest = leak_free(predictions, splits, groups)
    weights = "averaged weights" if run.settings.get("model_ema_decay") else "weights"
    epoch = "" if predictions.epoch is None else f", the {weights} after epoch {predictions.epoch}"
    of = of_independent(report.units, report.n)
    made_from = (
        f"Made from all {report.n:,} {PART_WORDS[part]} images{of} by checkpoint "
        f"“{choice.checkpoint}”{epoch}."
    )
    key = (str(choice.folder), choice.checkpoint, part, predictions.identity, str(report.units))
    by_luck = luck(key, predictions, groups)
    draw_metrics(report, made_from, honest, PART_WORDS[part], by_luck)
    if part == "test" and (looks := looks_words(run, store())):
        st.caption(looks)
    draw_mirrored(choice, part, predictions, groups)
    if pack is not None:
        draw_copies(run.dataset, honest)
    if problem:
        st.warning(
            f"The metrics are those that were saved; the images cannot be shown. {plain(problem)}",
            icon=":material/image_not_supported:",
        )
    draw_matrix_and_images(run.id, predictions, report, pack, dataset=run.dataset)
    draw_classes(report, predictions.class_names)
    val = _validation(choice, part, predictions)
    draw_calibration(report, val, predictions, groups, key)
    place = f"{run.id}_{choice.checkpoint}_{part}"
    draw_reject(predictions, val, groups, key=f"results_sure_{place}")
    if val is not None:
        draw_sets(predictions, val, groups, key)
    draw_threshold(predictions, val, key=f"results_threshold_{place}")
    if pack is not None:
        _draw_download(choice, part, predictions, pack.names)


def _validation(
    choice: CheckpointChoice, part: str, predictions: Predictions
) -> Predictions | None:
    """Returns what the same weights answer to the validation images; None where these are shown
    themselves, where there are none, and while they are being asked, as the page then says."""
    if part == "val" or choice.run.is_live or "val" not in part_counts(choice.run):
        return None
    val = predictions_of(choice, "val")
    return val if val is not None and val.identity == predictions.identity else None


def _open_images(choice: CheckpointChoice) -> tuple[Pack | None, Splits | None, str]:
    """Returns the images behind the predictions and the run's splits, or the sentence why not."""
    try:
        with st.spinner("Opening the images"):  # at another size they may have to be decoded again
            pack, splits = open_data(CheckpointMetadata.read(choice.folder))
    except LabError as error:
        return None, None, str(error)
    return pack, splits, ""


def _draw_download(
    choice: CheckpointChoice, part: str, predictions: Predictions, names: tuple[str, ...]
) -> None:
    st.download_button(
        "Download all predictions (CSV)",
        # Called in a thread of its own when the button is pressed.
        partial(predictions_csv, predictions, names),
        file_name=f"{choice.run.id}-{choice.checkpoint}-{part}.csv",
        mime="text/csv",
        key="results_csv",
        icon=":material/download:",
        on_click="ignore",
        help="One line an image: its name, true and predicted class, loss, every probability.",
    )
