"""StagedNet: a network as a sequence of named stages, the last of them the head."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from lab.errors import NotFoundError, unknown_name
from lab.models.dropout import RandomLayer

HEAD = "head"


class StagedNet(nn.Module):
    """images (N, C, H, W) float32 normalised -> logits (N, K), through the stages in turn.

    There is no softmax at the end: cross-entropy brings its own, and a second one flattens the
    gradient. No stage changes its input in place, so the output of a stage never
    changes afterwards.
    """

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not stages or list(stages)[-1] != HEAD:
            raise ValueError(f"the last stage must be called {HEAD!r}; there are {list(stages)}")
        self.stages = nn.Sequential(OrderedDict(stages))
        self.stage_names: tuple[str, ...] = tuple(stages)
        self.frozen: frozenset[str] = frozenset()

    def forward(self, images: Tensor) -> Tensor:
        return self.run(images)

    def run(self, x: Tensor, *, first: str | None = None, last: str | None = None) -> Tensor:
        """Compute stages `first` to `last`, both included; all stages by default.

        Frozen stages are computed once: `features = run(images, last=...)` is stored, and each step
        computes `run(features, first=...)`.
        """
        start = 0 if first is None else self._position(first)
        stop = len(self.stage_names) if last is None else self._position(last) + 1
        for stage in list(self.stages)[start:stop]:
            x = stage(x)
        return x

    def stage(self, name: str) -> nn.Module:
        """The module of one stage; raises NotFoundError with the close names."""
        return self.stages.get_submodule(self.stage_names[self._position(name)])

    def freeze_stages(self, names: Iterable[str]) -> None:
        """Freeze exactly these stages and unfreeze the others.

        Frozen means that the parameters take no gradient and that the stage stays in eval mode even
        after `.train()`: a BatchNorm in train mode would go on moving its statistics, and the
        backbone would drift although no weight of it is trained.
        """
        frozen = frozenset(names)
        for name in frozen:
            self._position(name)
        self.frozen = frozen
        for name in self.stage_names:
            self.stage(name).requires_grad_(name not in frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name in self.frozen:
            self.stage(name).eval()
        return self

    def use_generator(self, generator: torch.Generator) -> None:
        """Let every random layer draw from `generator`, which lives on the network's device."""
        for module in self.modules():
            if isinstance(module, RandomLayer):
                module.generator = generator

    def _position(self, name: str) -> int:
        if name not in self.stage_names:
            raise NotFoundError(unknown_name("stage", name, self.stage_names))
        return self.stage_names.index(name)
