"""Schedules are pure functions of the step; optimizers are what they are called."""

import math

import pytest
import torch

from lab.config import RunConfig
from lab.training.counters import Counters
from lab.training.optim import learning_rate, make_optimizer


def rates(schedule: str, total: int = 100, **knobs: object) -> list[float]:
    config = RunConfig.from_mapping({"schedule": schedule, **knobs})
    return [
        learning_rate(config, 0.1, step=step, total=total, steps_per_epoch=10)
        for step in range(total)
    ]


def test_constant() -> None:
    assert set(rates("constant")) == {0.1}


def test_step_drops_every_few_epochs() -> None:
    values = rates("step", schedule_epochs=3, schedule_factor=0.5)
    assert values[29] == 0.1
    assert values[30] == pytest.approx(0.05)
    assert values[99] == pytest.approx(0.1 * 0.5**3)


def test_cosine_starts_full_passes_half_and_nears_zero() -> None:
    values = rates("cosine")
    assert values[0] == 0.1
    assert values[50] == pytest.approx(0.05)
    assert values[99] < 0.001
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("total", [10, 100, 333])
def test_one_cycle_is_pytorch_s(total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=total, cycle_momentum=False
    )
    for ours in rates("one_cycle", total=total):
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        if theirs.last_epoch + 1 < total:
            theirs.step()


def test_one_cycle_of_a_single_step_is_finite() -> None:
    assert math.isfinite(rates("one_cycle", total=1)[0])


def test_plateau_drops_after_patience_and_counts_anew() -> None:
    counters = Counters()
    said = [counters.plateau(loss, 2) for loss in (1.0, 0.5, 0.6, 0.5, 0.7, 0.7, 0.1)]
    assert said == [False, False, False, True, False, True, False]
    assert counters.plateau_drops == 2
    config = RunConfig(schedule="on_plateau", schedule_factor=0.5)
    rate = learning_rate(
        config, 0.1, step=5, total=10, steps_per_epoch=1, drops=counters.plateau_drops
    )
    assert rate == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimizers_lower_a_quadratic(name: str, kind: type) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    config = RunConfig.from_mapping(
        {"optimizer": name, "learning_rate": 0.05, "nesterov": name == "sgd"}
    )
    groups = [{"params": [weight]}]
    optimizer = make_optimizer(config, groups, device=torch.device("cpu"))
    assert type(optimizer) is kind
    for _ in range(200):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert weight.abs().max() < 0.5
