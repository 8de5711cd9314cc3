"""The drawn data sets: made on this machine by the drawing modules, at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.data.pack import SPLITS, PackMeta, PackWriter
from lab.data.specs import DatasetSpec
from lab.home import require_free_space
from lab.progress import Cancel, Progress, Report, check_cancel, throttled

SEED = 0
"""The seed of all drawings, which are therefore the same on every machine."""
_BATCH = 32
"""Drawings between two checks of Cancel."""

DrawnBatch = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Drawing:
    """What a drawing module offers. `counts` is split -> images per class."""

    class_names: tuple[str, ...]
    image_size: int
    channels: int
    version: int
    counts: dict[str, int]
    render_batches: Callable[..., Iterator[DrawnBatch]]


def drawing_of(spec: DatasetSpec) -> Drawing:
    """Import the spec's drawing module and read its facts."""
    module = importlib.import_module(spec.drawn_module)
    return Drawing(
        class_names=tuple(module.CLASS_NAMES),
        image_size=module.IMAGE_SIZE,
        channels=module.CHANNELS,
        version=module.VERSION,
        counts=dict(module.COUNTS),
        render_batches=module.render_batches,
    )


def draw_pack(spec: DatasetSpec, folder: Path, *, progress: Report, cancel: Cancel) -> PackMeta:
    """Draw the whole set into the pack at `folder`; the caller holds the pack's lock."""
    drawing = drawing_of(spec)
    classes, side, channels = drawing.class_names, drawing.image_size, drawing.channels
    total = sum(drawing.counts.values()) * len(classes)
    require_free_space(folder.parent, total * (side * side * channels + 200))
    report = throttled(progress)
    text = f"Drawing {spec.title.lower()}"
    labels: list[NDArray[np.int64]] = []
    split: list[NDArray[np.uint8]] = []
    with PackWriter(folder, image_size=side, channels=channels) as writer:
        for split_name in (name for name in SPLITS if name in drawing.counts):
            number = 0
            report(Progress(len(writer), total, text, "images"))
            for images, batch_labels in drawing.render_batches(split_name, seed=SEED, batch=_BATCH):
                check_cancel(cancel, text)
                names = [
                    f"{split_name}/{classes[label]}/drawing {number + i}"
                    for i, label in enumerate(batch_labels.tolist(), 1)
                ]
                number += len(names)
                writer.add(images, names)
                labels.append(batch_labels)
                split.append(np.full(len(names), SPLITS.index(split_name), dtype=np.uint8))
                report(Progress(len(writer), total, text, "images"))
        meta = PackMeta(
            dataset=spec.name,
            title=spec.title,
            story=spec.story,
            class_names=classes,
            drawn=True,
            channels=channels,
            image_size=side,
            fit="stretch",
            source=spec.source,
            licence=spec.licence,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            original_sizes={f"{side}x{side}": total},
            source_version=drawing.version,
        )
        return writer.finish(meta, np.concatenate(labels), np.concatenate(split))
