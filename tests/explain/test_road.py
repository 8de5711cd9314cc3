"""ROAD: of a network whose answer comes from a known place, beside the library's own number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lab.explain.hiding import Cells
from lab.explain.road import PASSES, _filled, road
from lab.models.staged import StagedNet

SIZE = 28


@pytest.fixture
def corner() -> tuple[StagedNet, Tensor]:
    """Class 0 is what is bright in the upper left quarter."""
    weight = torch.zeros(2, 1, SIZE, SIZE)
    weight[0, :, : SIZE // 2, : SIZE // 2] = 0.02
    linear = nn.Linear(SIZE**2, 2)
    with torch.no_grad():
        linear.weight.copy_(weight.flatten(1))
        linear.bias.zero_()
    network = StagedNet({"head": nn.Sequential(nn.Flatten(), linear)}).eval()
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[..., 2 : SIZE // 2 - 2, 2 : SIZE // 2 - 2] = 1
    return network, image


def true_map() -> np.ndarray:
    values = np.zeros((14, 14))
    values[:7, :7] = 1
    return values


def test_the_true_map_beats_chance_and_its_opposite_does_not(
    corner: tuple[StagedNet, Tensor],
) -> None:
    network, image = corner
    ticks: list[None] = []
    good = road(network, image, 0, Cells(true_map()), lambda: ticks.append(None))
    bad = road(network, image, 0, Cells(1 - true_map()), lambda: None)
    print(good, bad)
    assert len(ticks) == PASSES
    assert good.beats_chance
    assert good.score > 0.1
    assert not bad.beats_chance
    assert bad.score < -0.1


def test_it_is_the_same_again_and_leaves_torchs_own_chance_alone(
    corner: tuple[StagedNet, Tensor],
) -> None:
    network, image = corner
    before = torch.random.get_rng_state()
    one, other = (road(network, image, 0, Cells(true_map()), lambda: None) for _ in range(2))
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # theirs
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_pixels_are_filled_as_the_library_fills_them(channels: int) -> None:
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    chance = np.random.Generator(np.random.Philox(3))
    image = torch.from_numpy(chance.normal(size=(1, channels, 16, 16))).float()
    hidden = chance.random((16, 16)) < 0.5
    ours = _filled(image, hidden, np.random.Generator(np.random.Philox(0)))
    theirs = NoisyLinearImputer(noise=0)(image[0], torch.from_numpy(~hidden).float())
    assert (ours[0][:, ~hidden] == image[0][:, ~hidden]).all()
    difference = (ours[0] - theirs)[:, hidden]
    assert 0 < float(difference.std()) < 0.02  # the noise, of 0.01
    assert float(difference.abs().max()) < 0.06
