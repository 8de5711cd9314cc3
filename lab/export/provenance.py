"""Where a run's weights come from, and what their answers mean: the same in every export."""

from __future__ import annotations

import json
from typing import Any

import torch

from lab import __version__
from lab.data.decode import FITS
from lab.runs.rows import RunRow
from lab.training.checkpoint import CheckpointMetadata


def provenance(
    run: RunRow, card: CheckpointMetadata, checkpoint: str, epoch: int | None
) -> dict[str, Any]:
    """Returns plain JSON values."""
    inside, outside = way_in_words(card)
    return {
        "classes": list(card.class_names),
        "picture": inside,
        "before": outside,
        "run": run.id,
        "run_name": run.name,
        "checkpoint": checkpoint,
        "epoch": epoch,
        "dataset": card.config.dataset,
        "dataset_hash": card.dataset_hash,
        "settings": json.loads(card.config.to_json()),
        "preprocess": card.preprocess.to_dict(),
        "lab_version": __version__,
        "torch_version": str(torch.__version__),
    }


def as_texts(values: dict[str, Any]) -> dict[str, str]:
    """Returns the same for a header that holds texts alone; what is no text is JSON."""
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def way_in_words(card: CheckpointMetadata) -> tuple[str, str]:
    """Returns what becomes of a picture's pixels, and what has to be done before."""
    preprocess = card.preprocess
    own = card.data_image_size or preprocess.image_size
    steps = [f"{FITS[card.fit]} of {own} pixels"]
    if card.data_channels == 1:
        steps.append("made grey")
    if own != preprocess.image_size:
        steps.append(f"resized to {preprocess.image_size}")
    if preprocess.channels == 1 and card.data_channels == 3:
        steps.append("made grey")
    inside = f"Pixels as 8-bit RGB of any size are {', '.join(steps)}, scaled and normalised."
    outside = (
        "Before that the file is decoded, turned upright by its EXIF note, and transparency laid "
        "on white"
    )
    if card.value_range is not None:
        low, high = card.value_range
        outside += f"; values of more than 8 bits are spread from {low:g}..{high:g} to 0..255"
    return inside, f"{outside}."
