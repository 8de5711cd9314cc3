"""Turning a library's network into a StagedNet.

With the same weights it computes exactly what the library's does. What the lab changes on the way,
and only when asked: channels and classes, the activation (from scratch), dropout, the head.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.models.activations import replace_activations
from lab.models.architecture import NetworkSettings
from lab.models.dropout import Dropout, replace_dropouts
from lab.models.initialisation import initialise_weights
from lab.models.staged import HEAD, StagedNet

SMALLEST = 16
"""Pixels, for networks that shrink no image to nothing. Below it their last maps are a single pixel
for so many layers that BatchNorm, left with two values a channel in a batch of two, makes the
gradients overflow; the deep ResNets need one pixel more."""

# As in lab.data.preprocess, which this layer may not import.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def staged_net(settings: NetworkSettings, stages: dict[str, nn.Module]) -> StagedNet:
    """A StagedNet of these stages, changed where the settings differ from the library's network."""
    net = StagedNet(stages)
    if settings.channels == 1:
        _convert_to_grey_input(net)
    if settings.config.head == "dense":
        net = _replace_head_by_dense(settings, net)
    if not settings.is_native:
        replace_activations(net, settings.activation.name)
    replace_dropouts(net, settings.config.dropout)
    return net


def _convert_to_grey_input(net: StagedNet) -> None:
    """Replace what convolves the picture by the same for grey, as if grey were repeated three
    times.

    A kernel is the sum of the three channels' kernels, so pretrained weights stay right.
    """
    first = [
        (parent, name, child)
        for parent in net.stage(net.stage_names[0]).modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d) and child.in_channels == 3
    ]
    for parent, name, conv in first:  # several where branches begin at the picture, as in RepVGG
        setattr(parent, name, _grey_convolution(conv))


def _grey_convolution(conv: nn.Conv2d) -> nn.Conv2d:
    grey = nn.Conv2d(
        1,
        conv.out_channels,
        kernel_size=conv.kernel_size,  # type: ignore[arg-type]  # torch types it as any tuple
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        grey.weight.copy_(conv.weight.sum(dim=1, keepdim=True))
        if conv.bias is not None and grey.bias is not None:
            grey.bias.copy_(conv.bias)
    return grey


def _replace_head_by_dense(settings: NetworkSettings, net: StagedNet) -> StagedNet:
    """Replace pooling and classifier by Flatten -> Linear -> activation -> Dropout -> Linear (K).

    Document 002 has no activation after its Dense layer, which makes two linear layers in a row: no
    more than one. Here the network's own (or chosen) activation stands between them.
    """
    stages = {name: net.stage(name) for name in net.stage_names if name not in ("dense", HEAD)}
    # Only the shape is needed, so the backbone runs with weights on the meta device.
    backbone = nn.Sequential(OrderedDict(stages)).eval()
    meta_tensors = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*backbone.named_parameters(), *backbone.named_buffers())
    }
    image = torch.empty(
        1, settings.channels, settings.image_size, settings.image_size, device="meta"
    )
    with torch.no_grad():
        features = torch.func.functional_call(backbone, meta_tensors, (image,))
    backbone.train()
    head = nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            linear=nn.Linear(features[0].numel(), settings.config.head_units),
            activation=settings.make_activation(),
            dropout=Dropout(settings.dropout(0.5)),
            logits=nn.Linear(settings.config.head_units, settings.classes),
        )
    )
    initialise_weights(head, settings.activation)
    return StagedNet({**stages, HEAD: head})


def chain(modules: Iterable[nn.Module] | dict[str, nn.Module]) -> nn.Sequential:
    """The modules one after the other, under their names where they have any."""
    if isinstance(modules, dict):
        return nn.Sequential(OrderedDict(modules))
    return nn.Sequential(*modules)


def pooled(classifier: nn.Module) -> nn.Sequential:
    """Global average pooling before the classifier: (N, C, H, W) -> (N, C) -> logits (N, K)."""
    return chain(
        {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": classifier}
    )


class Resized(nn.Module):
    """Pictures (N, C, H, W) at another size, (N, C, side, side), as some networks need them;
    smoothed before they shrink."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def extra_repr(self) -> str:
        return f"{self.side}"

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == self.side:
            return x
        size = (self.side, self.side)
        return F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)


class FromImageNetScale(nn.Module):
    """Rescales ImageNet-normalised colours to (x - mean) / std, which some weights expect; x is a
    colour from 0 to 1, mean and std are one number or one a channel."""

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        # In double precision: rounded once.
        numbers = (IMAGENET_MEAN, IMAGENET_STD, mean, std)
        usual_mean, usual_std, mean_, std_ = (torch.tensor(n, dtype=torch.double) for n in numbers)
        self.register_buffer("scale", (usual_std / std_).float().view(1, 3, 1, 1))
        self.register_buffer("shift", ((usual_mean - mean_) / std_).float().view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("scale") + self.get_buffer("shift")
