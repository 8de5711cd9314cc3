"""Convolutional networks written out layer by layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from lab.models.architecture import NetworkSettings, architecture
from lab.models.dropout import Dropout
from lab.models.initialisation import initialise_weights
from lab.models.perceptrons import dense
from lab.models.staged import HEAD, StagedNet


def conv_block(
    settings: NetworkSettings, channels: int, filters: int, *, convs: int = 1
) -> nn.Module:
    """3x3 convolutions that keep the size, then max-pool 2.

    (N, channels, H, W) -> (N, filters, H // 2, W // 2).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, convs + 1):
        suffix = str(number) if convs > 1 else ""
        layers[f"conv{suffix}"] = nn.Conv2d(channels, filters, kernel_size=3, padding="same")
        layers[f"activation{suffix}"] = settings.make_activation()
        channels = filters
    if settings.activation.monotone:
        # The textbook order is convolution, activation, pooling. An activation that never falls
        # maps the largest input to the largest output, so pooling first gives the same values from
        # a quarter of the work. GELU and SiLU dip below zero, so for them the order stays.
        layers["pool"] = nn.MaxPool2d(2)
        layers.move_to_end(f"activation{suffix}")
    else:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


def dropout_head(settings: NetworkSettings, inputs: int, *, dropout: float) -> nn.Module:
    """Dropout and a dense layer: (N, inputs) -> logits (N, K)."""
    return nn.Sequential(
        OrderedDict(
            dropout=Dropout(settings.dropout(dropout)), linear=nn.Linear(inputs, settings.classes)
        )
    )


def initialised_net(settings: NetworkSettings, stages: dict[str, nn.Module]) -> StagedNet:
    """A network of these stages whose weights suit the activation."""
    net = StagedNet(stages)
    initialise_weights(net, settings.activation)
    return net


@architecture(
    name="simple-cnn",
    title="Simple CNN",
    family="cnn",
    year=2012,
    story=(
        "Three convolution blocks, then two dense layers. Quick to train and much better on "
        "pictures than perceptrons."
    ),
    native_activation="relu",
    min_image_size=8,
    default_cam_stage="block3",
)
def simple_cnn(settings: NetworkSettings) -> StagedNet:
    side = settings.image_size // 2 // 2 // 2
    return initialised_net(
        settings,
        {
            "block1": conv_block(settings, settings.channels, 16),
            "block2": conv_block(settings, 16, 32),
            "block3": conv_block(settings, 32, 64),
            "dense": dense(settings, 64 * side**2, 128, flatten=True),
            HEAD: dropout_head(settings, 128, dropout=0.3),
        },
    )


@architecture(
    name="sign-cnn",
    title="Sign CNN",
    family="cnn",
    year=2018,
    story=(
        "For 28×28 hand signs: three convolution blocks of 32, 64 and 32 filters and a wide "
        "dense layer."
    ),
    native_activation="relu",
    min_image_size=8,
    default_cam_stage="block3",
)
def sign_cnn(settings: NetworkSettings) -> StagedNet:
    side = settings.image_size // 2 // 2 // 2  # 28 -> 14 -> 7 -> 3, so 32 * 3 * 3 = 288
    return initialised_net(
        settings,
        {
            "block1": conv_block(settings, settings.channels, 32),
            "block2": conv_block(settings, 32, 64),
            "block3": conv_block(settings, 64, 32),
            "dense": dense(settings, 32 * side**2, 512, flatten=True),
            HEAD: dropout_head(settings, 512, dropout=0.3),
        },
    )


@architecture(
    name="lenet5",
    title="LeNet-5",
    family="cnn",
    year=1998,
    story=(
        "The classic network for digits: two convolutions with average pooling, three dense "
        "layers, tanh."
    ),
    native_activation="tanh",
    min_image_size=12,
    default_cam_stage="block2",
)
def lenet5(settings: NetworkSettings) -> StagedNet:
    def block(channels: int, filters: int, padding: int) -> nn.Module:
        # Average pooling does not commute with an activation, so the order is the textbook's.
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, filters, kernel_size=5, padding=padding),
                activation=settings.make_activation(),
                pool=nn.AvgPool2d(2),
            )
        )

    side = (settings.image_size // 2 - 4) // 2  # 28 -> 14 -> 10 -> 5
    return initialised_net(
        settings,
        {
            "block1": block(settings.channels, 6, padding=2),
            "block2": block(6, 16, padding=0),
            "dense1": dense(settings, 16 * side**2, 120, flatten=True),
            "dense2": dense(settings, 120, 84),
            HEAD: nn.Sequential(OrderedDict(linear=nn.Linear(84, settings.classes))),
        },
    )


@architecture(
    name="vgg16-plain",
    title="VGG16, layer by layer",
    family="cnn",
    year=2014,
    story=(
        "Thirteen 3×3 convolutions in five blocks and two dense layers of 4,096 units; built "
        "layer by layer."
    ),
    native_activation="relu",
    min_image_size=32,
    default_cam_stage="block5",
)
def vgg16_plain(settings: NetworkSettings) -> StagedNet:
    side = settings.image_size // 32  # five times halved: 224 -> 7, so 512 * 7 * 7 = 25088
    return initialised_net(
        settings,
        {
            "block1": conv_block(settings, settings.channels, 64, convs=2),
            "block2": conv_block(settings, 64, 128, convs=2),
            "block3": conv_block(settings, 128, 256, convs=3),
            "block4": conv_block(settings, 256, 512, convs=3),
            "block5": conv_block(settings, 512, 512, convs=3),
            "dense": nn.Sequential(
                OrderedDict(
                    flatten=nn.Flatten(),
                    linear1=nn.Linear(512 * side**2, 4096),
                    activation1=settings.make_activation(),
                    dropout=Dropout(settings.dropout(0.5)),
                    linear2=nn.Linear(4096, 4096),
                    activation2=settings.make_activation(),
                )
            ),
            HEAD: dropout_head(settings, 4096, dropout=0.5),
        },
    )
