"""Handwritten digits, the built-in set of real pictures: they come with scikit-learn.

A copy of the test part of the UCI data set "Optical Recognition of Handwritten Digits" (E.
Alpaydin and C. Kaynak, 1998): 1,797 digits by 13 people, each bitmap of 32 x 32 counted down to
8 x 8 values from 0 to 16. Who wrote which digit is not known here, so no split keeps writers apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lab.data.importer import choose_classes
from lab.data.pack import SPLITS, Rejections, image_digest

CLASS_NAMES = tuple("0123456789")
IMAGE_SIZE = 8
CHANNELS = 1
VERSION = 1
"""Raise it when other pictures or another split would come out."""
ITEM = "digit"
_TRAIN = (151, 155, 150, 156, 154, 155, 154, 152, 148, 153)
_TEST = (27, 27, 27, 27, 27, 27, 27, 27, 26, 27)
COUNTS = {
    "train": dict(zip(CLASS_NAMES, _TRAIN, strict=True)),
    "test": dict(zip(CLASS_NAMES, _TEST, strict=True)),
}
"""Known before scikit-learn is imported, which takes a second."""
_INK = 16
"""The value of full ink."""


def render_batches(
    split: str, *, seed: int, batch: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Batches of the split's images (n, 8, 8, 1) uint8, white ink on black, and labels (n,) int64.

    The test images are chosen as those of any set that brings none, by content; `seed` changes
    nothing.
    """
    from sklearn.datasets import load_digits  # a second, for whoever opens this set

    loaded = load_digits()
    images = np.rint(loaded.images * (255 / _INK)).astype(np.uint8)[..., np.newaxis]
    labels = loaded.target.astype(np.int64)
    chosen = choose_classes(
        labels,
        np.full(len(labels), SPLITS.index("train"), dtype=np.uint8),
        [image_digest(image) for image in images],
        CLASS_NAMES,
        Rejections(),
    )
    rows = np.flatnonzero(chosen.split == SPLITS.index(split))
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        yield images[part], labels[part]
