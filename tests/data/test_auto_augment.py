"""Crop, erasing and the automatic augmentation against torchvision's operations, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from lab.config import RunConfig
from lab.data.augment import Augmentation, AugmentationParameters
from lab.data.auto_augment import LEVELS, OPERATIONS, POLICIES, AutoAugment
from tests.data.test_augment import generator, parameters, pictures

SIDE = 24
NAMES = (
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color",
    "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
)  # fmt: skip
"""torchvision's, in the order of ours."""
THEIRS = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}


def changed(policy: str, images: torch.Tensor, operation: int, levels: list[int]) -> torch.Tensor:
    """Ours, one operation at each image's own level."""
    augmentation = Augmentation(RunConfig(auto_augment=policy))
    rounds = POLICIES[policy].rounds
    operations = torch.zeros(len(images), rounds, dtype=torch.int64)
    operations[:, 0] = operation
    signed = torch.zeros(len(images), rounds, dtype=torch.int64)
    signed[:, 0] = torch.tensor(levels)
    drawn = parameters(len(images))
    return augmentation.apply(
        images, AugmentationParameters(**vars(drawn) | {"automatic": (operations, signed)})
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["trivial", "rand"])
@pytest.mark.parametrize("operation", range(len(OPERATIONS)), ids=OPERATIONS)
def test_each_operation_is_torchvision_s(policy, operation, channels):
    levels = [3, -9, 17, -30] if 1 <= operation <= 9 else [3, 9, 17, 30]
    x = pictures(len(levels), channels, SIDE)
    theirs = THEIRS[policy]()
    magnitudes, signed = theirs._AUGMENTATION_SPACE[NAMES[operation]]
    table = magnitudes(LEVELS, SIDE, SIDE)
    assert signed == (1 <= operation <= 9)
    ours = changed(policy, x, operation, levels)
    # A picture of ones that is moved likewise: where it is 1, no border is in sight.
    within = torch.ones(1, 1, SIDE, SIDE)
    seen = 0
    for image, level, mine in zip(x, levels, ours, strict=True):
        magnitude = 0.0 if table is None else float(table[abs(level)]) * (-1 if level < 0 else 1)
        expected, inside = (
            theirs._apply_image_or_video_transform(
                each, NAMES[operation], magnitude, interpolation=v2.InterpolationMode.BILINEAR,
                fill={torch.Tensor: 0.0},
            ) if operation < 6 or each is not within else within
            for each in (image[None], within)
        )  # fmt: skip
        there = (inside > 0.9999).expand_as(expected)
        seen += int(there.sum())
        difference = (expected - mine[None])[there].abs()
        assert not len(difference) or difference.max() < 2e-5
    assert seen > x.numel() / 5


def test_levels_and_operations_are_drawn_evenly():
    chance = torch.rand(30_000, 6, generator=generator())
    operations, levels = AutoAugment(RunConfig(auto_augment="trivial")).draw(chance)
    assert operations.shape == levels.shape == (30_000, 1)
    counts = torch.bincount(operations[:, 0], minlength=14)
    assert (counts / 30_000 - 1 / 14).abs().max() < 0.01
    rotated = levels[operations == 5]
    assert set(rotated.tolist()) == set(range(-30, 31))
    assert set(levels[operations == 11].tolist()) == set(range(31))
    operations, levels = AutoAugment(RunConfig(auto_augment="rand", rand_magnitude=4)).draw(chance)
    assert operations.shape == (30_000, 2)
    assert set(levels.abs().flatten().tolist()) == {4}
    assert not torch.equal(operations[:, 0], operations[:, 1])


def test_a_crop_is_torchvision_s_resized_crop():
    x = pictures(2, 3, SIDE)
    box = torch.tensor([[5.0, 2, 12, 9], [0, 0, 24, 24]]) / SIDE
    drawn = AugmentationParameters(**vars(parameters(2)) | {"crop": box})
    ours = Augmentation(RunConfig(crop_scale=0.1)).apply(x, drawn)
    theirs = functional.resized_crop(x[:1], 2, 5, 9, 12, [SIDE, SIDE], antialias=True)
    # Beside the cut torchvision repeats its last pixels; ours are the picture's own.
    assert (ours[:1] - theirs)[..., 2:-2, 2:-2].abs().max() < 1e-5
    assert torch.allclose(ours[1], x[1], atol=1e-5)


def test_crops_are_spread_as_torchvision_s():
    drawn = Augmentation(RunConfig(crop_scale=0.2)).draw(4000, generator()).crop
    assert drawn is not None
    left, top, width, height = drawn.unbind(1)
    assert (left >= 0).all()
    assert (left + width <= 1 + 1e-6).all()
    assert (top + height <= 1 + 1e-6).all()
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(1000, scale=(0.2, 1.0))
    blank = [torch.zeros(1, 1000, 1000)]
    boxes = [theirs.make_params(blank) for _ in range(4000)]
    for ours, key in ((width, "width"), (height, "height"), (left, "left"), (top, "top")):
        expected = np.array([box[key] for box in boxes]) / 1000
        assert abs(ours.mean().item() - expected.mean()) < 0.015
        assert abs(ours.std().item() - expected.std()) < 0.01


def test_erasing_paints_one_rectangle_in_the_mean_colour():
    x = pictures(2, 3, SIDE)
    box = torch.tensor([[5.0, 2, 12, 9], [3, 3, 0, 0]]) / SIDE
    drawn = AugmentationParameters(**vars(parameters(2)) | {"erased": box})
    ours = Augmentation(RunConfig(random_erasing=0.5)).apply(x, drawn)
    mean = x[0].mean(dim=(1, 2), keepdim=True)
    assert torch.equal(ours[0], functional.erase(x[0], 2, 5, 9, 12, mean))
    assert torch.equal(ours[1], x[1])


def test_so_many_pictures_are_erased_and_so_much_of_them():
    drawn = Augmentation(RunConfig(random_erasing=0.4)).draw(4000, generator()).erased
    assert drawn is not None
    area = drawn[:, 2] * drawn[:, 3]
    assert (area > 0).float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert 0.02 <= area[area > 0].min() < 0.03
    assert 0.31 < area.max() <= 0.33
