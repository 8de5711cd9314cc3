"""Dropout and stochastic depth that draw from a generator of their own.

torch's own draw from the process-wide generator, which every other thread moves: a page that shows
a random sample would change the run. These draw from one explicit generator per network
(`StagedNet.use_generator`), whose state is saved with the run, so that a run is repeatable and can
be resumed exactly.
"""

from __future__ import annotations

import itertools
import weakref
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
        self.key = next(_KEYS)
        _LAYERS[self.key] = self

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __deepcopy__(self, memo: dict[int, Any]) -> RandomLayer:
        # Not every release of torch can copy a generator. A copy of a network (for an export, an
        # explanation) has no generator until `use_generator` sets one.
        copy = type(self)(self.p)
        copy.train(self.training)
        memo[id(self)] = copy
        return copy

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """The shape of the mask for the input `x`, to which it is broadcast."""
        raise NotImplementedError

    def draw_mask(self, x: Tensor) -> Tensor:
        """A mask for the input `x`: zero with probability p and 1 / (1 - p) otherwise."""
        if self.generator is None:
            raise RuntimeError(
                "dropout has no generator; call net.use_generator(...) before training"
            )
        # Drawn on the generator's device, which differs from x's if the network was moved later.
        same = self.generator.device.type == x.device.type
        device = x.device if same else self.generator.device
        mask = torch.empty(tuple(self.mask_shape(x)), dtype=x.dtype, device=device)
        keep = 1 - self.p
        return mask.bernoulli_(keep, generator=self.generator).div_(keep).to(x.device)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if torch.compiler.is_compiling():
            mask: Tensor = _draw_mask(x.detach(), self.key)
            return x * mask
        return x * self.draw_mask(x)


_KEYS = itertools.count()
_LAYERS: weakref.WeakValueDictionary[int, RandomLayer] = weakref.WeakValueDictionary()
"""Every layer that is alive, by its key."""


@torch.library.custom_op(
    "epochlab::draw_mask", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
def _draw_mask(x: Tensor, key: int) -> Tensor:
    """`RandomLayer.draw_mask` as one opaque operation for torch's compiler.

    The compiler cannot follow a generator, and a graph break there leaves most layers uncompiled.
    """
    return _LAYERS[key].draw_mask(x)


@_draw_mask.register_fake
def _mask_like(x: Tensor, key: int) -> Tensor:
    return x.new_empty(tuple(_LAYERS[key].mask_shape(x)))


class Dropout(RandomLayer):
    """Zeroes each value with probability `p` in training and scales up the rest; any shape."""

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return x.shape


class StochasticDepth(RandomLayer):
    """Zeroes a residual branch (N, ...) with probability `p` in training, sample by sample."""

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return (x.shape[0], *[1] * (x.ndim - 1))


def replace_dropouts(net: nn.Module, p: float | None) -> None:
    """Replace torchvision's dropout and stochastic depth, in place, by Dropout and StochasticDepth.

    `p` replaces the probability of every dropout unless it is None; stochastic depth keeps its own,
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
