"""torchvision's networks, their modules moved into named stages. See lab.models.staging."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from lab.models.architecture import Build, NetworkSettings, architecture
from lab.models.staged import HEAD, StagedNet
from lab.models.staging import SMALLEST, FromImageNetScale, chain, pooled, staged_net
from lab.models.weights import load_backbone
from lab.models.weights_source import TorchvisionWeights


def torchvision_architecture(*, name: str, **facts: Any) -> Callable[[Build], Build]:
    """Register the decorated function as torchvision's network of this name."""
    return architecture(
        name=name,
        family="torchvision",
        weights=TorchvisionWeights(name),
        knobs=("head",),
        **facts,
    )


def torchvision_net(
    settings: NetworkSettings, *, classifier: str, ignored: tuple[str, ...] = (), **options: Any
) -> Any:
    """torchvision's own network for K classes, with pretrained weights if there are any.

    `classifier` is the path of the last layer, the only one that stays random.
    """
    import torchvision.models

    make = getattr(torchvision.models, settings.config.architecture)
    net = make(weights=None, num_classes=settings.classes, **options)
    if settings.pretrained is not None:
        load_backbone(
            net, settings.pretrained, settings.spec, classifier=classifier, ignored=ignored
        )
    return net


@torchvision_architecture(
    name="alexnet",
    title="AlexNet",
    year=2012,
    story=("Won ImageNet in 2012 by a wide margin, with ReLU and dropout. Large and simple."),
    native_activation="relu",
    min_image_size=63,
    default_cam_stage="conv5",
)
def alexnet(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.6")
    f, c = net.features, net.classifier
    return staged_net(
        settings,
        {
            "conv1": f[0:3],
            "conv2": f[3:6],
            "conv3": f[6:8],
            "conv4": f[8:10],
            "conv5": f[10:13],
            "dense": chain([net.avgpool, nn.Flatten(), *c[:6]]),
            HEAD: chain([c[6]]),
        },
    )


@torchvision_architecture(
    name="vgg16",
    title="VGG16",
    year=2014,
    story=(
        "Only 3×3 convolutions, deep and regular. Slow and large; its features work well for "
        "transfer."
    ),
    native_activation="relu",
    min_image_size=32,
    default_cam_stage="block5",
)
def vgg16(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.6")
    f, c = net.features, net.classifier
    return staged_net(
        settings,
        {
            "block1": f[0:5],
            "block2": f[5:10],
            "block3": f[10:17],
            "block4": f[17:24],
            "block5": f[24:31],
            "dense": chain([net.avgpool, nn.Flatten(), *c[:5]]),
            HEAD: c[5:],
        },
    )


class ConvNormActivation(nn.Module):
    """GoogLeNet's convolution, whose ReLU is a replaceable module (torchvision's is a function)."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.bn(self.conv(x)))
        return out


@torchvision_architecture(
    name="googlenet",
    title="GoogLeNet",
    year=2014,
    story=("Inception blocks: several filter sizes side by side. A twelfth of AlexNet's weights."),
    native_activation="relu",
    min_image_size=15,
    default_cam_stage="inception5",
)
def googlenet(settings: NetworkSettings) -> StagedNet:
    from torchvision.models.googlenet import Inception, InceptionAux

    net = torchvision_net(
        settings,
        classifier="fc",
        ignored=("aux1.", "aux2."),  # two helper heads that only served the original training
        aux_logits=False,
        init_weights=True,
        blocks=[
            ConvNormActivation,
            partial(Inception, conv_block=ConvNormActivation),
            InceptionAux,
        ],
    )
    entry = {"rescale": FromImageNetScale(0.5, 0.5)} if settings.config.pretrained else {}
    return staged_net(
        settings,
        {
            "stem": chain({**entry, "conv1": net.conv1, "pool": net.maxpool1}),
            "conv2": chain({"conv2": net.conv2, "conv3": net.conv3, "pool": net.maxpool2}),
            "inception3": chain([net.inception3a, net.inception3b, net.maxpool3]),
            "inception4": chain(
                [
                    net.inception4a,
                    net.inception4b,
                    net.inception4c,
                    net.inception4d,
                    net.inception4e,
                    net.maxpool4,
                ]
            ),
            "inception5": chain([net.inception5a, net.inception5b]),
            HEAD: chain([net.avgpool, nn.Flatten(), net.dropout, net.fc]),
        },
    )


def _resnet(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="fc")
    return staged_net(
        settings,
        {
            "stem": chain(
                {"conv1": net.conv1, "bn1": net.bn1, "relu": net.relu, "maxpool": net.maxpool}
            ),
            "layer1": net.layer1,
            "layer2": net.layer2,
            "layer3": net.layer3,
            "layer4": net.layer4,
            HEAD: chain({"avgpool": net.avgpool, "flatten": nn.Flatten(), "fc": net.fc}),
        },
    )


for _depth, _min_image_size, _story in (
    (
        18,
        SMALLEST,
        (
            "Shortcuts around every two layers let the gradient through, so depth is no obstacle. "
            "The small one."
        ),
    ),
    (
        50,
        SMALLEST + 1,
        "Fifty layers of bottleneck blocks; a standard choice for transfer learning.",
    ),
    (
        101,
        SMALLEST + 1,
        "Twice as deep as ResNet-50, at about twice the time.",
    ),
):
    torchvision_architecture(
        name=f"resnet{_depth}",
        title=f"ResNet-{_depth}",
        year=2015,
        story=_story,
        native_activation="relu",
        min_image_size=_min_image_size,
        default_cam_stage="layer4",
    )(_resnet)


@torchvision_architecture(
    name="densenet121",
    title="DenseNet-121",
    year=2016,
    story=(
        "Every layer gets the maps of all layers before it in its block, so each adds only a "
        "few new ones."
    ),
    native_activation="relu",
    min_image_size=29,
    default_cam_stage="denseblock4",
)
def densenet121(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier")
    f = net.features
    return staged_net(
        settings,
        {
            "stem": chain([f.conv0, f.norm0, f.relu0, f.pool0]),
            "denseblock1": chain([f.denseblock1, f.transition1]),
            "denseblock2": chain([f.denseblock2, f.transition2]),
            "denseblock3": chain([f.denseblock3, f.transition3]),
            # The last normalisation is pretrained, so it belongs to the backbone, and Grad-CAM
            # looks behind it.
            "denseblock4": chain([f.denseblock4, f.norm5, nn.ReLU(inplace=True)]),
            HEAD: pooled(net.classifier),
        },
    )


@torchvision_architecture(
    name="mobilenet_v2",
    title="MobileNetV2",
    year=2018,
    story=(
        "Made for phones: small bottleneck blocks with depthwise convolutions. Fast on a CPU "
        "and good for transfer learning."
    ),
    native_activation="relu6",
    min_image_size=SMALLEST,
    default_cam_stage="last_conv",
)
def mobilenet_v2(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.1")
    f = net.features  # sides at 224 pixels on the right
    return staged_net(
        settings,
        {
            "stem": f[0:2],  # 112
            "stage1": f[2:4],  # 56
            "stage2": f[4:7],  # 28
            "stage3": f[7:14],  # 14
            "stage4": f[14:18],  # 7
            "last_conv": f[18:],
            HEAD: pooled(net.classifier),
        },
    )


@torchvision_architecture(
    name="mobilenet_v3_small",
    title="MobileNetV3-small",
    year=2019,
    story=(
        "Partly found by automatic search; gates weigh the channels of each block. The "
        "smallest of its family."
    ),
    native_activation="hardswish",
    min_image_size=SMALLEST,
    default_cam_stage="last_conv",
)
def mobilenet_v3_small(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.3")
    f, c = net.features, net.classifier  # sides at 224 pixels on the right
    return staged_net(
        settings,
        {
            "stem": f[0:1],  # 112
            "stage1": f[1:2],  # 56
            "stage2": f[2:4],  # 28
            "stage3": f[4:9],  # 14
            "stage4": f[9:12],  # 7
            "last_conv": f[12:],
            "dense": chain([net.avgpool, nn.Flatten(), c[0], c[1]]),
            HEAD: c[2:],
        },
    )


@torchvision_architecture(
    name="squeezenet1_1",
    title="SqueezeNet 1.1",
    year=2016,
    story=(
        "AlexNet's accuracy with a fiftieth of its weights: squeeze to few channels, then "
        "expand again."
    ),
    native_activation="relu",
    min_image_size=17,
    default_cam_stage="fire6_9",
)
def squeezenet1_1(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.1")
    f = net.features
    dropout, conv, relu, pool = net.classifier
    # SqueezeNet puts its ReLU even on the logits. Another activation there would cap them
    # (sigmoid: all between 0 and 1, so the loss could never become small), so there is none then.
    last_activation = [relu] if settings.is_native else []
    return staged_net(
        settings,
        {
            "stem": f[0:3],
            "fire2_3": f[3:6],
            "fire4_5": f[6:9],
            "fire6_9": f[9:13],
            HEAD: chain([dropout, conv, *last_activation, pool, nn.Flatten()]),
        },
    )


@torchvision_architecture(
    name="efficientnet_b0",
    title="EfficientNet-B0",
    year=2019,
    story=(
        "Depth, width and image size in balance; the smallest of its family, accurate for its cost."
    ),
    native_activation="silu",
    min_image_size=SMALLEST,
    default_cam_stage="last_conv",
)
def efficientnet_b0(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.1")
    # By PyTorch's rule. torchvision's counts on a thousand classes: with two, weights of up to 0.7
    # on 1,280 features, and a loss that begins far above chance.
    net.classifier[1].reset_parameters()
    f = net.features
    return staged_net(
        settings,
        {
            "stem": f[0:1],
            **{f"stage{number}": f[number : number + 1] for number in range(1, 8)},
            "last_conv": f[8:],
            HEAD: pooled(net.classifier),
        },
    )


@torchvision_architecture(
    name="convnext_tiny",
    title="ConvNeXt-tiny",
    year=2022,
    story=("A ResNet with ideas from transformers: large kernels, few activations, LayerNorm."),
    native_activation="gelu",
    min_image_size=32,
    default_cam_stage="stage4",
)
def convnext_tiny(settings: NetworkSettings) -> StagedNet:
    net = torchvision_net(settings, classifier="classifier.2")
    f = net.features
    return staged_net(
        settings,
        {
            "stem": f[0:1],
            "stage1": f[1:2],
            "stage2": f[2:4],  # each begins by halving the maps
            "stage3": f[4:6],
            "stage4": f[6:8],
            HEAD: chain([net.avgpool, *net.classifier]),  # with its norm, flatten, linear
        },
    )
