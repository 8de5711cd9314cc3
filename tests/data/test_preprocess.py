"""What the network sees: exact, invertible, and made from training images only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import normalize, to_tensor

import lab.data.preprocess as preprocess_module
from lab.config import RunConfig
from lab.data.pack import Pack, PackMeta
from lab.data.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocess,
    make_preprocess,
    statistics,
    to_pixels,
)
from lab.data.splits import Splits, make_splits
from lab.errors import DataError


def a_pack(images: np.ndarray) -> Pack:
    """Two classes by turns; the last quarter is the test set."""
    n = len(images)
    meta = PackMeta(
        dataset="test",
        title="A test set",
        story="",
        class_names=("cat", "dog"),
        drawn=True,
        channels=images.shape[3],
        image_size=images.shape[1],
        fit="stretch",
        source="",
        licence="",
        created="2026-01-01T00:00:00+00:00",
    )
    split = np.where(np.arange(n) < n * 3 // 4, 0, 2).astype(np.uint8)
    labels = np.arange(n, dtype=np.int64) % 2
    return Pack(meta, images, labels, split, tuple(str(i) for i in range(n)), Path("nowhere"))


def noise(n: int, size: int, channels: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    brightest = rng.integers(40, 256, size=(n, 1, 1, channels))
    return (rng.random((n, size, size, channels)) * brightest).astype(np.uint8)


def every_value(channels: int) -> torch.Tensor:
    """(1, 16, 16, C) with all 256 values in every channel, each channel in another order."""
    values = torch.arange(256, dtype=torch.uint8)
    return torch.stack([values.roll(85 * c) for c in range(channels)], 1).view(1, 16, 16, channels)


def imagenet(size: int) -> Preprocess:
    return Preprocess(3, size, IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("channels", [1, 3])
def test_to_float_is_the_float_nearest_to_a_255th_for_every_value(channels):
    pixels = every_value(channels)
    x = Preprocess(channels, 16, (0.3,) * channels, (0.2,) * channels).to_float(pixels)
    assert x.shape == (1, channels, 16, 16)
    assert x.dtype == torch.float32
    expected = (pixels.numpy() / 255).astype(np.float32)
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), expected)
    assert torch.equal(x[0], to_tensor(pixels[0].numpy()))  # torchvision's


def test_normalise_is_torchvisions():
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = normalize(x, list(IMAGENET_MEAN), list(IMAGENET_STD))
    before = x.clone()
    assert torch.allclose(imagenet(8).normalise(x), expected, atol=1e-6)
    assert torch.equal(x, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_call_is_normalise_of_to_float_to_the_last_bit(channels):
    preprocess = Preprocess(
        channels, 12, (0.31, 0.42, 0.53)[:channels], (0.2, 0.25, 0.3)[:channels]
    )
    pixels = torch.from_numpy(noise(7, 12, channels))
    before = pixels.clone()
    x = preprocess(pixels)
    assert torch.equal(x, preprocess.normalise(preprocess.to_float(pixels)))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, before)


def test_memory_order_in_does_not_change_the_numbers():
    preprocess = imagenet(8)
    x = preprocess.to_float(torch.from_numpy(noise(4, 8, 3)))
    planar = x.contiguous(memory_format=torch.contiguous_format)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(preprocess.normalise(x), preprocess.normalise(planar))


def test_part_of_a_larger_tensor_is_fine():
    pixels = torch.from_numpy(noise(6, 8, 3))
    assert torch.equal(imagenet(8)(pixels[::2]), imagenet(8)(pixels)[::2])
    window = torch.from_numpy(noise(6, 10, 3))[:, 1:9, 1:9]
    assert torch.equal(imagenet(8)(window), imagenet(8)(window.contiguous()))


def test_gradient_flows_through_normalise():
    preprocess_module._row.cache_clear()
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    with torch.inference_mode():
        imagenet(8).normalise(torch.rand(1, 3, 8, 8))  # the scale is first made here
    imagenet(8).normalise(x).sum().backward()
    assert x.grad is not None
    expected = 1 / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert torch.allclose(x.grad, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.0, 1.0), (0.485, 0.229), (0.0012, 0.0039), (0.999, 0.0001), (0.5, 0.5)],
)
def test_undo_gives_back_every_value(channels, mean, std):
    preprocess = Preprocess(channels, 16, (mean,) * channels, (std,) * channels)
    pixels = every_value(channels)
    back = preprocess.undo(preprocess(pixels))
    assert back.dtype == torch.uint8
    assert torch.equal(back, pixels)
    assert torch.equal(to_pixels(preprocess.to_float(pixels)), pixels)


def test_undo_clips_what_is_out_of_range():
    preprocess = Preprocess(1, 2, (0.5,), (0.5,))
    x = torch.tensor([-9.0, -1.0, 1.0, 9.0]).view(1, 1, 2, 2)
    assert preprocess.undo(x).flatten().tolist() == [0, 0, 255, 255]


def test_grey_becomes_colour_by_repetition():
    pixels = torch.from_numpy(noise(3, 8, 1))
    x = imagenet(8)(pixels)
    assert x.shape == (3, 3, 8, 8)
    assert torch.equal(x, imagenet(8)(pixels.repeat(1, 1, 1, 3)))
    assert torch.equal(imagenet(8).undo(x), pixels.repeat(1, 1, 1, 3))
    unscaled = Preprocess(3, 8, (0.0,) * 3, (1.0,) * 3)(pixels)
    unscaled[:, 0].zero_()  # a tensor of its own: the channels do not share memory
    assert torch.equal(unscaled[:, 1], pixels[..., 0] / 255)


def test_colour_becomes_grey_as_in_pillow():
    pixels = noise(4, 16, 3)
    preprocess = Preprocess(1, 16, (0.0,), (1.0,))
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in pixels])
    assert np.array_equal(preprocess.undo(preprocess(torch.from_numpy(pixels)))[..., 0], expected)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (torch.zeros(2, 8, 9, 3, dtype=torch.uint8), "8, 8, C"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "8, 8, C"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "8, 8, C"),
        (torch.zeros(2, 8, 8, 3), "float32"),
        (torch.zeros(2, 8, 8, 4, dtype=torch.uint8), "got 4"),
    ],
)
def test_wrong_images_are_refused(pixels, words):
    with pytest.raises(ValueError, match=words):
        imagenet(8)(pixels)


@pytest.mark.parametrize(
    "values",
    [
        (2, 8, (0.0, 0.0), (1.0, 1.0)),
        (3, 8, (0.0,), (1.0,)),
        (1, 8, (0.0,), (0.0,)),
        (1, 8, (float("nan"),), (1.0,)),
    ],
)
def test_wrong_values_are_refused(values):
    with pytest.raises(ValueError, match=r"channels|finite"):
        Preprocess(*values)


def test_json_round_trip():
    original = Preprocess(3, 28, (1 / 3, 0.1, 0.7), (0.2, 1 / 7, 0.25))
    again = Preprocess.from_dict(json.loads(json.dumps(original.to_dict())))
    assert again == original
    assert hash(again) == hash(original)


@pytest.mark.parametrize(
    "values",
    [{}, {"channels": 1, "image_size": 8, "mean": [0.0], "std": [0.0]}, {"channels": "x"}],
)
def test_stored_nonsense_is_refused_in_one_sentence(values):
    with pytest.raises(DataError, match="stored preprocessing cannot be used"):
        Preprocess.from_dict(values)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chunk", [1, 1000, 10**9])
def test_statistics_are_numpys(channels, chunk, monkeypatch):
    monkeypatch.setattr(preprocess_module, "_CHUNK_BYTES", chunk)
    images = noise(20, 9, channels)
    rows = np.array([0, 3, 4, 11, 19])
    measured = statistics(a_pack(images), rows)
    pixels = images[rows].astype(np.float64) / 255
    assert measured.mean == pytest.approx(pixels.mean((0, 1, 2)), rel=1e-12)
    assert measured.std == pytest.approx(pixels.std((0, 1, 2)), rel=1e-12)
    assert measured.images == 5
    assert measured.counts.sum(1).tolist() == [5 * 81] * channels
    assert np.array_equal(
        measured.counts[0], np.bincount(images[rows][..., 0].ravel(), minlength=256)
    )


def test_statistics_of_colour_as_grey():
    images = noise(10, 9, 3)
    measured = statistics(a_pack(images), np.arange(10), channels=1)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images]) / 255
    assert measured.mean == pytest.approx([grey.mean()], rel=1e-12)
    assert measured.std == pytest.approx([grey.std()], rel=1e-12)


def test_statistics_of_a_large_set_look_at_a_part_that_is_always_the_same(monkeypatch):
    pack = a_pack(noise(400, 8, 1))
    whole = statistics(pack, np.arange(400))
    monkeypatch.setattr(preprocess_module, "STATISTICS_BYTES", 100 * 64)
    part = statistics(pack, np.arange(400))
    assert part.images == 100
    assert np.array_equal(part.counts, statistics(pack, np.arange(400)).counts)
    assert part.mean == pytest.approx(whole.mean, abs=0.05)
    assert not np.array_equal(part.counts, statistics(pack, np.arange(100)).counts)


def test_statistics_of_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        statistics(a_pack(noise(4, 8, 1)), np.arange(0))


def test_standard_looks_at_training_images_only():
    images = noise(40, 8, 3)
    images[30:] = 255  # the test images
    pack, config = a_pack(images), RunConfig(normalisation="standard")
    splits = make_splits(pack, config)
    images[splits.val] = 0
    made = make_preprocess(config, pack, splits, channels=3)
    train = images[splits.train].astype(np.float64) / 255
    assert made.mean == pytest.approx(train.mean((0, 1, 2)), rel=1e-12)
    assert made.std == pytest.approx(train.std((0, 1, 2)), rel=1e-12)
    x = made(torch.from_numpy(images[splits.train]))
    assert x.mean((0, 2, 3)).numpy() == pytest.approx(np.zeros(3), abs=1e-5)
    assert x.std((0, 2, 3), correction=0).numpy() == pytest.approx(np.ones(3), abs=1e-5)
    assert made.image_size == 8


@pytest.mark.parametrize(
    ("knobs", "mean", "std"),
    [
        ({"normalisation": "unit"}, (0, 0, 0), (1, 1, 1)),
        ({"normalisation": "imagenet"}, IMAGENET_MEAN, IMAGENET_STD),
        ({"normalisation": "auto", "freeze": "head_only"}, IMAGENET_MEAN, IMAGENET_STD),
        ({"normalisation": "unit", "freeze": "full"}, (0, 0, 0), (1, 1, 1)),
    ],
)
def test_scalings_that_need_no_looking(knobs, mean, std):
    nothing = np.arange(0)
    made = make_preprocess(
        RunConfig(**knobs),
        a_pack(noise(8, 8, 3)),
        Splits(nothing, nothing, nothing, None),
        channels=3,
    )
    assert (made.mean, made.std) == (mean, std)


def test_auto_is_standard_from_scratch():
    pack = a_pack(noise(20, 8, 1))
    splits = make_splits(pack, RunConfig())
    auto = make_preprocess(RunConfig(), pack, splits, channels=1)
    standard = make_preprocess(RunConfig(normalisation="standard"), pack, splits, channels=1)
    assert auto == standard
    assert 0 < auto.mean[0] < 1


@pytest.mark.parametrize(("have", "want"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("scaling", ["unit", "standard", "imagenet"])
def test_network_and_set_may_differ_in_channels(have, want, scaling):
    pack, config = a_pack(noise(20, 8, have)), RunConfig(normalisation=scaling)
    splits = make_splits(pack, config)
    made = make_preprocess(config, pack, splits, channels=want)
    x = made(torch.from_numpy(pack.images[splits.train]))
    assert x.shape[1] == made.channels == want
    if scaling == "standard":
        assert x.mean().item() == pytest.approx(0, abs=1e-5)
        assert x.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_a_channel_that_never_changes_keeps_its_scale():
    images = noise(20, 8, 3)
    images[..., 1] = 77
    pack = a_pack(images)
    config = RunConfig(normalisation="standard")
    made = make_preprocess(config, pack, make_splits(pack, config), channels=3)
    assert made.std[1] == 1
    x = made(torch.from_numpy(images))
    assert x.isfinite().all()
    assert x[:, 1].abs().max() < 1e-6
    assert torch.equal(made.undo(x), torch.from_numpy(images))
