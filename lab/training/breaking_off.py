"""A look for a stop before each layer, so that a batch that takes seconds can be broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def checked_before_layers(module: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Inside the block `check` is called before each layer of `module` runs; what it raises breaks
    the pass off.

    Only for passes without gradients, whose work can be thrown away: eight photographs through a
    large network take a CPU seconds, one layer never does. The numbers stay what they are, which
    smaller batches would not promise.
    """
    handles = [part.register_forward_pre_hook(lambda *_: check()) for part in module.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
