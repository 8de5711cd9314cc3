"""The first layer's weights as pictures: the right layer, the right pixels, zero in the middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lab.explain.filters import MOST, TILE_SIDE, first_filters
from lab.explain.overlay import SIGNED_COLOURS
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from tests.explain.networks import random_network

WHITE = (247, 247, 247)


LARGE = {"vgg16", "vgg16-plain", "alexnet", "resnet101"}  # once is enough


@pytest.mark.parametrize(
    ("name", "channels"),
    [(name, c) for name in ARCHITECTURES.names() for c in ((3,) if name in LARGE else (1, 3))],
)
def test_every_architecture_has_a_first_layer(name: str, channels: int) -> None:
    size = max(ARCHITECTURES.get(name).min_image_size, 16)
    filters = first_filters(
        random_network(name, channels=channels, size=size), channels=channels, image_size=size
    )
    assert filters is not None
    family = ARCHITECTURES.get(name).family
    assert filters.kind == ("dense" if family == "perceptron" else "convolution")
    assert filters.channels == channels
    assert filters.pictures.dtype == np.uint8
    assert filters.pictures.shape[0] == len(filters.units) == min(MOST, filters.total)
    assert filters.pictures.shape[3] == 3
    assert (np.diff(filters.units) > 0).all()
    assert filters.sentence.endswith(".")


def test_grey_filters_share_one_scale_about_white() -> None:
    network = random_network("simple-cnn", channels=1)
    conv = network.stage("block1").get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 0] = torch.tensor([2.0, 0.0, -2.0])
        conv.weight[1, 0, 0] = torch.tensor([1.0, 0.0, -1.0])
    filters = first_filters(network, channels=1, image_size=16)
    assert filters is not None
    assert filters.layer == "block1.conv"
    assert filters.limit == 2.0
    strong, weak = filters.pictures[0, 0], filters.pictures[1, 0]
    assert strong.tolist() == [
        SIGNED_COLOURS[255].tolist(),
        SIGNED_COLOURS[128].tolist(),
        SIGNED_COLOURS[0].tolist(),
    ]
    assert weak.tolist() == [
        SIGNED_COLOURS[191].tolist(),
        list(strong[1]),
        SIGNED_COLOURS[64].tolist(),
    ]
    assert np.abs(strong[1].astype(int) - WHITE).max() <= 2
    assert strong[0][0] > strong[0][2]  # orange counts for
    assert strong[2][2] > strong[2][0]  # blue counts against
    assert "One scale for all: full colour is a weight of 2." in filters.sentence


def test_colour_filters_have_a_scale_each_about_grey() -> None:
    network = random_network("simple-cnn", channels=3)
    conv = network.stage("block1").get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = 0.01  # a faint filter for red
        conv.weight[1, 2, 1, 1] = -5.0  # a strong one against blue
    filters = first_filters(network, channels=3, image_size=16)
    assert filters is not None
    assert filters.limit is None
    assert filters.pictures[0, 1, 1].tolist() == [255, 128, 128]
    assert filters.pictures[1, 1, 1].tolist() == [128, 128, 0]
    assert filters.pictures[2, 1, 1].tolist() == [128, 128, 128]
    assert "scale of its own" in filters.sentence


def test_a_perceptrons_weights_are_images_of_the_inputs() -> None:
    network = random_network("single-layer-perceptron", channels=1, size=16)
    linear = network.stage("head").get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[1, 5 * 16 + 3] = -0.5  # row 5, column 3
        linear.weight[2, 0] = 0.1
    filters = first_filters(network, channels=1, image_size=16)
    assert filters is not None
    assert (filters.layer, filters.kind, filters.total) == ("head.linear", "dense", 3)
    picture = filters.pictures[1]
    assert picture[5, 3].tolist() == SIGNED_COLOURS[0].tolist()
    picture[5, 3] = picture[0, 0]
    assert (picture == picture[0, 0]).all()


def test_the_units_with_the_largest_weights_and_not_too_large() -> None:
    network = random_network("sign-mlp", channels=1, size=100)
    linear = network.stage("hidden1").get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight[7] *= 10
        linear.weight[300] *= 0.01
    filters = first_filters(network, channels=1, image_size=100)
    assert filters is not None
    assert filters.pictures.shape == (MOST, TILE_SIDE, TILE_SIDE, 3)
    assert 7 in filters.units
    assert 300 not in filters.units
    assert f"Shown are the {MOST} of 512 units" in filters.sentence


def test_a_first_layer_that_does_not_see_the_image_is_not_shown() -> None:
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    assert first_filters(StagedNet({"head": pooled}), channels=1, image_size=8) is None
    empty = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert first_filters(StagedNet({"head": empty}), channels=1, image_size=8) is None


def test_reading_weights_leaves_them_alone() -> None:
    network = random_network("mlp", channels=1).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert first_filters(network, channels=1, image_size=16) is not None
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
