"""Batches: the right images, once each, changed only where they should be, from any step on."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from lab.config import RunConfig
from lab.data.batches import Batch, eval_batches, preview_batch, train_batches
from lab.data.pack import Pack, load_pack
from lab.data.preprocess import Preprocess, make_preprocess
from lab.data.splits import Splits, epoch_order, make_splits, steps_in_epoch
from lab.home import home_folder
from tests.tiny_data import make_tiny_pack

CHANGES = {
    "horizontal_flip": True,
    "rotation_degrees": 10.0,
    "width_shift": 0.1,
    "brightness": 0.2,
}


@pytest.fixture
def pack() -> Pack:
    """90 training and 30 test images of three classes, 16x16 grey, mapped from disk."""
    return load_pack(home_folder("packs") / make_tiny_pack())


def prepared(pack: Pack, config: RunConfig, channels: int = 1) -> tuple[Splits, Preprocess]:
    splits = make_splits(pack, config)
    return splits, make_preprocess(config, pack, splits, channels=channels)


def an_epoch(pack: Pack, config: RunConfig, *, epoch: int = 1, start_step: int = 0) -> list[Batch]:
    splits, preprocess = prepared(pack, config)
    return list(
        train_batches(
            pack, splits, config, preprocess, epoch=epoch, start_step=start_step, device="cpu"
        )
    )


def equal(a: Batch, b: Batch) -> bool:
    return (
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and np.array_equal(a.indices, b.indices)
    )


def plain(pack: Pack, preprocess: Preprocess, indices: np.ndarray) -> torch.Tensor:
    return preprocess(torch.from_numpy(np.array(pack.images[indices])))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_its_images_and_labels(pack, channels):
    config = RunConfig(batch_size=20)
    splits, preprocess = prepared(pack, config, channels)
    for batch in train_batches(pack, splits, config, preprocess, epoch=1, device="cpu"):
        n = len(batch.indices)
        assert batch.images.shape == (n, channels, 16, 16)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.shape == (n,)
        assert batch.labels.dtype == torch.int64
        assert torch.equal(batch.images, plain(pack, preprocess, batch.indices))
        assert batch.labels.tolist() == pack.labels[batch.indices].tolist()


def test_an_epoch_is_the_order_cut_into_steps(pack):
    config = RunConfig(batch_size=32, seed=5)
    splits, _ = prepared(pack, config)
    batches = an_epoch(pack, config, epoch=3)
    assert [len(b.indices) for b in batches] == [32, 32, 17]
    assert len(batches) == steps_in_epoch(splits, config, pack.labels)
    assert np.array_equal(
        np.concatenate([b.indices for b in batches]),
        epoch_order(splits, config, epoch=3, labels=pack.labels),
    )


def test_sample_counts_add_up_and_weigh_averages_right(pack):
    config = RunConfig(batch_size=16)  # 81 training images: 16 x 4, 15, 2
    splits, _ = prepared(pack, config)
    batches = an_epoch(pack, config)
    sizes = [len(b.labels) for b in batches]
    assert sizes == [16, 16, 16, 16, 15, 2]
    assert sum(sizes) == len(splits.train) == 81
    weighted = sum(b.images.mean().item() * len(b.labels) for b in batches) / sum(sizes)
    assert weighted == pytest.approx(0, abs=1e-5)  # standardised on exactly these images


def test_batch_normalisation_can_train_on_every_batch(pack):
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 4), nn.BatchNorm1d(4)).train()
    for size in (2, 4, 5, 8, 16, 20, 40, 80):  # 81 images leave a single one
        for batch in an_epoch(pack, RunConfig(batch_size=size)):
            net(batch.images)


@pytest.mark.parametrize("knobs", [{}, CHANGES, CHANGES | {"class_balancing": "oversampling"}])
def test_starting_later_gives_exactly_the_same_batches(pack, knobs):
    config = RunConfig(batch_size=10, seed=3, **knobs)
    whole = an_epoch(pack, config, epoch=2)
    for start in range(len(whole) + 1):
        later = an_epoch(pack, config, epoch=2, start_step=start)
        assert len(later) == len(whole) - start
        assert all(equal(a, b) for a, b in zip(later, whole[start:], strict=True))


def test_batches_repeat_whatever_the_global_generators_do(pack):
    config = RunConfig(batch_size=10, **CHANGES)
    splits, preprocess = prepared(pack, config)
    first = an_epoch(pack, config)
    for expected, batch in zip(
        first,
        train_batches(pack, splits, config, preprocess, epoch=1, device="cpu"),
        strict=True,
    ):
        torch.rand(3)
        np.random.rand(3)
        assert equal(batch, expected)


def test_two_threads_get_the_same_batches(pack):
    config = RunConfig(batch_size=10, **CHANGES)
    epochs: list[list[Batch]] = []
    threads = [
        threading.Thread(target=lambda: epochs.append(an_epoch(pack, config))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(equal(a, b) for a, b in zip(*epochs, strict=True))


def test_epochs_and_seeds_differ_in_order_and_augmentation(pack):
    config = RunConfig(batch_size=90, rotation_degrees=20)
    first = an_epoch(pack, config, epoch=1)[0]
    second = an_epoch(pack, config, epoch=2)[0]
    assert not np.array_equal(first.indices, second.indices)
    one, two = first.images[first.indices.argsort()], second.images[second.indices.argsort()]
    assert ((one - two).abs().amax((1, 2, 3)) > 0.01).all()
    assert not equal(first, an_epoch(pack, config.changed(seed=1), epoch=1)[0])


def test_every_step_of_every_epoch_draws_changes_of_its_own(pack):
    """The same image at the same place of two batches is changed differently."""
    config = RunConfig(batch_size=2, brightness=0.5)
    splits, preprocess = prepared(pack, config)
    one = Splits(np.repeat(splits.train[:1], 20), splits.val, splits.test, None)
    batches = [
        batch
        for epoch in (1, 2)
        for batch in train_batches(pack, one, config, preprocess, epoch=epoch, device="cpu")
    ]
    assert len({image.numpy().tobytes() for b in batches for image in b.images}) == 40


def test_training_images_are_augmented_and_their_labels_are_not(pack):
    config = RunConfig(batch_size=30, **CHANGES)
    _, preprocess = prepared(pack, config)
    batches = an_epoch(pack, config)
    without = an_epoch(pack, RunConfig(batch_size=30))
    for batch, before in zip(batches, without, strict=True):
        assert np.array_equal(batch.indices, before.indices)
        assert torch.equal(batch.labels, before.labels)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        change = (batch.images - plain(pack, preprocess, batch.indices)).abs().amax((1, 2, 3))
        assert (change > 0.01).all()


def test_steps_per_epoch_takes_the_first_steps(pack):
    config = RunConfig(batch_size=10, seed=2)
    short = an_epoch(pack, config.changed(steps_per_epoch=3))
    assert len(short) == 3
    whole = an_epoch(pack, config)
    assert all(equal(a, b) for a, b in zip(short, whole[:3], strict=True))


def test_oversampled_epochs_hold_equal_classes(pack):
    config = RunConfig(
        batch_size=16,
        class_balancing="oversampling",
        reduced_class="middle",
        reduced_class_keep=0.1,
    )
    labels = torch.cat([b.labels for b in an_epoch(pack, config)])
    assert labels.bincount().tolist() == [27, 27, 27]


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluation_is_never_shuffled_or_augmented(pack, part):
    config = RunConfig(batch_size=7, **CHANGES)
    splits, preprocess = prepared(pack, config)
    indices = getattr(splits, part)
    batches = list(eval_batches(pack, indices, preprocess, batch_size=7, device="cpu"))
    assert np.array_equal(np.concatenate([b.indices for b in batches]), indices)
    images = torch.cat([b.images for b in batches])
    assert torch.equal(images, plain(pack, preprocess, indices))
    assert torch.cat([b.labels for b in batches]).tolist() == pack.labels[indices].tolist()
    sizes = [len(b.labels) for b in batches]
    assert sum(sizes) == len(indices)
    assert set(sizes[:-1]) == {7}


def test_evaluation_keeps_the_order_it_is_given_and_a_last_single_image(pack):
    _, preprocess = prepared(pack, RunConfig())
    indices = np.array([100, 3, 50, 3, 7])
    batches = list(eval_batches(pack, indices, preprocess, batch_size=2, device="cpu"))
    assert [b.indices.tolist() for b in batches] == [[100, 3], [50, 3], [7]]
    assert torch.equal(batches[0].images[1], batches[1].images[1])


def test_no_images_no_batches(pack):
    _, preprocess = prepared(pack, RunConfig())
    assert not list(eval_batches(pack, np.arange(0), preprocess, batch_size=4, device="cpu"))


def test_the_pack_on_disk_is_left_alone(pack):
    before = np.array(pack.images)
    config = RunConfig(batch_size=16, normalisation="unit", **CHANGES)
    for batch in an_epoch(pack, config):
        batch.images.zero_()
    for batch in an_epoch(pack, RunConfig(batch_size=16, normalisation="unit")):
        batch.images.zero_()
    assert np.array_equal(pack.images, before)


def test_mixed_batches_are_the_same_from_any_step_on(pack):
    config = RunConfig(batch_size=16, mixup=0.4, cutmix=1.0, auto_augment="rand", crop_scale=0.5)
    whole, later = an_epoch(pack, config), an_epoch(pack, config, start_step=2)
    for one, two in zip(whole[2:], later, strict=True):
        assert torch.equal(one.images, two.images)
        assert one.mix is not None
        assert two.mix is not None
        assert one.mix.share == two.mix.share
        assert torch.equal(one.mix.others, one.labels.roll(1))
    shares = {batch.mix.share for batch in whole if batch.mix}
    assert len(shares) > 1
    again = an_epoch(pack, config, epoch=2)
    assert not torch.equal(again[0].images, whole[0].images)


def test_a_batch_to_show_is_changed_as_in_training(pack):
    config = RunConfig(mixup=1.0, horizontal_flip=True)
    images = np.array(pack.images[:8])
    shown = preview_batch(images, config, seed=1)
    assert shown.shape == images.shape
    assert shown.dtype == np.uint8
    assert not np.array_equal(shown, images)
    assert np.array_equal(preview_batch(images, RunConfig(), seed=1), images)
