"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from lab.config import RunConfig
from lab.models.staged import StagedNet


def parameter_groups(
    config: RunConfig, network: StagedNet, *, decay_all: bool = False
) -> list[dict[str, Any]]:
    """Returns the trained parameters of `network` in groups of one weight decay and one "lr_scale",
    by which the rate of a step is multiplied for the group.

    Weight decay is not for parameters of one dimension, biases and norm layers, as in timm's
    `param_groups_weight_decay`; with `decay_all` it is for all of them, as in runs that an earlier
    version of the lab began. With layer decay d, a stage that is n stages before the head has the
    scale d ** n, as in timm's `param_groups_layer_decay`.
    """
    factor: float = config.in_effect("layer_decay")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for behind, name in zip(
        range(len(network.stage_names))[::-1], network.stage_names, strict=True
    ):
        for path, parameter in network.stage(name).named_parameters():
            if not parameter.requires_grad:
                continue
            exempt = parameter.ndim <= 1 or path.endswith("bias")
            decay = 0.0 if exempt and not decay_all else config.weight_decay
            groups.setdefault((factor**behind, decay), []).append(parameter)
    return [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def make_optimizer(
    config: RunConfig, groups: list[dict[str, Any]], *, device: torch.device
) -> torch.optim.Optimizer:
    """The configured optimizer over `parameter_groups`; the caller sets their rates before every
    step."""
    rate = config.learning_rate
    # One fused kernel a step instead of a handful for each tensor; not offered on Apple's devices.
    fused = device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    if config.optimizer == "sgd":
        momentum, nesterov = config.momentum, config.nesterov
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=fused)
    return torch.optim.RMSprop(groups, lr=rate, momentum=config.momentum)


WARM_UP_FROM = 0.01
"""The share of its rate with which a warm-up begins."""


def learning_rate(
    config: RunConfig, base: float, *, step: int, total: int, steps_per_epoch: int, drops: int = 0
) -> float:
    """The rate of one step: a pure function, so that a resumed run needs no scheduler state.

    `step` counts from 0 within the current phase of `total` steps; `base` is the phase's rate;
    `drops` is used by on_plateau only. A warm-up is linear, and the schedule begins behind it (as
    timm's with `warmup_prefix`). `one_cycle` is PyTorch's OneCycleLR at its defaults for the rate:
    a half cosine up from base/25 in 30 % of the steps, and one down to base/250,000. L. N. Smith
    (arXiv 1803.09820) ran straight up and down; the cosine is fastai's. Unlike PyTorch's default,
    momentum is not cycled.
    """
    warm_up = config.in_effect("warmup_epochs") * steps_per_epoch
    if step < warm_up:
        return float(base * (WARM_UP_FROM + (1 - WARM_UP_FROM) * step / warm_up))
    step, total = step - warm_up, total - warm_up
    if config.schedule == "step":
        return base * config.schedule_factor ** (step // steps_per_epoch // config.schedule_epochs)
    if config.schedule == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * step / total))
    if config.schedule == "one_cycle":
        up = max(1.0, 0.3 * total - 1)
        if step <= up:
            return _cosine(base / 25, base, step / up)
        return _cosine(base, base / 250_000, (step - up) / max(1.0, total - 1 - up))
    if config.schedule == "on_plateau":
        return float(base * config.schedule_factor**drops)
    return base


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, part))) / 2
