"""Networks that see an image as a flat list of pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from lab.models.architecture import NetworkSettings, architecture
from lab.models.initialisation import initialise_weights
from lab.models.staged import HEAD, StagedNet

DEEP_WIDTH = 50  # units in each hidden layer of the deep MLP; the plain MLP has as many in its one


def dense(
    settings: NetworkSettings, inputs: int, units: int, *, flatten: bool = False
) -> nn.Module:
    """A dense layer and its activation: (N, inputs) -> (N, units); `flatten` takes (N, C, H, W)."""
    layers: OrderedDict[str, nn.Module] = (
        OrderedDict(flatten=nn.Flatten()) if flatten else OrderedDict()
    )
    layers["linear"] = nn.Linear(inputs, units)
    layers["activation"] = settings.make_activation()
    return nn.Sequential(layers)


def perceptron(settings: NetworkSettings, hidden_sizes: Sequence[int]) -> StagedNet:
    """(N, C, H, W) -> flat (N, C*H*W) -> one stage for each hidden layer -> logits (N, K)."""
    stages: dict[str, nn.Module] = {}
    width = settings.channels * settings.image_size**2
    for number, size in enumerate(hidden_sizes, start=1):
        stages[f"hidden{number}"] = dense(settings, width, size, flatten=number == 1)
        width = size
    head: OrderedDict[str, nn.Module] = OrderedDict(linear=nn.Linear(width, settings.classes))
    if not hidden_sizes:
        head = OrderedDict(flatten=nn.Flatten(), **head)
    stages[HEAD] = nn.Sequential(head)
    net = StagedNet(stages)
    initialise_weights(net, settings.activation)
    return net


@architecture(
    name="single-layer-perceptron",
    title="Single-layer perceptron",
    family="perceptron",
    year=1958,
    story=(
        "One layer: each class weighs every pixel once. It can only draw straight borders "
        "between classes."
    ),
    native_activation="sigmoid",
    min_image_size=1,
)
def single_layer_perceptron(settings: NetworkSettings) -> StagedNet:
    return perceptron(settings, ())


@architecture(
    name="mlp",
    title="Multi-layer perceptron",
    family="perceptron",
    year=1986,
    story=(
        "Hidden layers allow curved borders between classes. Which pixels are neighbours is "
        "not used."
    ),
    native_activation="sigmoid",
    min_image_size=1,
    knobs=("hidden_sizes",),
)
def mlp(settings: NetworkSettings) -> StagedNet:
    return perceptron(settings, settings.config.hidden_sizes)


@architecture(
    name="deep-mlp",
    title="Deep MLP",
    family="perceptron",
    year=1991,
    story=(
        "Ten layers at first. With sigmoid the gradient vanishes on its way back; with "
        "ReLU it learns."
    ),
    native_activation="sigmoid",
    min_image_size=1,
    knobs=("depth",),
)
def deep_mlp(settings: NetworkSettings) -> StagedNet:
    return perceptron(
        settings, [DEEP_WIDTH] * (settings.config.depth - 1)
    )  # the head is the last layer


@architecture(
    name="sign-mlp",
    title="Sign MLP",
    family="perceptron",
    year=2010,
    story=("A wide perceptron for 28×28 hand signs, to compare with the sign CNN."),
    native_activation="relu",
    min_image_size=1,
)
def sign_mlp(settings: NetworkSettings) -> StagedNet:
    return perceptron(settings, (512, 256))
