"""The choice of a run's checkpoint, its default and title; the choice of a part of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from lab.runs.naming import titles
from lab.runs.store import RunRow, store
from lab.training.checkpoint import checkpoint_epoch, checkpoints
from lab.ui.widgets.labels import resend_when_renamed
from lab.words import percent

PARTS = {"val": "Validation", "test": "Test"}
PART_WORDS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class CheckpointChoice:
    """One checkpoint of one run."""

    run: RunRow = field(compare=False)
    """Not compared: a run that is read again gives an equal choice."""
    folder: Path
    checkpoint: str


def run_labels(runs: Sequence[RunRow]) -> dict[str, str]:
    """Returns the texts of runs in a select box, by their ids; no two are alike."""
    labels = {}
    for run, title in zip(runs, titles(runs), strict=True):
        parts = [title]
        if run.best_val_accuracy is not None:
            parts.append(f"validation {percent(run.best_val_accuracy)}")
        if run.is_active:
            parts.append("training")
        labels[run.id] = " · ".join(parts)
    return labels


def default_checkpoint(run: RunRow) -> CheckpointChoice:
    """Returns the newest checkpoint while the run trains or waits, the best one afterwards.

    The run has at least one checkpoint (`RunRow.has_weights`); where files were deleted from its
    folder, opening the checkpoint raises.
    """
    folder = store().folder(run.id)
    return CheckpointChoice(run, folder, _default(run, checkpoints(folder)))


def choose_checkpoint(
    run: RunRow, names: Sequence[str], *, key: str, width: int | None = None
) -> CheckpointChoice:
    """Draws the select box of the checkpoints `names` of `run`, keyed by `key` and the run's id."""
    folder = store().folder(run.id)
    epochs = {name: checkpoint_epoch(folder, name) for name in names}
    titles = {name: checkpoint_title(run, name, epochs[name]) for name in names}
    resend_when_renamed(f"{key}_{run.id}", list(titles.values()))
    checkpoint = st.selectbox(
        "Checkpoint",
        names,
        index=list(names).index(_default(run, names)),
        format_func=titles.__getitem__,
        key=f"{key}_{run.id}",
        width=width or "stretch",
        help="A checkpoint is the network as it was after one epoch. “Best” did best on the "
        "validation images; every n-th epoch is kept when “Keep weights every” is set before "
        "training.",
    )
    return CheckpointChoice(run, folder, checkpoint)


def _default(run: RunRow, names: Sequence[str]) -> str:
    preferred = "last" if run.is_live else "best"
    return preferred if preferred in names or not names else names[0]


def checkpoint_title(run: RunRow, name: str, epoch: int | None) -> str:
    """Returns a checkpoint's title, such as "Best (epoch 7)" or "Best (epoch 7, averaged)"."""
    averaged = ", averaged" if run.settings.get("model_ema_decay") else ""
    if name.startswith("epoch-"):
        return f"Epoch {int(name.removeprefix('epoch-'))}"
    if epoch is None and name == "best" and run.status == "completed":
        epoch = run.best_epoch  # written by lab version 0.1, which did not note it in the file
    word = {"best": "Best", "last": "Last"}.get(name, name)
    if run.is_live:
        word = {"best": "Best so far", "last": "Newest"}.get(name, name)
    return word if epoch is None else f"{word} (epoch {epoch}{averaged})"


def choose_part(run: RunRow, *, key: str, help: str) -> str | None:
    """Draws the choice of "val" or "test"; returns None, with a sentence, without such images."""
    parts = list(part_counts(run))
    if not parts:
        st.info("These runs have neither validation nor test images.")
        return None
    part = st.segmented_control(
        "Images of the part",
        parts,
        default=parts[-1],
        format_func=PARTS.__getitem__,
        key=key,
        required=True,
        help=help,
    )
    return part or parts[-1]


def draw_no_network() -> None:
    """Tells that no run has weights yet, with a link to the Train page."""
    st.info(
        "No trained network yet. Train one first: it can be used here from the end of its first "
        "epoch on, also while it trains.",
        icon=":material/info:",
    )
    st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")


def part_counts(run: RunRow) -> dict[str, int]:
    """Returns the number of images of "val" and "test"; a part without images is left out."""
    counts = {"val": run.val_samples or 0, "test": run.test_samples or 0}
    return {part: images for part, images in counts.items() if images}
