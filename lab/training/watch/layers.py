"""Which layers are watched for their health, and what follows each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lab.models.activations import ACTIVATIONS
from lab.models.staged import StagedNet

_CURVES: dict[type[nn.Module], str] = {
    **{type(spec.make()): spec.name for spec in ACTIVATIONS},
    nn.Hardsigmoid: "hardsigmoid",  # the gates of MobileNetV3
}


@dataclass(frozen=True, eq=False)
class Watched:
    """A layer with a weight matrix or filters."""

    name: str
    """The stage, and the path inside it where the stage has several such layers."""
    module: nn.Module
    weight: nn.Parameter
    output: nn.Module
    """Whose output is sampled: the activation behind the layer, or the layer itself."""
    call: int
    """Which call of `output` in one forward pass, from 1: ResNet calls one ReLU several times."""
    activation: str
    """Its name in `lab.models.activations`; "" when `output` is the layer itself."""


def watched_layers(network: StagedNet, *, channels: int, image_size: int) -> tuple[Watched, ...]:
    """The layers of `network`, first to last. Costs one forward pass of a black image.

    An activation belongs to the layers whose output reaches it through no other such layer and no
    other activation (through BatchNorm, pooling, a shortcut's sum), if it has as many channels as
    they: that is read off the autograd graph. No gradient is computed, no statistic moved, no
    random number drawn; hooks are gone and modes restored however this ends.
    """
    named = _weighted(network)
    came: list[tuple[nn.Module, Any, int, torch.Size]] = []  # module, graph node, call, shape
    calls: dict[nn.Module, int] = {}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        # The node of now: an in-place activation would give the tensor another one.
        came.append((module, output.grad_fn, calls[module], output.shape))

    modes = {module: module.training for module in network.modules()}
    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if module in named or type(module) in _CURVES
    ]
    try:
        network.eval()
        device = next(network.parameters()).device
        image = torch.zeros(1, channels, image_size, image_size, device=device)
        with torch.enable_grad():  # the image, so that frozen layers are in the graph as well
            network(image.requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode

    layer_at = {node: (module, shape) for module, node, _, shape in came if module in named}
    ends = {node for _, node, _, _ in came}
    behind: dict[nn.Module, tuple[nn.Module, int]] = {}
    for curve, node, call, shape in came:
        if curve in named:
            continue
        for found in _sources(node, ends):
            if found not in layer_at:
                continue
            layer, own = layer_at[found]
            channel = unit_dimension(layer)
            if own[channel] == shape[channel]:
                behind.setdefault(layer, (curve, call))
    return tuple(
        Watched(
            name=name,
            module=module,
            weight=module.weight,
            output=behind.get(module, (module, 1))[0],
            call=behind.get(module, (module, 1))[1],
            activation=_CURVES[type(behind[module][0])] if module in behind else "",
        )
        for module, name in named.items()
    )


def unit_dimension(layer: nn.Module) -> int:
    """The dimension of a layer's output that counts its units: features, or a convolution's
    filters."""
    return -1 if isinstance(layer, nn.Linear) else 1


def _weighted(network: StagedNet) -> dict[Any, str]:
    """Module -> name, of those that multiply by a matrix or filters; the scales of normalisation
    layers are no weights in this sense."""
    found: dict[nn.Module, str] = {}
    for stage in network.stage_names:
        inside = {
            module: path
            for path, module in network.stage(stage).named_modules()
            if isinstance(getattr(module, "weight", None), nn.Parameter)
            and module.get_parameter("weight").ndim > 1
        }
        for module, path in inside.items():
            found[module] = f"{stage}.{path}" if len(inside) > 1 else stage
    return found


def _sources(node: Any, ends: set[Any]) -> Iterator[Any]:
    """The nodes of `ends` from which `node` is reached without passing another one of them."""
    seen = {node}
    open_ = [node]
    while open_:
        for before, _ in open_.pop().next_functions:
            if before is None or before in seen:
                continue
            seen.add(before)
            if before in ends:
                yield before
            else:
                open_.append(before)
