"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from lab.config import RunConfig


def make_optimizer(
    config: RunConfig, parameters: Iterable[nn.Parameter], *, device: torch.device
) -> torch.optim.Optimizer:
    """The configured optimizer over `parameters`; the caller sets its rate before every step."""
    trainable = list(parameters)
    rate, decay = config.learning_rate, config.weight_decay
    # One fused kernel a step instead of a handful for each tensor; not offered on Apple's devices.
    fused = device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(trainable, lr=rate, weight_decay=decay, fused=fused)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(trainable, lr=rate, weight_decay=decay, fused=fused)
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            trainable,
            lr=rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=decay,
            fused=fused,
        )
    return torch.optim.RMSprop(trainable, lr=rate, momentum=config.momentum, weight_decay=decay)


def learning_rate(
    config: RunConfig, base: float, *, step: int, total: int, steps_per_epoch: int, drops: int = 0
) -> float:
    """The rate of one step: a pure function, so that a resumed run needs no scheduler state.

    `step` counts from 0 within the current phase of `total` steps; `base` is the phase's rate;
    `drops` is used by on_plateau only. `one_cycle` is the two-part cosine of Smith & Topin (2018)
    with PyTorch's defaults: 30 % of the steps up from base/25, then down to base/250,000.
    """
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
