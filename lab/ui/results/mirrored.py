"""Test-time augmentation on the Results tab: the accuracy of answers that are averaged over each
image and its mirror image, beside the plain one."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab import jobs
from lab.data.groups import Groups
from lab.evaluate.compare import mcnemar
from lab.evaluate.predictions import Predictions, predict, saved_predictions
from lab.progress import Cancel, Report
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import PART_WORDS, CheckpointChoice
from lab.words import percent


def draw_mirrored(
    choice: CheckpointChoice, part: str, plain: Predictions, groups: Groups | None
) -> None:
    """Draws the figure once it was asked for, else a button that asks; nothing for a run in
    training, whose weights change under it. `groups` (N,) are the pack's known copies."""
    if choice.run.is_live:
        return
    folder, name = choice.folder, choice.checkpoint
    mirrored = saved_predictions(folder, name, part, mirrored=True)
    if mirrored is not None and np.array_equal(mirrored.indices, plain.indices):
        st.caption(_sentence(plain, mirrored, PART_WORDS[part], groups))
        return
    key = f"mirror:{choice.run.id}:{name}:{plain.identity}:{part}"
    title = f"Predicting {len(plain):,} {PART_WORDS[part]} images and their mirror images"

    def work(report: Report, cancel: Cancel) -> int:
        return len(predict(folder, name, part, mirrored=True, progress=report, cancel=cancel))

    if jobs.latest(key) is not None:
        if computed(key, title, work, kind="predict") is not None:
            st.rerun()
    elif st.button(
        "Average with mirror images",
        key="results_mirror",
        icon=":material/flip:",
        help="Test-time augmentation: each image is asked twice, as it is and mirrored, and the "
        "probabilities are averaged. Often a little better, at twice the time; wrong where left "
        "and right matter, as with hand signs. The plain accuracy stays the result.",
    ):
        jobs.start("predict", title, work, key=key)
        st.rerun()


def _sentence(plain: Predictions, mirrored: Predictions, part: str, groups: Groups | None) -> str:
    test = mcnemar(mirrored.right, plain.right, None if groups is None else groups[plain.indices])
    told = "more than chance allows" if test.more_than_chance else "no more than chance allows"
    return (
        f"Averaged with mirror images: {percent(float(mirrored.right.mean()))} of the {part} "
        f"images right, beside {percent(float(plain.right.mean()))} as they are; "
        f"{test.only_first:,} become right and {test.only_second:,} wrong, {told}."
    )
