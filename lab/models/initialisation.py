"""Initial weights: from a seed alone, and by a rule that fits the activation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lab.models.activations import ActivationSpec


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's gap
    """A context of this thread in which `draw` does what would draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled in these contexts. Otherwise the first one of a process imports
        # torch's compiler: over a second, for which a page would wait.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags:
            return self.draw(func, args, kwargs)
        return func(*args, **kwargs)

    def draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise NotImplementedError


class SeededRandomness(_Draws):  # type: ignore[no-untyped-call]
    """A context in which every random draw of this thread comes from `generator`.

    torchvision's constructors draw from the process-wide generator and offer no other. Seeding that
    one (`fork_rng` + `manual_seed`) is not enough while pages run in other threads: whatever they
    draw in between changes the weights, and their own numbers are set back. This mode is local to
    its thread, so a build is a pure function of its seed and the process-wide generator is never
    touched. The numbers are the same that `torch.manual_seed` with the same seed would give.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not any(argument.name == "generator" for argument in func._schema.arguments):
            raise RuntimeError(f"{func} cannot draw from a generator; use torch.nn.init instead")
        return func(*args, **{**kwargs, "generator": self.generator})


class NoRandomness(_Draws):  # type: ignore[no-untyped-call]
    """A context for the "meta" device, in which nothing is drawn.

    There are no numbers to draw there, but torch decomposes each draw in Python: two thirds of the
    time that it takes to build a network.
    """

    def draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[0] if func._schema.is_mutable else func(*args, **kwargs)


def initialise_weights(net: nn.Module, activation: ActivationSpec) -> None:
    """Initialise every Linear and Conv2d of `net` by the rule for `activation`; biases are zero.

    Kaiming for the ReLU family, which lets half of the signal through; Xavier for sigmoid and tanh.
    The last layer gives the logits. It starts at a tenth of Xavier's size, so that no class is
    ahead at the start and the loss begins at ln K, the loss of pure guessing.
    """
    layers = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    for layer in layers:
        if layer is layers[-1]:
            nn.init.xavier_uniform_(layer.weight, gain=0.1)
        elif activation.rectifier:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
