"""Dropout and stochastic depth that draw from a generator of their own.

torch's own draw from the process-wide generator, which every other thread moves: a page that shows
a random sample would change the run. These draw from one explicit generator per network
(`StagedNet.use_generator`), whose state is saved with the run, so that a run is repeatable and can
be resumed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class RandomLayer(nn.Module):
    """A layer that is random in training and the identity in evaluation."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the share to drop is {p}; allowed is 0 up to, not including, 1")
        self.p = float(p)
        self.generator: torch.Generator | None = None

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __deepcopy__(self, memo: dict[int, Any]) -> RandomLayer:
        # Not every release of torch can copy a generator. A copy of a network (for an export, an
        # explanation) draws from nobody's generator until it is given its own.
        twin = type(self)(self.p)
        twin.train(self.training)
        memo[id(self)] = twin
        return twin

    def _drop(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """`x` times a mask of `shape` (broadcast), zero with probability p and 1 / (1 - p)
        otherwise."""
        if self.generator is None:
            raise RuntimeError(
                "dropout has no generator; call net.use_generator(...) before training"
            )
        keep = 1 - self.p
        # Drawn where the generator lives; that is where x lives unless somebody moved the network
        # afterwards.
        same = self.generator.device.type == x.device.type
        mask = torch.empty(
            tuple(shape), dtype=x.dtype, device=x.device if same else self.generator.device
        )
        mask.bernoulli_(keep, generator=self.generator).div_(keep)
        return x * mask.to(x.device)


class Dropout(RandomLayer):
    """Switches off each value with probability `p` in training; scales the others up. (...)."""

    def forward(self, x: Tensor) -> Tensor:
        return self._drop(x, x.shape) if self.training and self.p else x


class StochasticDepth(RandomLayer):
    """Switches off a whole residual branch, sample by sample, with probability `p` in training. (N,
    ...)."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p):
            return x
        return self._drop(x, (x.shape[0], *[1] * (x.ndim - 1)))


def replace_dropouts(net: nn.Module, p: float | None) -> None:
    """Exchange torchvision's dropout and stochastic depth, in place, for these.

    `p` replaces the share of every dropout unless it is None; stochastic depth keeps its own,
    because it belongs to the residual blocks and not to the head.
    """
    from torchvision.ops import StochasticDepth as TorchvisionDepth

    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, Dropout(child.p if p is None else p))
            elif isinstance(child, TorchvisionDepth):
                if child.mode != "row":
                    raise ValueError(f"stochastic depth by {child.mode!r} is not built; by row is")
                setattr(parent, name, StochasticDepth(child.p))
