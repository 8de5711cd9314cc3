"""Looking into a network: what is seen is what was there, and afterwards nobody was there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lab.errors import ConfigError, NotFoundError
from lab.explain.layers import (
    Layer,
    cam_layers,
    captured,
    find_layer,
    layer_titles,
    list_layers,
    require_cam_layer,
)
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from tests.explain.networks import random_images, random_network


def hooks_of(network: nn.Module) -> int:
    return sum(
        len(module._forward_hooks)
        + len(module._forward_pre_hooks)
        + len(module._backward_hooks)
        + len(module._backward_pre_hooks)
        for module in network.modules()
    )


def state_of(network: nn.Module) -> list[object]:
    """Everything that looking must leave alone."""
    return [
        hooks_of(network),
        [module.training for module in network.modules()],
        [parameter.requires_grad for parameter in network.parameters()],
        [None if p.grad is None else p.grad.clone().tolist() for p in network.parameters()],
        {name: tensor.tolist() for name, tensor in network.state_dict().items()},
    ]


@pytest.fixture
def half_frozen() -> StagedNet:
    """In train mode, with a frozen stage in eval mode, mixed requires_grad and old gradients."""
    network = random_network("sign-cnn", channels=1, size=16)
    network.freeze_stages(["block1"])
    network.train()
    next(network.stage("block2").modules()).training = False
    next(network.stage("head").parameters()).requires_grad_(False)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.25)
    return network


class InPlace(nn.Module):
    """A block that overwrites its convolution's output, as torchvision's do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.conv(x))
        y += 1
        return y


def in_place_network() -> StagedNet:
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 3))
    network = StagedNet({"one": InPlace(1), "two": InPlace(4), "head": head})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)
    return network.eval()


