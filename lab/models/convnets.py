"""Convolutional networks written out layer by layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from lab.models.architecture import NetworkInput, architecture
from lab.models.dropout import Dropout
from lab.models.initialisation import start_weights
from lab.models.perceptrons import dense
from lab.models.staged import HEAD, StagedNet


def conv_block(given: NetworkInput, channels: int, filters: int, *, convs: int = 1) -> nn.Module:
    """3x3 convolutions that keep the size, then max-pool 2.

    (N, channels, H, W) -> (N, filters, H // 2, W // 2).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, convs + 1):
        suffix = str(number) if convs > 1 else ""
        layers[f"conv{suffix}"] = nn.Conv2d(channels, filters, kernel_size=3, padding="same")
        layers[f"activation{suffix}"] = given.make_activation()
        channels = filters
    if given.activation.monotone:
        # The textbook order is convolution, activation, pooling. The largest input of a curve that
        # never falls gives its largest output, so pooling first gives the very same values, and the
        # curve is then computed on a quarter of them. GELU and SiLU dip below zero, so for them the
        # order stays.
        layers["pool"] = nn.MaxPool2d(2)
        layers.move_to_end(f"activation{suffix}")
    else:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


def dropped_head(given: NetworkInput, inputs: int, *, dropout: float) -> nn.Module:
    """(N, inputs) -> logits (N, K), with dropout before."""
    return nn.Sequential(
        OrderedDict(
            dropout=Dropout(given.dropout(dropout)), linear=nn.Linear(inputs, given.classes)
        )
    )


def finished(given: NetworkInput, stages: dict[str, nn.Module]) -> StagedNet:
    net = StagedNet(stages)
    start_weights(net, given.activation)
    return net


@architecture(
    name="simple-cnn",
    title="Simple CNN",
    family="cnn",
    year=2012,
    story=(
        "Three times convolve and shrink, then decide. Small enough to watch, and already far "
        "beyond the MLPs."
    ),
    native_activation="relu",
    min_image_size=8,
    default_cam_stage="block3",
)
def simple_cnn(given: NetworkInput) -> StagedNet:
    side = given.image_size // 2 // 2 // 2
    return finished(
        given,
        {
            "block1": conv_block(given, given.channels, 16),
            "block2": conv_block(given, 16, 32),
            "block3": conv_block(given, 32, 64),
            "dense": dense(given, 64 * side**2, 128, flatten=True),
            HEAD: dropped_head(given, 128, dropout=0.3),
        },
    )


@architecture(
    name="sign-cnn",
    title="Sign CNN",
    family="cnn",
    year=2018,
    story=(
        "Made for 28x28 hand signs: 32, 64 and 32 filters, then 288 numbers go through a wide "
        "dense layer."
    ),
    native_activation="relu",
    min_image_size=8,
    default_cam_stage="block3",
)
def sign_cnn(given: NetworkInput) -> StagedNet:
    side = given.image_size // 2 // 2 // 2  # 28 -> 14 -> 7 -> 3, so 32 * 3 * 3 = 288
    return finished(
        given,
        {
            "block1": conv_block(given, given.channels, 32),
            "block2": conv_block(given, 32, 64),
            "block3": conv_block(given, 64, 32),
            "dense": dense(given, 32 * side**2, 512, flatten=True),
            HEAD: dropped_head(given, 512, dropout=0.3),
        },
    )


@architecture(
    name="lenet5",
    title="LeNet-5",
    family="cnn",
    year=1998,
    story=(
        "Read the digits on cheques: two convolutions with average pooling, three dense layers, "
        "tanh."
    ),
    native_activation="tanh",
    min_image_size=12,
    default_cam_stage="block2",
)
def lenet5(given: NetworkInput) -> StagedNet:
    def block(channels: int, filters: int, padding: int) -> nn.Module:
        # Average pooling does not commute with a curve, so the order is the textbook's.
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, filters, kernel_size=5, padding=padding),
                activation=given.make_activation(),
                pool=nn.AvgPool2d(2),
            )
        )

    side = (given.image_size // 2 - 4) // 2  # 28 -> 14 -> 10 -> 5
    return finished(
        given,
        {
            "block1": block(given.channels, 6, padding=2),
            "block2": block(6, 16, padding=0),
            "dense1": dense(given, 16 * side**2, 120, flatten=True),
            "dense2": dense(given, 120, 84),
            HEAD: nn.Sequential(OrderedDict(linear=nn.Linear(84, given.classes))),
        },
    )


@architecture(
    name="vgg16-plain",
    title="VGG16, layer by layer",
    family="cnn",
    year=2014,
    story=(
        "Thirteen 3x3 convolutions in five blocks, two dense layers of 4096: depth out of one "
        "simple brick."
    ),
    native_activation="relu",
    min_image_size=32,
    default_cam_stage="block5",
)
def vgg16_plain(given: NetworkInput) -> StagedNet:
    side = given.image_size // 32  # five times halved: 224 -> 7, so 512 * 7 * 7 = 25088
    return finished(
        given,
        {
            "block1": conv_block(given, given.channels, 64, convs=2),
            "block2": conv_block(given, 64, 128, convs=2),
            "block3": conv_block(given, 128, 256, convs=3),
            "block4": conv_block(given, 256, 512, convs=3),
            "block5": conv_block(given, 512, 512, convs=3),
            "dense": nn.Sequential(
                OrderedDict(
                    flatten=nn.Flatten(),
                    linear1=nn.Linear(512 * side**2, 4096),
                    activation1=given.make_activation(),
                    dropout=Dropout(given.dropout(0.5)),
                    linear2=nn.Linear(4096, 4096),
                    activation2=given.make_activation(),
                )
            ),
            HEAD: dropped_head(given, 4096, dropout=0.5),
        },
    )
