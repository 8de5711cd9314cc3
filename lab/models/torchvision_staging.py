"""How one of torchvision's networks becomes a StagedNet.

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
from lab.models.architecture import NetworkInput
from lab.models.dropout import Dropout, replace_dropouts
from lab.models.initialisation import start_weights
from lab.models.staged import HEAD, StagedNet
from lab.models.weights import load_backbone


def torchvision_net(
    given: NetworkInput, *, classifier: str, ignored: tuple[str, ...] = (), **options: Any
) -> Any:
    """torchvision's own network for K classes; its backbone pretrained when weights are given.

    `classifier` is the path of the last layer, the only one that stays random.
    """
    import torchvision.models

    make = getattr(torchvision.models, given.config.architecture)
    net = make(weights=None, num_classes=given.classes, **options)
    if given.pretrained is not None:
        load_backbone(net, given.pretrained, given.spec, classifier=classifier, ignored=ignored)
    return net


def staged(given: NetworkInput, stages: dict[str, nn.Module]) -> StagedNet:
    """The finishing touches that are the same for all."""
    net = StagedNet(stages)
    if given.channels == 1:
        _take_grey(net)
    if given.config.head == "dense":
        net = _with_dense_head(given, net)
    if not given.is_native:
        replace_activations(net, given.activation.name)
    replace_dropouts(net, given.config.dropout)
    return net


def _take_grey(net: StagedNet) -> None:
    """Make the first convolution take one channel, as if grey had been repeated three times.

    The sum of the three kernels does just that, whatever rule the weights were started by.
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


def _with_dense_head(given: NetworkInput, net: StagedNet) -> StagedNet:
    """Flatten -> Dense -> activation -> Dropout -> K in place of the pooling and the classifier.

    Document 002 has no activation after its Dense layer, which makes two linear layers on end: no
    more than one. Here the network's own (or chosen) activation stands between them.
    """
    stages = {name: net.stage(name) for name in net.stage_names if name not in ("dense", HEAD)}
    # Only the shape is wanted, so the backbone is tried with weights on the meta device.
    backbone = nn.Sequential(OrderedDict(stages)).eval()
    stand_ins = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*backbone.named_parameters(), *backbone.named_buffers())
    }
    image = torch.empty(1, given.channels, given.image_size, given.image_size, device="meta")
    with torch.no_grad():
        features = torch.func.functional_call(backbone, stand_ins, (image,))
    backbone.train()
    head = nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            linear=nn.Linear(features[0].numel(), given.config.head_units),
            activation=given.make_activation(),
            dropout=Dropout(given.dropout(0.5)),
            logits=nn.Linear(given.config.head_units, given.classes),
        )
    )
    start_weights(head, given.activation)
    return StagedNet({**stages, HEAD: head})


def chain(modules: Iterable[nn.Module] | dict[str, nn.Module]) -> nn.Sequential:
    if isinstance(modules, dict):
        return nn.Sequential(OrderedDict(modules))
    return nn.Sequential(*modules)


def pooled(classifier: nn.Module) -> nn.Sequential:
    """(N, C, H, W) -> mean over the image (N, C) -> classifier (N, K)."""
    return chain(
        {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": classifier}
    )
