"""Accuracy on images of which the run has seen no near-copy, beside the accuracy on all.

A near-copy of a training image is easier than a new picture. Which images are near-copies is known
once the data set was checked (`lab.data.quality.duplicates`); groups of the pack itself, such as
bursts of a camera, count as well.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.groups import Groups
from lab.data.pack import Pack
from lab.data.quality.duplicates import checked_sets, copies_are_known, independent_groups
from lab.data.splits import Indices, Splits
from lab.errors import LabError, NotFoundError
from lab.evaluate.compare import AccuracyInterval, share_interval
from lab.evaluate.metrics import Bools, GroupedShare, grouped_share
from lab.evaluate.opened import checkpoint_identity, open_data
from lab.evaluate.predictions import SPLIT_WORDS, Predictions, saved_predictions
from lab.training.checkpoint import CheckpointMetadata, read_test_logits

NOT_CHECKED = (
    "Not known: nobody has looked for copies in this data set yet, or the test images were not "
    "looked at one by one. Press Check on the Data page and open the run's Results, or run: "
    "python -m lab leak-free RUN"
)


@dataclass(frozen=True)
class LeakFree:
    """The accuracy on all images of a part, and on those without a near-copy among the images that
    the run was trained on (and, for the test part, chosen by)."""

    part: str
    """ "val" or "test"."""
    everything: GroupedShare
    clean: GroupedShare
    """Without images when each has a near-copy."""

    @property
    def leaking(self) -> int:
        """Images with a near-copy among those that the run has seen."""
        return self.everything.n - self.clean.n

    @property
    def sentence(self) -> str:
        part, n = SPLIT_WORDS[self.part], self.everything.n
        if not self.leaking:
            return f"None of the {n:,} {part} images is a near-copy of an image that the run saw."
        share = (
            f"{self.leaking:,} of the {n:,} {part} images ({self.leaking / n:.1%}) are near-copies "
            "of images that the run saw"
        )
        if not self.clean.n:
            return f"{share}: nothing is left to measure it on honestly."
        low, high = self.clean.interval
        return (
            f"{share}. On the other {self.clean.n:,}, {self.clean.units:,} independent pictures, "
            f"{self.clean.share:.1%} are right (95% interval {low:.1%} to {high:.1%})."
        )


def leak_free(predictions: Predictions, splits: Splits, groups: Groups) -> LeakFree:
    """Returns both accuracies of `predictions`; `groups` (N,) say which images of the pack are
    near-copies of one another."""
    seen = splits.train
    if predictions.split == "test":
        seen = np.concatenate([splits.train, splits.val])
    own = groups[predictions.indices]
    clean = ~np.isin(own, groups[seen])
    return LeakFree(
        predictions.split,
        everything=grouped_share(predictions.right, own),
        clean=grouped_share(predictions.right[clean], own[clean]),
    )


def known_groups(pack: Pack) -> Groups | None:
    """Returns (N,) which images are near-copies or belong together; None while nobody has looked
    for copies."""
    return independent_groups(pack) if copies_are_known(pack.meta.images_hash) else None


def groups_of(card: CheckpointMetadata) -> Groups | None:
    """Returns `known_groups` of the data that a run was trained on; None, too, when it is gone."""
    try:
        return known_groups(open_data(card)[0])
    except LabError:
        return None


def accuracy_interval(
    folder: Path, part: str, accuracy: float | None, n: int | None
) -> AccuracyInterval:
    """Returns the interval of what the best weights of a run reached on the `n` images of "val" or
    "test"; no network is asked."""
    by_images = share_interval(accuracy, n)
    try:
        key = (str(folder), part, checkpoint_identity(folder, "best"))
        if key in _known:
            return _known[key]
        pack, splits = open_data(CheckpointMetadata.read(folder))
        groups = known_groups(pack)
    except LabError:  # the data set is gone, or the run never had a network
        return AccuracyInterval(by_images, None)
    if groups is None:
        return AccuracyInterval(by_images, None)
    rows = splits.val if part == "val" else splits.test
    units = len(np.unique(groups[rows]))
    if units == len(rows):
        return AccuracyInterval(by_images, units)
    right = _right(folder, part, pack, rows)
    if right is None:
        return AccuracyInterval(None, units)
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[key] = AccuracyInterval(grouped_share(right, groups[rows]).interval, units)
    return _known[key]


@dataclass(frozen=True, eq=False)
class OwnAnswers:
    """Which of the n test images the best weights of a run are right on."""

    content_hash: str
    """Of the data set's version."""
    indices: Indices
    """(n,) into the pack."""
    right: Bools
    groups: Groups | None
    """(n,) which of them are near-copies; None while nobody has looked for copies."""


@functools.lru_cache(maxsize=500)
def _answers(folder: Path, identity: str, checked: int) -> OwnAnswers | None:
    """`checked`: how many data sets were looked through for copies; another one may be its own."""
    card = CheckpointMetadata.read(folder)
    pack, splits = open_data(card)
    right = _right(folder, "test", pack, splits.test)
    groups = known_groups(pack)
    if right is None or not len(right):
        return None
    own = None if groups is None else groups[splits.test]
    return OwnAnswers(card.dataset_hash, splits.test, right, own)


def own_answers(folder: Path) -> OwnAnswers | None:
    """Returns what the run's own test answered; None where that is not kept or the data set is
    gone. No network is asked; a tenth of a second the first time."""
    try:
        return _answers(folder, checkpoint_identity(folder, "best"), checked_sets())
    except LabError:
        return None


MOST_KNOWN = 1000
_known: dict[tuple[str, str, str], AccuracyInterval] = {}
"""Opening a data set takes a tenth of a second, and a page has many runs."""


def _right(folder: Path, part: str, pack: Pack, rows: Indices) -> Bools | None:
    """Returns which of the images the best weights are right on; None where that was not kept."""
    saved = saved_predictions(folder, "best", part)
    if saved is not None and np.array_equal(saved.indices, rows):
        return saved.right
    logits = read_test_logits(folder, rows) if part == "test" else None
    return None if logits is None else logits.argmax(dim=1).numpy() == pack.labels[rows]


def saved_leak_free(folder: Path) -> LeakFree | None:
    """Returns both test accuracies of a run from its saved predictions; None without them, and
    while nobody has looked for copies. Raises DataError, NotFoundError."""
    try:
        predictions = saved_predictions(folder, "best", "test")
        card = CheckpointMetadata.read(folder)
    except NotFoundError:
        return None
    if predictions is None:
        return None
    pack, splits = open_data(card)
    groups = known_groups(pack)
    return None if groups is None else leak_free(predictions, splits, groups)


def leak_free_values(honest: LeakFree) -> dict[str, Any]:
    """Returns both accuracies as plain JSON values."""

    def values(share: GroupedShare) -> dict[str, Any]:
        return {
            "images": share.n,
            "independent": share.units,
            "right": share.right,
            "accuracy": share.share if share.n else None,
            "interval": list(share.interval) if share.n else None,
        }

    return {
        "part": honest.part,
        "all": values(honest.everything),
        "leak_free": values(honest.clean),
        "near_copies": honest.leaking,
        "sentence": honest.sentence,
    }
