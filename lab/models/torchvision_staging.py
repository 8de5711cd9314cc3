"""Turning one of torchvision's networks into a StagedNet.

With the same weights it computes exactly what torchvision's does. What the lab changes on the way,
and only when asked: channels and classes, the activation (from scratch), dropout, the head.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from lab.models.activations import replace_activations
from lab.models.architecture import NetworkSettings
from lab.models.dropout import Dropout, replace_dropouts
from lab.models.initialisation import initialise_weights
from lab.models.staged import HEAD, StagedNet
from lab.models.weights import load_backbone


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


def staged_net(settings: NetworkSettings, stages: dict[str, nn.Module]) -> StagedNet:
    """A StagedNet of these stages, changed where the settings differ from torchvision's network."""
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
    """Replace the first convolution by one for grey images, as if grey were repeated three times.

    Its kernel is the sum of the three channels' kernels, so pretrained weights stay right.
    """
    parent, name, conv = next(
        (parent, name, child)
        for parent in net.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d)
    )
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
    setattr(parent, name, grey)


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
