"""Mixup and CutMix against torchvision's transforms; chance where it should be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from lab.config import RunConfig
from lab.data.mixing import MixDraw, draw_mix, mix_batch
from tests.data.test_augment import pictures

LABELS = torch.tensor([0, 1, 2, 1, 0])


def soft(share: float, labels: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(N, 3): the labels as shares of the classes."""
    return share * F.one_hot(labels, 3) + (1 - share) * F.one_hot(others, 3)


@pytest.mark.parametrize(
    ("theirs", "parameters", "draw"),
    [
        (v2.MixUp, {"lam": 0.3}, MixDraw(0.3)),
        (
            v2.CutMix,
            {"box": (2, 4, 9, 11), "lam_adjusted": 1 - 49 / 144},
            MixDraw(1 - 49 / 144, (2, 4, 9, 11)),
        ),
    ],
)
def test_a_batch_is_mixed_as_torchvision_mixes_it(theirs, parameters, draw):
    x = pictures(5)
    transform = theirs(num_classes=3)
    parameters = parameters | {"labels": LABELS, "batch_size": 5}
    mixed, mix = mix_batch(x, LABELS, draw)
    assert torch.allclose(mixed, transform.transform(x, parameters), atol=1e-6)
    expected = transform.transform(LABELS, parameters)
    assert torch.allclose(soft(mix.share, LABELS, mix.others), expected, atol=1e-6)
    assert torch.equal(x, pictures(5))


def test_the_larger_share_is_counted():
    own = mix_batch(pictures(5), LABELS, MixDraw(0.7))[1]
    other = mix_batch(pictures(5), LABELS, MixDraw(0.3))[1]
    assert torch.equal(own.larger(LABELS), LABELS)
    assert torch.equal(other.larger(LABELS), LABELS.roll(1))


@pytest.mark.parametrize(("alpha", "deviation"), [(0.2, 0.4226), (1.0, 0.2887)])
def test_shares_follow_beta(alpha, deviation):
    config = RunConfig(mixup=alpha)
    shares = torch.tensor([draw_mix(config, 12, seed).share for seed in range(3000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.025)
    assert shares.std().item() == pytest.approx(deviation, abs=0.02)


def test_a_rectangle_lies_in_the_picture_and_its_area_is_the_other_share():
    shares = []
    for seed in range(500):
        draw = draw_mix(RunConfig(cutmix=1.0), 12, seed)
        assert draw.box is not None
        left, top, right, bottom = draw.box
        assert 0 <= left <= right <= 12
        assert 0 <= top <= bottom <= 12
        assert draw.share == pytest.approx(1 - (right - left) * (bottom - top) / 144)
        shares.append(draw.share)
    torch.manual_seed(0)
    theirs = v2.CutMix(num_classes=3)
    expected = [theirs.make_params([pictures(2)])["lam_adjusted"] for _ in range(500)]
    assert sum(shares) / 500 == pytest.approx(sum(expected) / 500, abs=0.05)


def test_with_both_a_batch_gets_one_or_the_other():
    config = RunConfig(mixup=0.2, cutmix=1.0)
    cut = [draw_mix(config, 12, seed).box is not None for seed in range(1000)]
    assert sum(cut) == pytest.approx(500, abs=60)
    assert draw_mix(config, 12, 5) == draw_mix(config, 12, 5)
