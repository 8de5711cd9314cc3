"""The computing cost of each stage of a network for one image, counted on the meta device.

Counted is what takes the time: multiplications in convolutions and dense layers, output values,
which go through memory, parameters, and layer calls. What a network does outside its layers, such
as adding a shortcut, is little beside these and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab.models.freezing import count_parameters
from lab.models.staged import StagedNet
from lab.models.tokens import maps_of


@dataclass(frozen=True)
class StageCost:
    """The computing cost of one stage for one image."""

    name: str
    multiplications: int
    outputs: int
    """Output values of all its layers."""
    parameters: int
    layers: int


def stage_costs(net: StagedNet, *, channels: int, image_size: int) -> tuple[StageCost, ...]:
    """The cost of each stage of `net`, in order.

    `net` is on the meta device and is changed, so throw it away afterwards.
    """
    costs = []
    for name, calls, _ in stage_passes(net, channels=channels, image_size=image_size):
        costs.append(
            StageCost(
                name,
                multiplications=sum(_multiplications(module, output) for module, output in calls),
                outputs=sum(output.numel() for _, output in calls),
                parameters=count_parameters(net.stage(name)),
                layers=len(calls),
            )
        )
    return tuple(costs)


def stage_passes(
    net: StagedNet, *, channels: int, image_size: int
) -> Iterator[tuple[str, list[tuple[nn.Module, Tensor]], Tensor]]:
    """Yields each stage's name, the calls of its layers with their outputs, in order, and its own
    output (1, ...), maps if it has places; all on the meta device, so it takes milliseconds.

    `net` is on the meta device and is changed, so throw it away afterwards.
    """
    calls: list[tuple[nn.Module, Tensor]] = []

    def record(module: nn.Module, _: object, output: Tensor) -> None:
        calls.append((module, output))

    net.eval()
    skip_batch_norm(net)
    for module in net.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(record)
    x = torch.zeros(1, channels, image_size, image_size, device="meta")
    for name in net.stage_names:
        calls.clear()
        with torch.no_grad():
            x = net.run(x, first=name, last=name)
        yield name, list(calls), maps_of(net.stage(name), x)


def skip_batch_norm(net: nn.Module) -> None:
    """Let batch normalisation hand on its input: it keeps the shape, and on the meta device takes
    ten times as long as all the rest."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = _unchanged  # type: ignore[method-assign]


def _unchanged(input: Tensor) -> Tensor:
    return input


def _multiplications(module: nn.Module, output: Tensor) -> int:
    """Multiplications of one layer: one for each output value and each weight of its channel."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output.numel() * module.weight[0].numel()
    return 0
