"""What is offered in place of an empty map has a map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lab.explain.alternatives import alternatives
from lab.explain.grad_cam import class_activation_maps
from lab.models.staged import StagedNet


class Head(nn.Module):
    """Class 0 counts both channels for it, class 1 only against it, class 2 is a constant."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weights.T


def network(weights: list[list[float]]) -> StagedNet:
    def block() -> nn.Module:
        convolution = nn.Conv2d(2, 2, 1, bias=False)
        nn.init.dirac_(convolution.weight)
        return nn.Sequential(convolution, nn.ReLU())

    return StagedNet({"block1": block(), "block2": block(), "head": Head(torch.tensor(weights))})


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(3)) + 0.1


def test_another_class_where_everything_speaks_against(image: Tensor) -> None:
    net = network([[1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]])
    found = alternatives(
        net, image, target=1, layer="block2", method="grad-cam", stages=["block1", "block2"]
    )
    assert [(one.kind, one.target) for one in found] == [("class", 0)]


def test_a_method_that_does_not_cancel(image: Tensor) -> None:
    # Strong evidence against in one channel outweighs the evidence for in the other.
    net = network([[0.2, -5.0], [0.0, 0.0], [0.0, 0.0]])
    found = alternatives(
        net, image, target=0, layer="block2", method="grad-cam", stages=["block1", "block2"]
    )
    (other,) = found
    assert other.kind == "method"
    cams, _ = class_activation_maps(
        net, image, targets=[0], layers=[other.layer], method=other.method
    )
    assert cams[other.layer].first().meaningful


def test_nothing_where_nothing_has_a_map(image: Tensor) -> None:
    net = network([[0.0, 0.0]] * 3)
    assert not alternatives(
        net, image, target=0, layer="block1", method="layercam", stages=["block1", "block2"]
    )
