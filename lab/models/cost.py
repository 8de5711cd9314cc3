"""What one image costs in each stage of a network: counted on the meta device, nothing is measured.

Counted is what takes the time: multiplications in convolutions and dense layers, numbers that
layers put out and so go through memory, parameters, and layers, each of which is called. What a
network does outside its layers, such as adding a shortcut, is little beside these and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab.models.freezing import count_parameters
from lab.models.staged import StagedNet


@dataclass(frozen=True)
class StageCost:
    """Of one stage, for one image."""

    name: str
    multiplications: int
    outputs: int
    """Numbers that its layers put out."""
    parameters: int
    layers: int


def stage_costs(net: StagedNet, *, channels: int, image_size: int) -> tuple[StageCost, ...]:
    """The stages of `net` in order; a network on the meta device that is thrown away afterwards,
    because it is changed."""
    calls: list[tuple[int, int]] = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        calls.append((_multiplications(module, output), output.numel()))

    net.eval()
    for module in net.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(count)
        if isinstance(module, nn.BatchNorm2d):
            # It keeps the shape, and on the meta device takes ten times as long as all the rest.
            module.forward = _unchanged  # type: ignore[method-assign]
    x = torch.zeros(1, channels, image_size, image_size, device="meta")
    costs = []
    with torch.no_grad():
        for name in net.stage_names:
            calls.clear()
            x = net.run(x, first=name, last=name)
            costs.append(
                StageCost(
                    name,
                    multiplications=sum(done for done, _ in calls),
                    outputs=sum(numbers for _, numbers in calls),
                    parameters=count_parameters(net.stage(name)),
                    layers=len(calls),
                )
            )
    return tuple(costs)


def _unchanged(input: Tensor) -> Tensor:
    return input


def _multiplications(module: nn.Module, output: Tensor) -> int:
    """Each number that a convolution or a dense layer puts out is a sum over a row of weights."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return output.numel() * module.weight[0].numel()
    return 0
