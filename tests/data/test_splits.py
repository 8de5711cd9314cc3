"""Splits and orders: who is in, who comes how often, and that nothing but the seed decides it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lab.config import RunConfig
from lab.data.pack import SPLITS, Pack, PackMeta
from lab.data.splits import (
    Splits,
    Stream,
    cuts_by_copies,
    epoch_order,
    make_splits,
    random_keys,
    random_seed,
    step_edges,
    steps_in_epoch,
)
from lab.errors import ConfigError, DataError

NAMES = ("cat", "dog", "owl")
OLD_CUT = [4, 18, 25, 30, 57, 59, 74, 80, 91, 92, 97, 130]
"""Of `a_pack(train=(60, 90, 150))` with the default settings, before there were groups."""


def a_pack(**counts: tuple[int, ...]) -> Pack:
    """`train=(10, 20, 30)`: so many images of each class, one pixel each, in a mixed-up order."""
    labels, split = [], []
    for name, per_class in counts.items():
        for label, n in enumerate(per_class):
            labels += [label] * n
            split += [SPLITS.index(name)] * n
    mixed = np.argsort(random_keys(len(labels), 7, Stream.ORDER))
    classes = len(next(iter(counts.values())))
    meta = PackMeta(
        dataset="test",
        title="A test set",
        story="",
        class_names=NAMES[:classes],
        drawn=True,
        channels=1,
        image_size=1,
        fit="stretch",
        source="",
        licence="",
        created="2026-01-01T00:00:00+00:00",
    )
    return Pack(
        meta=meta,
        images=np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels=np.array(labels, np.int64)[mixed],
        split=np.array(split, np.uint8)[mixed],
        names=tuple(str(i) for i in range(len(labels))),
        folder=Path("nowhere"),
    )


def per_class(pack: Pack, indices: np.ndarray) -> list[int]:
    return np.bincount(pack.labels[indices], minlength=len(pack.meta.class_names)).tolist()


def same(a: Splits, b: Splits) -> bool:
    return all(np.array_equal(getattr(a, s), getattr(b, s)) for s in SPLITS)


def test_validation_is_cut_from_each_class_and_the_parts_make_the_whole():
    pack = a_pack(train=(100, 45, 5), test=(7, 8, 9))
    splits = make_splits(pack, RunConfig(validation_fraction=0.1))
    assert per_class(pack, splits.val) == [10, 5, 1]  # 4.5 rounds up, 0.5 too
    assert per_class(pack, splits.train) == [90, 40, 4]
    assert np.array_equal(
        np.sort(np.concatenate([splits.train, splits.val])), pack.indices("train")
    )
    assert np.array_equal(splits.test, pack.indices("test"))
    for part in (splits.train, splits.val, splits.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert splits.class_weights is None


@pytest.mark.parametrize(
    ("n", "fraction", "held_out"),
    [(1, 0.5, 0), (2, 0.01, 1), (2, 0.5, 1), (3, 0.5, 2), (50, 0.01, 1), (1000, 0.25, 250)],
)
def test_each_class_gives_at_least_one_image_and_keeps_at_least_one(n, fraction, held_out):
    pack = a_pack(train=(n, 20))
    splits = make_splits(pack, RunConfig(validation_fraction=fraction))
    assert per_class(pack, splits.val)[0] == held_out
    assert per_class(pack, splits.train)[0] == n - held_out >= 1


def test_validation_images_of_the_set_are_used_whole_and_train_is_not_cut():
    pack = a_pack(train=(10, 20), val=(3, 4), test=(5, 6))
    splits = make_splits(pack, RunConfig(subset_per_class=5, validation_fraction=0.5))
    assert np.array_equal(splits.val, pack.indices("val"))
    assert per_class(pack, splits.train) == [5, 5]
    assert np.array_equal(splits.test, pack.indices("test"))


def test_a_set_without_test_images_has_an_empty_test_part():
    assert make_splits(a_pack(train=(10, 10)), RunConfig()).test.shape == (0,)


def test_subset_per_class_counts_the_validation_images_too():
    pack = a_pack(train=(100, 45, 5), test=(2, 2, 2))
    splits = make_splits(pack, RunConfig(subset_per_class=20, validation_fraction=0.25))
    assert per_class(pack, splits.train) == [15, 15, 4]
    assert per_class(pack, splits.val) == [5, 5, 1]
    assert per_class(pack, splits.test) == [2, 2, 2]


def test_a_smaller_subset_is_part_of_a_larger_one():
    pack = a_pack(train=(100, 80))

    def train_images(n: int) -> set[int]:
        splits = make_splits(pack, RunConfig(subset_per_class=n))
        return {*splits.train.tolist(), *splits.val.tolist()}

    assert train_images(10) < train_images(30) < train_images(90) < train_images(0)


def test_reduced_class_thins_training_images_of_that_class_only():
    pack = a_pack(train=(100, 100, 100), test=(5, 5, 5))
    whole = make_splits(pack, RunConfig())
    thin = make_splits(pack, RunConfig(reduced_class="dog", reduced_class_keep=0.1))
    assert per_class(pack, thin.train) == [90, 9, 90]
    assert np.array_equal(thin.val, whole.val)
    assert np.array_equal(thin.test, whole.test)
    assert set(thin.train.tolist()) < set(whole.train.tolist())
    half = make_splits(pack, RunConfig(reduced_class="dog", reduced_class_keep=0.5))
    assert set(thin.train.tolist()) < set(half.train.tolist())


def test_reduced_class_keeps_at_least_one_image():
    pack = a_pack(train=(20, 20))
    splits = make_splits(pack, RunConfig(reduced_class="cat", reduced_class_keep=0.001))
    assert per_class(pack, splits.train) == [1, 18]


def test_the_share_to_keep_means_nothing_without_a_class():
    pack = a_pack(train=(20, 20))
    assert same(
        make_splits(pack, RunConfig(reduced_class_keep=0.1)), make_splits(pack, RunConfig())
    )


def test_an_unknown_class_is_refused_with_the_close_names():
    with pytest.raises(ConfigError, match=r"Unknown class 'dogg'\. Did you mean 'dog'\?"):
        make_splits(a_pack(train=(9, 9)), RunConfig(reduced_class="dogg"))


def test_nothing_to_validate_on_is_refused():
    with pytest.raises(ConfigError, match="subset_per_class is 1"):
        make_splits(a_pack(train=(9, 9)), RunConfig(subset_per_class=1))
    with pytest.raises(DataError, match="A test set has one training image a class"):
        make_splits(a_pack(train=(1, 1), test=(5, 5)), RunConfig())


def test_subset_of_one_is_fine_when_the_set_brings_validation_images():
    pack = a_pack(train=(9, 9), val=(2, 2))
    assert per_class(pack, make_splits(pack, RunConfig(subset_per_class=1)).train) == [1, 1]


def test_a_class_without_training_images_is_refused():
    with pytest.raises(DataError, match="no training image of 'owl'"):
        make_splits(a_pack(train=(5, 5, 0), test=(1, 1, 1)), RunConfig())


def test_class_weights_are_inverse_to_frequency_with_mean_one_over_the_samples():
    pack = a_pack(train=(100, 50, 10), val=(1, 1, 1))
    splits = make_splits(pack, RunConfig(class_balancing="weighted_loss"))
    weights = splits.class_weights
    assert weights is not None
    assert weights.dtype == np.float32
    assert weights[pack.labels[splits.train]].mean() == pytest.approx(1)
    assert weights * [100, 50, 10] == pytest.approx(np.full(3, 160 / 3))
    assert make_splits(pack, RunConfig(class_balancing="oversampling")).class_weights is None


def test_only_the_seed_and_the_split_knobs_decide():
    pack = a_pack(train=(50, 60), test=(5, 5))
    first = make_splits(pack, RunConfig(seed=3))
    other_knobs = RunConfig(
        seed=3, batch_size=8, architecture="mlp", class_balancing="oversampling"
    )
    np.random.seed(0)
    assert same(first, make_splits(pack, other_knobs))
    assert not same(first, make_splits(pack, RunConfig(seed=4)))


def test_the_numbers_are_the_same_everywhere_and_for_ever():
    """Written down once: if one changes, old runs can no longer be repeated or resumed."""
    keys = random_keys(3, 5, Stream.ORDER, 2)
    assert keys.tolist() == [16459569810076308439, 8237756094113718472, 1504764240891945172]
    assert random_seed(5, Stream.AUGMENTATION, 2, 7) == 7029690101046500981
    pack, config = a_pack(train=(12, 8)), RunConfig(seed=1, validation_fraction=0.2)
    splits = make_splits(pack, config)
    assert splits.val.tolist() == [1, 3, 7, 14]
    order = epoch_order(splits, config, epoch=1, labels=pack.labels)
    assert order.tolist() == [6, 0, 11, 18, 15, 12, 5, 8, 4, 9, 19, 16, 10, 17, 13, 2]


def test_streams_and_positions_give_different_numbers():
    seeds = [
        random_seed(s, t, e, k) for s in (0, 1) for t in Stream for e in (1, 2) for k in (0, 1)
    ]
    assert len(set(seeds)) == len(seeds)


def test_an_epoch_is_a_permutation_of_the_training_images_and_each_epoch_another():
    pack = a_pack(train=(40, 60))
    config = RunConfig(seed=2)
    splits = make_splits(pack, config)
    orders = [epoch_order(splits, config, epoch=e, labels=pack.labels) for e in (1, 2, 1)]
    for order in orders:
        assert order.dtype == np.int64
        assert np.array_equal(np.sort(order), splits.train)
    assert np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])
    other = epoch_order(splits, RunConfig(seed=3), epoch=1, labels=pack.labels)
    assert not np.array_equal(orders[0], other)


def test_the_order_does_not_keep_classes_together():
    pack = a_pack(train=(500, 500))
    config = RunConfig()
    order = epoch_order(make_splits(pack, config), config, epoch=1, labels=pack.labels)
    firsts = pack.labels[order[:100]].mean()
    assert 0.3 < firsts < 0.7


def test_oversampling_brings_every_class_to_the_largest_evenly():
    pack = a_pack(train=(100, 30, 7), val=(1, 1, 1))
    config = RunConfig(class_balancing="oversampling")
    splits = make_splits(pack, config)
    extra = []
    for epoch in (1, 2, 3):
        order = epoch_order(splits, config, epoch=epoch, labels=pack.labels)
        assert per_class(pack, order) == [100, 100, 100]
        times = np.bincount(order, minlength=len(pack))[splits.train]
        own = pack.labels[splits.train]
        assert set(times[own == 0]) == {1}
        assert set(times[own == 1]) == {3, 4}
        assert set(times[own == 2]) == {14, 15}
        extra.append(frozenset(splits.train[(own == 1) & (times == 4)].tolist()))
    assert len(set(extra)) == 3  # not always the same images get the extra turn


@pytest.mark.parametrize(
    ("samples", "batch", "limit", "sizes"),
    [
        (10, 4, 0, [4, 4, 2]),
        (8, 4, 0, [4, 4]),
        (9, 4, 0, [4, 3, 2]),  # 4, 4, 1: the last borrows one
        (5, 2, 0, [2, 3]),  # 2, 2, 1: it joins instead
        (7, 3, 0, [3, 2, 2]),
        (4, 3, 0, [2, 2]),
        (3, 2, 0, [3]),
        (3, 1, 0, [1, 1, 1]),
        (2, 32, 0, [2]),
        (1, 32, 0, [1]),
        (10, 4, 2, [4, 4]),
        (9, 4, 2, [4, 4]),
        (9, 4, 3, [4, 3, 2]),
        (9, 4, 99, [4, 3, 2]),
        (5, 2, 2, [2, 2]),
    ],
)
def test_steps(samples, batch, limit, sizes):
    splits = Splits(np.arange(samples), np.arange(0), np.arange(0), None)
    config = RunConfig(batch_size=batch, steps_per_epoch=limit)
    labels = np.zeros(samples, np.int64)
    assert np.diff(step_edges(splits, config, labels)).tolist() == sizes
    assert steps_in_epoch(splits, config, labels) == len(sizes)


def test_steps_are_ceil_of_samples_over_batch_for_every_batch_above_two():
    labels = np.zeros(200, np.int64)
    for samples in range(1, 201):
        splits = Splits(np.arange(samples), np.arange(0), np.arange(0), None)
        for batch in (3, 4, 7, 20, 32, 199, 200):
            config = RunConfig(batch_size=batch)
            sizes = np.diff(step_edges(splits, config, labels))
            assert len(sizes) == -(-samples // batch) == steps_in_epoch(splits, config, labels)
            assert sizes.sum() == samples
            assert sizes.max() <= batch
            assert samples == 1 or sizes.min() >= 2


def test_oversampling_lengthens_the_epoch():
    pack = a_pack(train=(100, 10), val=(1, 1))
    config = RunConfig(class_balancing="oversampling", batch_size=30)
    splits = make_splits(pack, config)
    assert steps_in_epoch(splits, config, pack.labels) == 7  # ceil(200 / 30)
    order = epoch_order(splits, config, epoch=1, labels=pack.labels)
    assert step_edges(splits, config, pack.labels)[-1] == len(order) == 200


# --- images that belong together ------------------------------------------------------------------
def grouped(pack: Pack, groups: np.ndarray) -> Pack:
    return dataclasses.replace(pack, groups=groups.astype(np.int64))


def in_threes(pack: Pack, *, size: int = 3) -> np.ndarray:
    """Groups of `size` images of one class, over all splits."""
    groups = np.empty(len(pack), dtype=np.int64)
    for label in range(len(pack.meta.class_names)):
        rows = np.flatnonzero(pack.labels == label)
        groups[rows] = 1000 * label + np.arange(len(rows)) // size
    return groups


def cut_groups(groups: np.ndarray, splits: Splits) -> int:
    return len(np.intersect1d(groups[splits.train], groups[splits.val]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_cut_by_group_parts_no_group_and_keeps_the_classes_shares(seed: int, size: int) -> None:
    pack = a_pack(train=(60, 90, 150), test=(5, 5, 5))
    copies = in_threes(pack, size=size)
    config = RunConfig(split_by="group", validation_fraction=0.2, seed=seed)
    splits = make_splits(pack, config, copies)
    assert cut_groups(copies, splits) == 0
    assert sorted([*splits.train, *splits.val]) == pack.indices("train").tolist()
    for count, wanted in zip(per_class(pack, splits.val), (12, 18, 30), strict=True):
        assert abs(count - wanted) <= size / 2
    again = make_splits(pack, config, copies)
    assert (again.val == splits.val).all()
    other = make_splits(pack, config.changed(seed=seed + 100), copies)
    assert not np.array_equal(other.val, splits.val)


def test_a_cut_by_image_goes_through_the_copies_as_it_always_did() -> None:
    pack = a_pack(train=(60, 90, 150))
    copies = in_threes(pack)
    before = make_splits(pack, RunConfig())
    assert cut_groups(copies, before) > 10
    assert (make_splits(pack, RunConfig(), copies).val == before.val).all()
    assert before.val[:12].tolist() == OLD_CUT  # old runs keep their validation images


def test_groups_of_the_pack_are_never_cut() -> None:
    pack = a_pack(train=(60, 90, 150))
    bursts, copies = in_threes(pack), in_threes(pack, size=5)
    splits = make_splits(grouped(pack, bursts), RunConfig())
    assert cut_groups(bursts, splits) == 0
    both = make_splits(grouped(pack, bursts), RunConfig(split_by="group"), copies)
    assert cut_groups(bursts, both) == cut_groups(copies, both) == 0


def test_groups_of_one_image_are_cut_in_the_same_shares_as_images() -> None:
    pack = a_pack(train=(9, 20, 31))
    alone = np.arange(len(pack))
    splits = make_splits(pack, RunConfig(split_by="group"), alone)
    assert per_class(pack, splits.val) == per_class(pack, make_splits(pack, RunConfig()).val)


def test_groups_over_several_classes() -> None:
    pack = a_pack(train=(40, 40, 40))
    groups = np.empty(len(pack), dtype=np.int64)
    for label in range(3):  # a picture of each class in every group
        groups[np.flatnonzero(pack.labels == label)] = np.arange(40)
    splits = make_splits(pack, RunConfig(split_by="group"), groups)
    assert cut_groups(groups, splits) == 0
    assert per_class(pack, splits.val) == [4, 4, 4]


def test_every_class_gives_some_where_it_has_two_groups_and_keeps_some() -> None:
    pack = a_pack(train=(30, 31, 30))
    groups = np.empty(len(pack), dtype=np.int64)
    for label, sizes in enumerate(([15, 15], [21, 10], [30])):
        rows = np.flatnonzero(pack.labels == label)
        groups[rows] = 10 * label + np.repeat(np.arange(len(sizes)), sizes)
    splits = make_splits(pack, RunConfig(split_by="group"), groups)
    assert per_class(pack, splits.val) == [15, 10, 0]
    assert per_class(pack, splits.train) == [15, 21, 30]


def test_nothing_to_set_aside_where_every_class_is_one_group() -> None:
    pack = a_pack(train=(10, 10, 10))
    with pytest.raises(DataError, match="belong to one group"):
        make_splits(grouped(pack, pack.labels), RunConfig())


def test_by_group_without_groups_is_a_mistake_unless_nothing_is_cut() -> None:
    config = RunConfig(split_by="group")
    with pytest.raises(ValueError, match="which images are copies"):
        make_splits(a_pack(train=(10, 10, 10)), config)
    own = a_pack(train=(10, 10, 10), val=(2, 2, 2))
    assert not cuts_by_copies(own, config)
    assert per_class(own, make_splits(own, config).val) == [2, 2, 2]


def test_a_subset_of_groups_is_cut_whole() -> None:
    pack = a_pack(train=(60, 90, 150))
    copies = in_threes(pack)
    splits = make_splits(pack, RunConfig(split_by="group", subset_per_class=20), copies)
    assert cut_groups(copies, splits) == 0
    kept = np.array(per_class(pack, splits.train)) + per_class(pack, splits.val)
    assert kept.tolist() == [20, 20, 20]
