"""Channels: the numbers are the layer's own, the order and the dead ones are as said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.errors import NotFoundError
from lab.explain.feature_maps import TILE_SIDE, channel_map, feature_maps, stage_row
from lab.models.staged import StagedNet
from tests.explain.networks import SIZE, bars, random_images, random_network, trained_network
from tests.explain.test_layers import state_of


@pytest.fixture(scope="module")
def network() -> StagedNet:
    return trained_network()


@pytest.mark.parametrize("layer", ["block1.conv", "block1", "block3"])
def test_maps_are_the_layers_own(network: StagedNet, layer: str) -> None:
    images, _ = bars(1, seed=3)
    stage, _, path = layer.partition(".")
    seen = []
    handle = (
        network.stage(stage)
        .get_submodule(path)
        .register_forward_hook(
            lambda module, given, output: seen.append(output.detach().clone()[0])
        )
    )
    with torch.no_grad():
        network(images)
    handle.remove()
    expected = seen[0].numpy()
    maps = feature_maps(network, images, layer, count=1000)
    assert maps.shape == expected.shape
    np.testing.assert_array_equal(maps.tiles, expected[maps.order])
    np.testing.assert_array_equal(maps.shown, maps.order)
    np.testing.assert_allclose(maps.means, expected.mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(maps.minima, expected.min((1, 2)))
    np.testing.assert_array_equal(maps.maxima, expected.max((1, 2)))
    assert (maps.minimum, maps.maximum) == (expected.min(), expected.max())
    assert maps.limit == max(-expected.min(), expected.max())
    assert (np.diff(maps.means[maps.order]) <= 0).all()
    for channel in (0, maps.channels - 1):
        np.testing.assert_array_equal(
            channel_map(network, images, layer, channel), expected[channel]
        )


def test_they_come_in_parts(network: StagedNet) -> None:
    image = bars(1)[0]
    whole = feature_maps(network, image, "block3", count=64)
    part = feature_maps(network, image, "block3", start=60, count=10)
    assert part.start == 60
    assert len(part.tiles) == 4
    np.testing.assert_array_equal(part.shown, whole.order[60:])
    np.testing.assert_array_equal(part.tiles, whole.tiles[60:])
    assert len(part.means) == 64  # the figures are of the whole layer


def test_dead_channels_are_those_that_say_nothing(network: StagedNet) -> None:
    network = trained_network()
    conv = network.stage("block2").get_submodule("conv")
    with torch.no_grad():
        conv.weight[:3] = 0.0
        conv.bias[:3] = torch.tensor([-1.0, 0.0, 2.0])  # type: ignore[index]
    alive = feature_maps(network, bars(1)[0], "block2").dead
    with torch.no_grad():
        conv.weight[3:6] = 0.0
        conv.bias[3:6] = -1.0  # type: ignore[index, operator]
    maps = feature_maps(network, bars(1)[0], "block2")
    # A channel that is 2 everywhere is as mute as one that is 0 everywhere.
    assert alive >= 3
    assert maps.dead == alive + 3


def test_large_maps_are_averaged_down() -> None:
    network = random_network("simple-cnn", channels=1, size=200)
    image = random_images(1, size=200)
    maps = feature_maps(network, image, "block1.conv", count=2)
    assert maps.shape == (16, 200, 200)
    assert maps.tiles.shape == (2, TILE_SIDE, TILE_SIDE)
    full = channel_map(network, image, "block1.conv", int(maps.shown[0]))
    assert full.shape == (200, 200)
    assert maps.tiles[0].mean() == pytest.approx(full.mean(), abs=1e-2)
    assert maps.maximum > maps.tiles.max()  # the figures are of the maps before


@pytest.mark.parametrize("layer", ["hidden1", "head"])
def test_a_flat_layer_is_a_row_of_numbers(layer: str) -> None:
    network = random_network(
        "sign-mlp" if layer == "head" else "mlp", channels=1, activation="relu"
    )
    image = random_images(1, size=16)
    with torch.no_grad():
        expected = network.run(image, last=layer)[0].numpy()
    maps = feature_maps(network, image, layer)
    assert maps.flat
    assert maps.shape == expected.shape
    np.testing.assert_array_equal(maps.means, expected)
    assert maps.tiles.size == 0
    assert not len(maps.shown)
    assert maps.dead == (expected == 0).sum()
    assert channel_map(network, image, layer, 1).shape == (1, 1)


def test_a_layer_of_one_place_counts_as_flat() -> None:
    network = random_network("resnet18", size=32)
    maps = feature_maps(network, random_images(1, channels=3, size=32), "layer4")
    assert maps.shape == (512,)


def test_the_row_of_stages(network: StagedNet) -> None:
    image = bars(1)[0]
    row = stage_row(network, image, network.stage_names)
    assert [view.layer for view in row] == list(network.stage_names)
    assert [view.shape for view in row] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128,), (3,)]
    for view in row:
        maps = feature_maps(network, image, view.layer, count=1)
        assert view.channel == maps.order[0]
        if maps.flat:
            np.testing.assert_array_equal(view.mean, maps.means)
        else:
            np.testing.assert_array_equal(view.strongest, maps.tiles[0])
            assert view.mean.shape == view.shape[1:]


def test_looking_at_channels_leaves_no_trace() -> None:
    network = random_network("sign-cnn", channels=1, size=16).train()
    network.stage("block1").eval()
    before = state_of(network)
    image = random_images(1, size=16)
    feature_maps(network, image, "block1")
    stage_row(network, image, network.stage_names)
    assert state_of(network) == before
    with pytest.raises(NotFoundError, match="Did you mean 'block1'"):
        feature_maps(network, image, "blok1")
    with pytest.raises(NotFoundError, match="numbered 0 to 31"):
        channel_map(network, image, "block1", 32)
    with pytest.raises(ValueError, match="one image"):
        feature_maps(network, random_images(2, size=16), "block1")
    with pytest.raises(RuntimeError):
        feature_maps(network, random_images(1, channels=2, size=SIZE), "block1")
    assert state_of(network) == before
