"""A channel of the first convolution is the sum that the page shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.explain.feature_maps import channel_map
from lab.explain.first_convolution import convolution_sum, first_convolution
from lab.models.catalog import build_network


@pytest.mark.parametrize(
    ("architecture", "channels", "side"),
    [("sign-cnn", 1, 28), ("simple-cnn", 3, 32), ("alexnet", 3, 64), ("resnet18", 3, 32)],
)
def test_the_parts_and_the_bias_add_up(architecture: str, channels: int, side: int) -> None:
    network = build_network(
        RunConfig(architecture=architecture), channels=channels, classes=3, image_size=side
    )
    image = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(1))
    layer = first_convolution(network, channels)
    assert layer is not None
    parts = convolution_sum(network, image, layer, 2)
    assert parts.inputs.shape == (channels, side, side)
    assert len(parts.weights) == len(parts.parts) == channels
    shown = channel_map(network, image, layer, 2)
    np.testing.assert_allclose(parts.total, shown)
    np.testing.assert_allclose(parts.parts.sum(0) + parts.bias, shown, atol=1e-4)


def test_other_layers_are_refused() -> None:
    network = build_network(
        RunConfig(architecture="sign-cnn"), channels=1, classes=3, image_size=28
    )
    image = torch.zeros(1, 1, 28, 28)
    with pytest.raises(ConfigError, match="does not see the picture itself"):
        convolution_sum(network, image, "block2.conv", 0)
    with pytest.raises(ConfigError, match="has no channel 999"):
        convolution_sum(network, image, "block1.conv", 999)
    mlp = build_network(RunConfig(architecture="mlp"), channels=1, classes=3, image_size=28)
    assert first_convolution(mlp, 1) is None
