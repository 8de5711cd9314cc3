"""One channel of the first convolution as a sum: each colour through its filter, then the bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.explain.layers import captured, module_of
from lab.models.staged import StagedNet

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ConvolutionSum:
    """What a channel is added up from: parts.sum(0) + bias == total."""

    inputs: Floats
    """(C, H, W) the normalised picture, a colour each."""
    weights: Floats
    """(C, kh, kw) the channel's filter, a slice for each colour."""
    parts: Floats
    """(C, h, w) each colour seen through its slice of the filter."""
    bias: float
    total: Floats
    """(h, w) what the channel puts out."""


def first_convolution(network: StagedNet, channels: int) -> str | None:
    """The layer name of the convolution that sees the picture itself, of `channels` colours; None
    where the first layer with weights is another."""
    for path, module in network.stages.named_modules():
        if isinstance(module, nn.Conv2d):
            plain = module.groups == 1 and module.padding_mode == "zeros"
            return path if plain and module.in_channels == channels else None
        if isinstance(module, nn.Linear):
            return None
    return None


def convolution_sum(network: StagedNet, image: Tensor, layer: str, channel: int) -> ConvolutionSum:
    """Of `channel` of the convolution `layer` for `image` (1, C, H, W) normalised.

    Raises ConfigError when `layer` is not the first convolution or has no such channel.
    """
    module = module_of(network, layer)
    if layer != first_convolution(network, image.shape[1]) or not isinstance(module, nn.Conv2d):
        raise ConfigError(f"Layer {layer!r} does not see the picture itself; choose the first one.")
    if not 0 <= channel < module.out_channels:
        raise ConfigError(
            f"Layer {layer!r} has no channel {channel}; they are numbered 0 to "
            f"{module.out_channels - 1}."
        )
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    try:
        with torch.inference_mode(), captured(network, [layer]) as outputs:
            network(image)
    finally:
        hook.remove()
    inputs = seen[0].float()
    with torch.inference_mode():
        slices = module.weight[channel].detach().float().unsqueeze(1)  # (C, 1, kh, kw)
        # With a group for each colour the convolution does everything but the adding up.
        parts = nn.functional.conv2d(
            inputs, slices, None, module.stride, module.padding, module.dilation, len(slices)
        )
    return ConvolutionSum(
        inputs=inputs[0].cpu().numpy(),
        weights=slices[:, 0].cpu().numpy(),
        parts=parts[0].cpu().numpy(),
        bias=0.0 if module.bias is None else float(module.bias[channel].detach()),
        total=outputs[layer][0, channel].float().cpu().numpy(),
    )
