"""The built-in data sets: made on this machine by a module each, at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.data.pack import SPLITS, PackMeta, PackWriter
from lab.data.specs import DATASETS, DatasetSpec
from lab.home import require_free_space
from lab.progress import Cancel, Progress, Report, check_cancel, throttled

SEED = 0
"""The seed of all drawings, which are therefore the same on every machine."""
_BATCH = 32
"""Images between two checks of Cancel."""

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class BuiltIn:
    """What the module of a built-in set offers. `counts` is split -> class name -> images."""

    class_names: tuple[str, ...]
    image_size: int
    channels: int
    version: int
    counts: dict[str, dict[str, int]]
    item: str
    """What one image is called."""
    render_batches: Callable[..., Iterator[Batch]]


def built_in(spec: DatasetSpec) -> BuiltIn:
    """Import the spec's module and read its facts."""
    module = importlib.import_module(spec.module)
    class_names = tuple(module.CLASS_NAMES)
    return BuiltIn(
        class_names=class_names,
        image_size=module.IMAGE_SIZE,
        channels=module.CHANNELS,
        version=module.VERSION,
        # One number where all classes have as many.
        counts={
            split: dict.fromkeys(class_names, count) if isinstance(count, int) else dict(count)
            for split, count in module.COUNTS.items()
        },
        item=getattr(module, "ITEM", "drawing"),
        render_batches=module.render_batches,
    )


def subject_box(dataset: str, name: str) -> tuple[float, float, float, float] | None:
    """Where the thing itself is in an image of a built-in set that knows it: left, top, right and
    bottom as shares of the picture. `name` is the image's in the pack; None where it is not known.
    """
    if dataset not in DATASETS or not DATASETS.get(dataset).module:
        return None
    module = importlib.import_module(DATASETS.get(dataset).module)
    split, _, rest = name.partition("/")
    number = rest.rpartition(" ")[2]
    if not hasattr(module, "subject_box") or split not in SPLITS or not number.isdecimal():
        return None
    box: tuple[float, float, float, float] = module.subject_box(split, int(number) - 1, seed=SEED)
    return box


def make_pack(spec: DatasetSpec, folder: Path, *, progress: Report, cancel: Cancel) -> PackMeta:
    """Make the whole set into the pack at `folder`; the caller holds the pack's lock."""
    made = built_in(spec)
    classes, side, channels = made.class_names, made.image_size, made.channels
    total = sum(sum(counts.values()) for counts in made.counts.values())
    require_free_space(folder.parent, total * (side * side * channels + 200))
    report = throttled(progress)
    text = f"{'Drawing' if spec.drawn else 'Reading'} {spec.title.lower()}"
    labels: list[NDArray[np.int64]] = []
    split: list[NDArray[np.uint8]] = []
    with PackWriter(folder, image_size=side, channels=channels) as writer:
        for split_name in (name for name in SPLITS if name in made.counts):
            number = 0
            report(Progress(len(writer), total, text, "images"))
            for images, batch_labels in made.render_batches(split_name, seed=SEED, batch=_BATCH):
                check_cancel(cancel, text)
                names = [
                    f"{split_name}/{classes[label]}/{made.item} {number + i}"
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
            drawn=spec.drawn,
            channels=channels,
            image_size=side,
            fit="stretch",
            source=spec.source,
            licence=spec.licence,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            original_sizes={f"{side}x{side}": total},
            source_version=made.version,
        )
        return writer.finish(meta, np.concatenate(labels), np.concatenate(split))
