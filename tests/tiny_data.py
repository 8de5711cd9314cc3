"""A data set small enough to train on in a test: three classes, a bright bar each, in noise."""

import dataclasses
from typing import Any

import numpy as np

from lab.data.pack import PackMeta, PackWriter
from lab.home import home_folder

CLASSES = ("top", "middle", "bottom")
SIZE = 16


def make_tiny_pack(
    name: str = "tiny",
    *,
    train: int = 90,
    val: int = 0,
    test: int = 30,
    seed: int = 0,
    classes: tuple[str, ...] = CLASSES,
    file: str = "bar",
    **facts: Any,
) -> str:
    """Write the pack into LAB_HOME and return its name; the counts are images in all. `file` begins
    the name of each picture, `facts` replace those of the meta data."""
    rng = np.random.Generator(np.random.Philox(seed))
    total = train + val + test
    labels = np.arange(total, dtype=np.int64) % len(classes)
    images = rng.integers(0, 120, size=(total, SIZE, SIZE, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 5 * label : 5 + 5 * label, 2:14] += 100
    split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), [train, val, test])
    meta = PackMeta(
        dataset=name,
        title="Tiny bars",
        story="Bars for tests.",
        class_names=classes,
        drawn=True,
        channels=1,
        image_size=SIZE,
        fit="stretch",
        source="tests",
        licence="none",
        created="2026-01-01T00:00:00Z",
    )
    meta = dataclasses.replace(meta, **facts)
    with PackWriter(home_folder("packs") / name, image_size=SIZE, channels=1) as writer:
        writer.add(images, [f"{file} {i}" for i in range(total)])
        writer.finish(meta, labels, split)
    return name
