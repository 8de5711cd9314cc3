"""Which images a run learns from, is validated on and is tested on, and in which order and steps.

    train images of the set ── subset_per_class ──┬── validation cut ── reduced_class ──> train
                                                  └─────────────────────────────────────> val
    val images of the set, if it brings any: all of them, and then nothing is cut from train
    test images of the set: all of them, always

The validation cut never parts images of one group: those that the pack says belong together (a
burst of a camera), and with split_by "group" the copies and near-copies of one photograph as well.
Otherwise a network is validated on pictures that it was trained on, or nearly.

Everything here is a pure function of labels, split codes, groups, the seed and the knobs: the same
on every machine and in every thread, with no state to save. Chance comes from raw Philox words,
which NumPy promises never to change (the methods of np.random.Generator carry no such promise).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lab.config import RunConfig
from lab.data.groups import joined
from lab.errors import ConfigError, DataError, unknown_name

if TYPE_CHECKING:
    from lab.data.pack import Pack

Indices = npt.NDArray[np.int64]


class Stream(IntEnum):
    """The uses of random numbers. A new use gets a new value; the old values never change."""

    SUBSET = 1
    VALIDATION = 2
    REDUCED = 3
    ORDER = 4
    OVERSAMPLING = 5
    AUGMENTATION = 6
    STATISTICS = 7
    MIXING = 8
    DROPOUT = 9


@dataclass(frozen=True, eq=False)
class Splits:
    """Ascending indices into a Pack, each (n,) int64; no image is in two of them."""

    train: Indices
    val: Indices
    test: Indices
    class_weights: npt.NDArray[np.float32] | None
    """(K,) for the loss, with mean 1 over the training images; None unless the loss is weighted."""


def random_keys(n: int, seed: int, stream: Stream, *position: int) -> npt.NDArray[np.uint64]:
    """(n,) uint64, the same for the same arguments on every platform and NumPy release."""
    philox = np.random.Philox(np.random.SeedSequence([seed, stream, *position]))
    return np.asarray(philox.random_raw(n), dtype=np.uint64)


def random_seed(seed: int, stream: Stream, *position: int) -> int:
    """A 64-bit seed for another kind of generator (torch's), the same on every platform."""
    return int(np.random.SeedSequence([seed, stream, *position]).generate_state(1, np.uint64)[0])


def make_splits(pack: Pack, config: RunConfig, copies: Indices | None = None) -> Splits:
    """The training, validation and test images of a run.

    subset_per_class takes that many images of each class from the set's train part *before* the
    validation images are cut from it, so "500 per class" costs 500 images a class in all.
    Validation images that the set brings are used whole. The cut is made class by class:
    validation_fraction of each, rounded, but at least 1 and at most all but one; a class with one
    image gives none. Where images belong together the cut takes whole groups, and comes as near to
    those numbers as the groups allow; a class of one group gives none. reduced_class then thins one
    class of what is left for training, to at least 1 image. For one seed a smaller subset is part
    of a larger one, and so is a smaller share of the thinned class.

    `copies` (N,): images with the same number are near-copies of one another, as
    `lab.data.quality.duplicates.copy_groups` has them; needed, and used, only with split_by
    "group". Groups of the pack itself are never cut, whatever the knob says.

    Raises ConfigError when reduced_class is no class of the set or subset_per_class leaves nothing
    to validate on; DataError when a class has no training image or the set cannot be cut.
    """
    names = pack.meta.class_names
    if config.reduced_class and config.reduced_class not in names:
        raise ConfigError(unknown_name("class", config.reduced_class, names))
    labels, classes = pack.labels, len(names)

    def rank(images: Indices, stream: Stream) -> Indices:
        # Keys belong to images of the pack, so leaving out others does not change them.
        keys = random_keys(len(labels), config.seed, stream)[images]
        return _rank_in_class(labels[images], keys, classes)

    train = pack.indices("train")
    counts = np.bincount(labels[train], minlength=classes)
    if not counts.all():
        empty = ", ".join(repr(name) for name, n in zip(names, counts, strict=True) if n == 0)
        raise DataError(
            f"{pack.meta.title} has no training image of {empty}. "
            "Add some, or leave the class out of the data set."
        )
    if config.subset_per_class:
        train = train[rank(train, Stream.SUBSET) < config.subset_per_class]

    val = pack.indices("val")
    if not len(val):
        counts = np.bincount(labels[train], minlength=classes)
        # Half up, as people round; min before max, because a class of one image gives none.
        rounded = np.floor(config.validation_fraction * counts + 0.5).astype(np.int64)
        cut = np.minimum(np.maximum(rounded, 1), counts - 1)
        if not cut.any():
            raise _nothing_to_validate_on(pack, config)
        groups = _groups_to_keep_whole(pack, config, copies)
        if groups is None:
            held_out = rank(train, Stream.VALIDATION) < cut[labels[train]]
        else:
            keys = random_keys(len(labels), config.seed, Stream.VALIDATION)
            held_out = _whole_groups(groups[train], labels[train], keys[train], cut)
            if not held_out.any():
                raise _one_group_a_class(pack)
        train, val = train[~held_out], train[held_out]

    if config.reduced_class:
        thinned = labels[train] == names.index(config.reduced_class)
        keep = max(1, int(np.floor(config.reduced_class_keep * thinned.sum() + 0.5)))
        train = train[~thinned | (rank(train, Stream.REDUCED) < keep)]

    weights = None
    if config.class_balancing == "weighted_loss":
        counts = np.bincount(labels[train], minlength=classes)
        # Times its class's count and summed, each class comes to n / K, and all of them to n.
        weights = (len(train) / (classes * counts)).astype(np.float32)
    return Splits(train=train, val=val, test=pack.indices("test"), class_weights=weights)


def cuts_by_copies(pack: Pack, config: RunConfig) -> bool:
    """Whether `make_splits` needs to know which images are near-copies of one another."""
    return config.split_by == "group" and not len(pack.indices("val"))


def _groups_to_keep_whole(pack: Pack, config: RunConfig, copies: Indices | None) -> Indices | None:
    """(N,) or None where each image may be cut off from every other."""
    if config.split_by == "group":
        if copies is None:
            raise ValueError("split_by is 'group', and nobody said which images are copies")
        return joined(pack.groups, copies)
    return joined(pack.groups, None)


def _whole_groups(
    groups: Indices, labels: Indices, keys: npt.NDArray[np.uint64], cut: Indices
) -> npt.NDArray[np.bool_]:
    """(n,) which images are held out: whole groups in random order, each taken where it brings the
    classes' counts nearer to `cut` (K,).

    A group's key is the smallest of its images', and no class loses all its images. A class that
    was to give some and got none, because each of its groups is more than twice too large, gives
    the smallest of them if it has another.
    """
    _, which = np.unique(groups, return_inverse=True)
    classes, count = len(cut), int(which.max()) + 1
    members = np.zeros((count, classes), dtype=np.int64)
    np.add.at(members, (which, labels), 1)
    key = np.full(count, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(key, which, keys)
    order = np.argsort(key, kind="stable")
    total = members.sum(axis=0)
    taken = np.zeros(count, dtype=bool)
    so_far = np.zeros(classes, dtype=np.int64)
    for group in order.tolist():
        after = so_far + members[group]
        nearer = np.abs(after - cut).sum() < np.abs(so_far - cut).sum()
        if nearer and (after < total)[members[group] > 0].all():
            taken[group], so_far = True, after
    for label in np.flatnonzero((cut > 0) & (so_far == 0)).tolist():
        own = order[members[order, label] > 0]
        own = own[np.argsort(members[own].sum(axis=1), kind="stable")]
        for group in own.tolist():
            after = so_far + members[group]
            if not taken[group] and (after < total)[members[group] > 0].all():
                taken[group], so_far = True, after
                break
    return np.asarray(taken[which])


def split_counts(
    counts: Mapping[str, Mapping[str, int]], config: RunConfig
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the training and the validation images of each class that `make_splits` will take.

    `counts` is split -> class -> images of the data set, as `DatasetInfo.counts`; without training
    images both are empty.
    """
    train = dict(counts.get("train", {}))
    if config.subset_per_class:
        train = {name: min(n, config.subset_per_class) for name, n in train.items()}
    val = dict(counts.get("val", {}))
    if not any(val.values()):
        val = {
            name: min(max(int(config.validation_fraction * n + 0.5), 1), max(n - 1, 0))
            for name, n in train.items()
        }
        train = {name: n - val[name] for name, n in train.items()}
    if config.reduced_class in train:
        thinned = int(config.reduced_class_keep * train[config.reduced_class] + 0.5)
        train[config.reduced_class] = max(1, thinned)
    return train, val


def epoch_order(
    splits: Splits, config: RunConfig, *, epoch: int, labels: npt.NDArray[np.int64]
) -> Indices:
    """(n,) int64: the training images of one epoch in the order they are used.

    `labels` are the pack's, (N,). Without oversampling each training image comes once. With it
    every class comes as often as the largest one, each of its images either floor or ceil of
    (largest / its count) times; which ones get the extra turn changes from epoch to epoch. n is the
    same in every epoch.
    """
    images = splits.train
    if config.class_balancing == "oversampling":
        image_labels = labels[images]
        counts = np.bincount(image_labels)
        largest = counts.max()
        rank = _rank_in_class(
            image_labels,
            random_keys(len(images), config.seed, Stream.OVERSAMPLING, epoch),
            len(counts),
        )
        images = np.repeat(
            images, largest // counts[image_labels] + (rank < largest % counts[image_labels])
        )
    keys = random_keys(len(images), config.seed, Stream.ORDER, epoch)
    return images[np.argsort(keys, kind="stable")]


def step_edges(splits: Splits, config: RunConfig, labels: npt.NDArray[np.int64]) -> Indices:
    """(steps + 1,) int64: step i, counted from 0, takes epoch_order(...)[edges[i] : edges[i + 1]].

    Batches are of batch_size and the last one is what is left, but not a single image, because
    batch normalisation cannot train on one: the batch before it lends it one of its own. At batch
    size 2 lending would only move the problem, so there the single image joins the batch before it.
    Only batch size 1, or a training set of one image, gives batches of one.
    """
    samples, size = _samples_in_epoch(splits, config, labels), config.batch_size
    if config.steps_per_epoch:
        samples = min(samples, config.steps_per_epoch * size)
    edges = np.append(np.arange(0, samples, size, dtype=np.int64), samples)
    if size > 1 and len(edges) > 2 and samples % size == 1:
        if size == 2:
            edges = np.delete(edges, -2)
        else:
            edges[-2] -= 1
    return edges


def steps_in_epoch(splits: Splits, config: RunConfig, labels: npt.NDArray[np.int64]) -> int:
    """ceil(samples / batch_size), or steps_per_epoch when that is smaller.

    One less only at batch size 2 with an odd number of samples: see `step_edges`.
    """
    return len(step_edges(splits, config, labels)) - 1


def _samples_in_epoch(splits: Splits, config: RunConfig, labels: npt.NDArray[np.int64]) -> int:
    if config.class_balancing != "oversampling":
        return len(splits.train)
    counts = np.bincount(labels[splits.train])
    return int(counts.max() * np.count_nonzero(counts))


def _rank_in_class(
    labels: npt.NDArray[np.int64], keys: npt.NDArray[np.uint64], classes: int
) -> Indices:
    """(n,) int64: each image's place, from 0, among those of its class by ascending key."""
    counts = np.bincount(labels, minlength=classes)
    rank = np.empty(len(labels), dtype=np.int64)
    first_of_class = np.repeat(np.cumsum(counts) - counts, counts)
    rank[np.lexsort((keys, labels))] = np.arange(len(labels)) - first_of_class
    return rank


def _one_group_a_class(pack: Pack) -> DataError:
    return DataError(
        f"All training images of each class of {pack.meta.title} belong to one group (one burst, "
        "or copies of one photograph), so none can be set aside for validation honestly. Add "
        "images that were taken on another occasion."
    )


def _nothing_to_validate_on(pack: Pack, config: RunConfig) -> ConfigError | DataError:
    if config.subset_per_class == 1:
        return ConfigError(
            "subset_per_class is 1, which leaves no image to validate on; "
            "take at least 2, or 0 for all."
        )
    return DataError(
        f"{pack.meta.title} has one training image a class, so none can be set aside for "
        "validation. Add images: at least 2 a class."
    )
