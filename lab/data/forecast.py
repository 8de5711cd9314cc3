"""How many images of each class a run will train on and validate on, before it is started.

As `lab.data.splits.make_splits` will cut them; without groups that is arithmetic and opens no pack.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from lab.config import RunConfig
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.groups import Groups
from lab.data.pack import Pack
from lab.data.quality.duplicates import copies_are_known, kept_copies
from lab.data.splits import cuts_by_copies, make_splits, split_counts
from lab.errors import LabError

Counts = dict[str, int]

_KNOBS = {
    "seed",
    "split_by",
    "validation_fraction",
    "subset_per_class",
    "reduced_class",
    "reduced_class_keep",
}
"""All that the cut reads."""


def expected_counts(info: DatasetInfo, config: RunConfig) -> tuple[Counts, Counts]:
    """Returns the training and the validation images of each class; without training images both
    are empty.

    With split_by "group" and copies that nobody has looked for yet it is what the cut by picture
    gives, which is nearly as many.
    """
    if info.content_hash:
        known = config.split_by == "group" and copies_are_known(info.images_hash)
        if known or _has_groups(info.name, info.content_hash):
            knobs = tuple(sorted(config.model_dump(include=_KNOBS).items()))
            try:
                train, val = _counted(info.name, info.content_hash, known, knobs)
                return dict(train), dict(val)
            except LabError:  # whoever starts the run says what does not fit
                pass
    return split_counts(info.counts, config)


def expected_copies(pack: Pack, config: RunConfig) -> Groups | None:
    """Returns the copies that `make_splits` needs for a forecast; each image is its own group while
    nobody has looked for copies yet."""
    if not cuts_by_copies(pack, config):
        return None
    known = kept_copies(pack)
    return np.arange(len(pack), dtype=np.int64) if known is None else known


@functools.lru_cache(maxsize=64)
def _has_groups(name: str, content_hash: str) -> bool:
    return catalog.open_pack(name, version=content_hash).groups is not None


@functools.lru_cache(maxsize=64)
def _counted(
    name: str, content_hash: str, copies_known: bool, knobs: tuple[tuple[str, Any], ...]
) -> tuple[Counts, Counts]:
    pack = catalog.open_pack(name, version=content_hash)
    config = RunConfig(dataset=name).changed(**dict(knobs))
    splits = make_splits(pack, config, expected_copies(pack, config))

    def by_class(rows: Groups) -> Counts:
        counts = np.bincount(pack.labels[rows], minlength=len(pack.meta.class_names))
        return dict(zip(pack.meta.class_names, counts.tolist(), strict=True))

    return by_class(splits.train), by_class(splits.val)
