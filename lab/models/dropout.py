"""Dropout and stochastic depth that draw from a generator of their own.

torch's own draw from the process-wide generator, which every other thread moves: a page that shows
a random sample would change the run. These draw from one explicit generator per network
(`StagedNet.use_generator`), whose state is saved with the run, so that a run is repeatable and can
be resumed exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
        self.mask: Tensor | None = None
        """Drawn ahead of the forward pass by `MasksAhead`; None: drawn when it is needed."""

    @property
    def is_active(self) -> bool:
        """Whether it is not the identity now."""
        return self.training and self.p > 0

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def __deepcopy__(self, memo: dict[int, Any]) -> RandomLayer:
        # Not every release of torch can copy a generator. A copy of a network (for an export, an
        # explanation) draws from nobody's generator until it is given its own.
        twin = type(self)(self.p)
        twin.train(self.training)
        memo[id(self)] = twin
        return twin

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """Of the mask for the input `x`; it is broadcast."""
        raise NotImplementedError

    def draw(self, mask: Tensor) -> Tensor:
        """Fills `mask`: zero with probability p and 1 / (1 - p) otherwise."""
        if self.generator is None:
            raise RuntimeError(
                "dropout has no generator; call net.use_generator(...) before training"
            )
        keep = 1 - self.p
        return mask.bernoulli_(keep, generator=self.generator).div_(keep)

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_active:
            return x
        if self.mask is not None:
            return x * self.mask
        # Drawn where the generator lives; that is where x lives unless somebody moved the network
        # afterwards.
        device = x.device
        if self.generator is not None and self.generator.device.type != device.type:
            device = self.generator.device
        mask = self.draw(torch.empty(tuple(self.mask_shape(x)), dtype=x.dtype, device=device))
        return x * mask.to(x.device)


class Dropout(RandomLayer):
    """Switches off each value with probability `p` in training; scales the others up. (...)."""

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return x.shape


class StochasticDepth(RandomLayer):
    """Switches off a whole residual branch, sample by sample, with probability `p` in training. (N,
    ...)."""

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return (x.shape[0], *[1] * (x.ndim - 1))


class MasksAhead:
    """Masks that are drawn before a forward pass instead of within it: the same ones, as a layer
    is called once in a pass and in the same order.

    For a compiled pass: torch's compiler cannot follow a generator, and would compile the pieces
    between random layers only.
    """

    def __init__(self, network: nn.Module, rehearse: Callable[[], object]) -> None:
        """`rehearse` runs one forward pass as it will be run; it shows the layers and shapes."""
        self._masks: list[tuple[RandomLayer, Tensor]] = []

        def note(layer: RandomLayer, inputs: tuple[Tensor], output: Tensor) -> None:
            if layer.is_active:
                if any(layer is other for other, _ in self._masks):
                    raise ValueError("a random layer that is called twice needs two masks")
                (x,) = inputs
                mask = torch.empty(tuple(layer.mask_shape(x)), dtype=x.dtype, device=x.device)
                self._masks.append((layer, mask))

        layers = [module for module in network.modules() if isinstance(module, RandomLayer)]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        try:
            rehearse()
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """One forward pass runs within it. Its masks may be read until this is entered again."""
        for layer, mask in self._masks:
            layer.mask = layer.draw(mask)
        try:
            yield
        finally:
            for layer, _ in self._masks:
                layer.mask = None


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