def plain_outputs(
    network: StagedNet, images: Tensor, modules: dict[str, nn.Module]
) -> dict[str, Tensor]:
    """What a hook that copies at once sees: the oracle."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda module, given, output, name=name: seen.update({name: output.detach().clone()})
        )
        for name, module in modules.items()
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return seen


def test_outputs_are_those_of_a_plain_hook_also_before_an_in_place_relu() -> None:
    network, images = in_place_network(), random_images(2, size=8)
    modules = {
        "one.conv": network.stage("one").conv,
        "one": network.stage("one"),
        "two.conv": network.stage("two").conv,
        "two": network.stage("two"),
        "head": network.stage("head"),
    }
    expected = plain_outputs(network, images, modules)
    assert (expected["one.conv"] < 0).any()
    with captured(network, list(modules)) as outputs, torch.no_grad():
        logits = network(images)
    assert list(outputs) == list(modules)
    for name, output in outputs.items():
        torch.testing.assert_close(output, expected[name], rtol=0, atol=0)
    torch.testing.assert_close(logits, expected["head"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_every_layer_of_a_torchvision_network_gives_its_own_output(name: str) -> None:
    network = random_network(name, size=32)
    images = random_images(1, channels=3, size=32)
    layers = list_layers(network, channels=3, image_size=32)
    modules = {
        layer.name: network.stage(layer.stage).get_submodule(layer.name.partition(".")[2])
        for layer in layers
    }
    expected = plain_outputs(network, images, modules)
    with captured(network, list(modules)) as outputs, torch.no_grad():
        network(images)
    for layer in layers:
        assert tuple(outputs[layer.name].shape[1:]) == layer.shape
        torch.testing.assert_close(outputs[layer.name], expected[layer.name], rtol=0, atol=0)


def test_afterwards_nobody_was_there(half_frozen: StagedNet) -> None:
    before = state_of(half_frozen)
    with captured(half_frozen, ["block1", "block3.conv"]):
        assert hooks_of(half_frozen) == 2
        assert not any(module.training for module in half_frozen.modules())
        half_frozen(random_images(2, size=16))
    assert state_of(half_frozen) == before


def wrong_size(network: StagedNet) -> None:
    with captured(network, ["block1"]):
        network(random_images(1, channels=2, size=16))


def unknown_stage(network: StagedNet) -> None:
    with captured(network, ["block1", "block9"]):
        raise AssertionError("the block is never entered")


def unknown_convolution(network: StagedNet) -> None:
    with captured(network, ["block1", "block2.conv7"]):
        raise AssertionError("the block is never entered")


def error_in_the_block(network: StagedNet) -> None:
    with captured(network, ["block1"]):
        network(random_images(1, size=16))
        raise KeyError("mine")


def thrown_away(network: StagedNet) -> None:
    def looking() -> object:
        with captured(network, ["block1"]):
            yield

    generator = looking()
    next(generator)  # type: ignore[call-overload]
    generator.close()  # type: ignore[attr-defined]
    raise GeneratorExit


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (wrong_size, RuntimeError),
        (unknown_stage, NotFoundError),
        (unknown_convolution, NotFoundError),
        (error_in_the_block, KeyError),
        (thrown_away, GeneratorExit),
    ],
)
def test_after_any_failure_as_well(
    half_frozen: StagedNet,
    failing: Callable[[StagedNet], None],
    error: type[BaseException],
) -> None:
    before = state_of(half_frozen)
    with pytest.raises(error):
        failing(half_frozen)
    assert state_of(half_frozen) == before


def test_unknown_layers_are_named_with_the_close_ones() -> None:
    network = random_network("sign-cnn", channels=1, size=16)
    with (
        pytest.raises(NotFoundError, match=r"Did you mean 'block2\.conv'"),
        captured(network, ["block2.comv"]),
    ):
        pass
    layers = list_layers(network, channels=1, image_size=16)
    with pytest.raises(NotFoundError, match="Did you mean 'block3'"):
        find_layer(layers, "blok3")


def test_layers_without_places_are_refused_in_words() -> None:
    layers = list_layers(random_network("sign-cnn", channels=1, size=16), channels=1, image_size=16)
    assert require_cam_layer(layers, "block2.conv").shape == (64, 8, 8)
    with pytest.raises(ConfigError, match=r"Choose one of: block1, block2, block3\."):
        require_cam_layer(layers, "dense")
    layers = list_layers(random_network("mlp", size=16), channels=3, image_size=16)
    with pytest.raises(ConfigError, match="has no layer with places"):
        require_cam_layer(layers, "head")


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_layers_are_listed_in_the_order_of_the_forward_pass(name: str) -> None:
    """Every stage once, after its convolutions; the last is the head with its K numbers."""
    spec = ARCHITECTURES.get(name)
    size = max(spec.min_image_size, 16)
    network = random_network(name, size=size)
    before = hooks_of(network)
    layers = list_layers(network, channels=3, image_size=size)
    assert hooks_of(network) == before
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    stages = [layer.name for layer in layers if layer.type == "stage"]
    assert stages == list(network.stage_names)
    assert layers[-1].shape == (3,)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    as_stages = sum(isinstance(network.stage(stage), nn.Conv2d) for stage in stages)
    assert len(layers) - len(stages) == convolutions - as_stages
    for layer in layers:
        if layer.type != "stage":
            assert names.index(layer.name) < names.index(layer.stage)
            assert len(layer.shape) == 3
    assert bool(cam_layers(layers)) is (spec.family != "perceptron")


def test_convolutions_are_counted_in_their_stage() -> None:
    layers = [
        Layer("block1.conv", "block1", "Conv2d", (8, 9, 9)),
        Layer("block1", "block1", "stage", (8, 4, 4)),
        Layer("block2.0", "block2", "Conv2d", (8, 4, 4)),
        Layer("block2.3", "block2", "Conv2d", (8, 4, 4)),
        Layer("head", "head", "stage", (1000,)),
    ]
    assert list(layer_titles(layers).values()) == [
        "Block 1, convolution",
        "Block 1",
        "Block 2, convolution 1",
        "Block 2, convolution 2",
        "Head",
    ]
    assert layers[0].size_words == "9 × 9 × 8"
    assert layers[4].size_words == "1,000 numbers"
