"""The freeze strategies: which stages are trained, and when.

strategy     phase 1                      phase 2
scratch      all, from random weights     -
full         all                          -
last_k       the last k stages + head     -
head_only    head                         -
two_phase    head, for head_epochs        the last k stages + head, at a smaller rate
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.models.staged import HEAD, StagedNet


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs, from 1, both ends included, in which the same stages are trained."""

    number: int
    name: str
    first_epoch: int
    last_epoch: int
    learning_rate: float


@dataclass(frozen=True)
class StageState:
    """One stage of a network and whether it is trained."""

    name: str
    parameters: int
    trainable: bool


def phases(config: RunConfig) -> list[Phase]:
    """The phases in order, covering every epoch once. ConfigError when the first takes them all."""
    check_phases(config)
    last = f"last {config.last_k} {'stage' if config.last_k == 1 else 'stages'} + head"
    if config.freeze == "two_phase":
        return [
            Phase(1, "head", 1, config.head_epochs, config.learning_rate),
            Phase(
                2,
                last,
                config.head_epochs + 1,
                config.epochs,
                config.learning_rate * config.second_phase_factor,
            ),
        ]
    names = {"head_only": "head", "last_k": last}
    name = names.get(config.freeze, "all stages")
    return [Phase(1, name, 1, config.epochs, config.learning_rate)]


def trainable_stages(
    stage_names: Sequence[str], config: RunConfig, *, phase: int = 1
) -> tuple[str, ...]:
    """The names of the stages that are trained in that phase, in order."""
    if phase not in (1, 2) or (phase == 2 and config.freeze != "two_phase"):
        raise ValueError(f"freeze={config.freeze} has no phase {phase}")
    if config.freeze in ("scratch", "full"):
        return tuple(stage_names)
    if config.freeze == "head_only" or (config.freeze == "two_phase" and phase == 1):
        return (HEAD,)
    return tuple(stage_names[-1 - config.last_k :])


def stage_states(net: StagedNet, config: RunConfig, *, phase: int = 1) -> list[StageState]:
    """Each stage of `net`, in order, and whether it is trained; `net` is not changed.

    A network on the meta device is enough.
    """
    trained = trainable_stages(net.stage_names, config, phase=phase)
    return [
        StageState(name, count_parameters(net.stage(name)), name in trained)
        for name in net.stage_names
    ]


def apply_freeze(net: StagedNet, config: RunConfig, *, phase: int = 1) -> None:
    """Freeze the stages that are not trained in that phase and unfreeze the others.

    The optimizer must be made (or given its parameters) anew after a change of phase.
    """
    trained = trainable_stages(net.stage_names, config, phase=phase)
    net.freeze_stages(name for name in net.stage_names if name not in trained)


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def check_phases(config: RunConfig) -> None:
    """Raise ConfigError when the first of two phases takes all the epochs."""
    if config.freeze == "two_phase" and config.head_epochs >= config.epochs:
        raise ConfigError(
            f"head_epochs is {config.head_epochs} of {config.epochs} epochs, which leaves none for "
            f"the second phase. Set head_epochs below epochs, or choose freeze=head_only."
        )


def check_stage_count(net: StagedNet, config: RunConfig) -> None:
    """Raise ConfigError when more stages are to be trained than `net` has before its head."""
    most = len(net.stage_names) - 1
    if config.freeze in ("last_k", "two_phase") and config.last_k > most:
        raise ConfigError(
            f"last_k is {config.last_k}; {config.architecture} has {most} stages before its head "
            f"({', '.join(net.stage_names[:-1])}), so at most {most} is allowed. "
            "freeze=full trains them all."
        )
