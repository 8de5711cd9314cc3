"""The chosen curve is the only one between layers, and deep sigmoid nets starve of gradient."""

from __future__ import annotations

import typing
from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lab.config import Activation, RunConfig
from lab.errors import NotFoundError
from lab.models.activations import ACTIVATIONS, replace_activations
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from tests.models.test_architectures import FROM_LIBRARIES, build, images, train_once

CURVES = {"relu", "relu_", "hardtanh", "hardtanh_", "hardswish", "hardswish_", "silu", "silu_"}
CHOICES = [name for name in typing.get_args(Activation) if name != "auto"]
CURVES |= {"gelu", "clamp_min", "clamp_min_", "threshold"}


class Recorder(TorchDispatchMode):
    """Counts the operations that really run, however they were called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def operations(net: StagedNet, size: int = 64) -> Counter[str]:
    with Recorder() as recorder, torch.no_grad():
        net.eval()(torch.empty(2, 3, size, size, device="meta"))
    return recorder.seen


@pytest.mark.parametrize("name", ACTIVATIONS.names())
def test_monotone_is_true(name: str) -> None:
    spec = ACTIVATIONS.get(name)
    rising = spec.make()(torch.linspace(-8, 8, 4001)).diff().min() >= 0
    assert bool(rising) is spec.monotone


@pytest.mark.parametrize("name", FROM_LIBRARIES)
def test_no_other_curve_is_left(name: str) -> None:
    """torchvision calls some activations as functions; none of them may be left over."""
    own = operations(build(name, size=64, device="meta"))
    assert CURVES & own.keys(), "the test must see the network's own curve"
    changed = operations(build(name, size=64, activation="tanh", device="meta"))
    left = CURVES & changed.keys()
    if name == "edgenext_xx_small":  # its attention divides by lengths that are kept above zero
        left -= {"clamp_min"}
    assert not left
    assert changed["tanh"] > 0


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_gates_stay(name: str) -> None:
    gate = "hardsigmoid" if name == "mobilenet_v3_small" else "sigmoid"
    own = operations(build(name, size=64, device="meta"))
    changed = operations(build(name, size=64, activation="elu", device="meta"))
    assert own[gate] == changed[gate] > 0


@pytest.mark.parametrize("activation", CHOICES)
@pytest.mark.parametrize("name", ["mlp", "simple-cnn", "lenet5", "squeezenet1_1", "resnet18"])
def test_every_activation_trains(name: str, activation: str) -> None:
    size = 32
    net = build(name, size=size, activation=activation)
    made = type(ACTIVATIONS.get(activation).make())
    assert any(type(module) is made for module in net.modules())
    train_once(net, images(2, 3, size), 2)


def test_squeezenet_scores_are_not_capped() -> None:
    """Its own ReLU on the class scores goes when another one is chosen, which could cap them."""
    net = build("squeezenet1_1", size=32, activation="sigmoid")
    assert not any(isinstance(m, (nn.ReLU, nn.Sigmoid)) for m in net.stage("head").modules())
    own = build("squeezenet1_1", size=32)
    assert any(isinstance(m, nn.ReLU) for m in own.stage("head").modules())


@pytest.mark.parametrize("activation", CHOICES)
def test_pooling_first_is_exact(activation: str) -> None:
    """Blocks that pool before a monotone curve give the textbook's values and gradients."""
    net = build("sign-cnn", size=28, activation=activation)
    block = net.stage("block1")
    order = [name for name, _ in block.named_children()]
    monotone = ACTIVATIONS.get(activation).monotone
    assert order == (["conv", "pool", "activation"] if monotone else ["conv", "activation", "pool"])
    x = images(4, 3, 28)
    conv, curve, pool = block.conv, block.activation, block.pool  # type: ignore[union-attr]
    results = []
    for output in (block(x), pool(curve(conv(x)))):  # type: ignore[operator]
        net.zero_grad()
        output.square().sum().backward()
        results.append((output, conv.weight.grad.clone()))  # type: ignore[union-attr]
    (ours, our_gradient), (textbook, its_gradient) = results
    assert torch.equal(ours, textbook)
    assert torch.allclose(our_gradient, its_gradient, rtol=1e-4, atol=1e-3)


def gradient_ratio(activation: str) -> float:
    """Mean gradient size of the first hidden layer over that of the last hidden layer."""
    net = build("deep-mlp", size=28, activation=activation, classes=10)
    F.cross_entropy(net(images(64, 3, 28)), torch.arange(64) % 10).backward()
    first, last = (
        net.stage(stage).linear.weight.grad.abs().mean().item()  # type: ignore[union-attr]
        for stage in (net.stage_names[0], net.stage_names[-2])
    )
    return first / last


def test_the_gradient_vanishes_with_sigmoid_and_not_with_relu() -> None:
    assert gradient_ratio("auto") == gradient_ratio("sigmoid") < 1e-4
    assert gradient_ratio("relu") > 0.05


@pytest.mark.parametrize(("activation", "learns"), [("sigmoid", False), ("relu", True)])
def test_ten_layers_learn_with_relu_only(activation: str, learns: bool) -> None:
    """Four classes that a straight cut would separate: 40 steps are plenty, if gradients arrive."""
    net = build("deep-mlp", size=8, activation=activation, classes=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    labels = torch.arange(128) % 4
    x = images(128, 3, 8) * 0.5
    for label in range(4):
        x[labels == label, :, 2 * label : 2 * label + 2] += 1
    for _ in range(40):
        optimizer.zero_grad()
        logits = net(x)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
    accuracy = (net(x).argmax(1) == labels).float().mean().item()
    assert (accuracy > 0.95) if learns else (accuracy < 0.5)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'relu'"):
        replace_activations(nn.Sequential(nn.ReLU()), "rellu")


def test_native_activation_leaves_the_network_alone() -> None:
    config = RunConfig(architecture="resnet18", activation="relu")
    assert ARCHITECTURES.get("resnet18").native_activation == config.activation
    net = build("resnet18", size=32, activation="relu")
    assert all(m.inplace for m in net.modules() if isinstance(m, nn.ReLU))  # torchvision's own
