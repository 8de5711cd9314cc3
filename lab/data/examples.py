"""A few pictures of a data set, for a page that only wants to show what it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.data import catalog
from lab.data.built_in import SEED, built_in
from lab.data.specs import DATASETS

Example = tuple[str, NDArray[np.uint8]]
"""A class name and its picture (H, W, C)."""


def examples(name: str, count: int) -> list[Example]:
    """Returns `count` training pictures, the classes in turn; none of a set that is not here.

    Of a set that is drawn at first use only these few are drawn. Raises NotFoundError, DataError.
    """
    info = catalog.describe(name)
    if not info.usable:
        return []
    if info.state == catalog.READY:
        pack = catalog.open_pack(name)
        train = pack.indices("train")
        rows = _in_turn(pack.labels[train], len(info.class_names), count)
        return [(info.class_names[pack.labels[i]], np.asarray(pack.images[i])) for i in train[rows]]
    spec, classes = DATASETS.get(name), len(info.class_names)
    if spec.drawn:  # the classes take turns
        most: dict[str, int] = {"batch": count, "limit": -(-count // classes)}
    else:
        most = {"batch": 4 * max(count, classes)}
    pictures, labels = next(built_in(spec).render_batches("train", seed=SEED, **most))
    rows = _in_turn(labels, classes, count)
    return [(info.class_names[labels[i]], pictures[i]) for i in rows]


def unseen_examples(name: str, count: int, *, version: str = "") -> list[Example]:
    """Returns `count` test pictures, the classes in turn; none of a set that is not here or has no
    test pictures. Raises NotFoundError, DataError."""
    if catalog.describe(name).state != catalog.READY:
        return []
    pack = catalog.open_pack(name, version=version)
    rows = pack.indices("test")
    rows = rows[_in_turn(pack.labels[rows], len(pack.meta.class_names), count)]
    return [(pack.meta.class_names[pack.labels[i]], np.asarray(pack.images[i])) for i in rows]


def _in_turn(labels: NDArray[np.int64], classes: int, count: int) -> list[int]:
    """Returns the places of the first picture of each class, then of the second ones, and so on."""
    places = [np.flatnonzero(labels == label).tolist() for label in range(classes)]
    deepest = max(map(len, places), default=0)
    turns = [each[turn] for turn in range(deepest) for each in places if turn < len(each)]
    return turns[:count]
