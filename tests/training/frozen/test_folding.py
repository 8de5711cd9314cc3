"""Folded BatchNorms give the same numbers, and the network itself stays as it is."""

import pytest
import torch
from torch import nn

from lab.models.architecture import ARCHITECTURES
from lab.training.frozen.features import before, find_cut, frozen_part
from lab.training.frozen.folding import folded
from tests.training.frozen.test_features import SIZE, frozen

WITH_BATCH_NORM = ["googlenet", "resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0"]


def statistics_that_matter(network: nn.Module) -> None:
    """As after training: fresh BatchNorms would be hard to tell from none."""
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_the_frozen_part_gives_what_the_network_gives(name: str) -> None:
    assert name in ARCHITECTURES.names()
    network = frozen(name)
    statistics_that_matter(network)
    cut = find_cut(network)
    assert cut is not None
    network.train()  # frozen stages stay in eval mode
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = before(network, cut, images)
        fast = frozen_part(network, cut)
        found = fast(images)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    left = sum(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    there = sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert left < 0.6 * there  # DenseNet normalises before it convolves: half of its cannot be
    with torch.inference_mode():
        assert torch.equal(before(network, cut, images), expected)


def test_what_cannot_be_traced_is_run_as_it_is() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(x)
            return y if y.sum() > 0 else -y

    module = Branching().eval()
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(folded(module)(images), module(images))
