"""Trials of training steps: what is measured, kept, and left untouched."""

import json

import pytest
import torch

from lab.config import RunConfig
from lab.home import lab_home
from lab.models.catalog import build_network
from lab.training.speed import trials
from lab.training.speed.trials import Workload, gain_of_format


def workload(config: RunConfig, *, steps: int = 1000) -> Workload:
    """Steps on 16x16 grey images."""
    return Workload(
        config=config,
        network=build_network(config, channels=1, image_size=16, classes=3).train(),
        device=torch.device("cpu"),
        memory_format=torch.channels_last,
        channels=1,
        image_size=16,
        steps=steps,
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps take 0.15 s in fp32, 0.05 s in bf16; what was timed, in order."""
    calls: list[str] = []

    def step(network: object, images: object, labels: object, precision: str) -> float:
        calls.append(precision)
        return {"fp32": 0.15, "bf16": 0.05}[precision]

    monkeypatch.setattr(trials, "timed_step", step)
    return calls


def test_what_was_measured_is_kept(tiny: RunConfig, measured: list[str]) -> None:
    work = workload(tiny)
    assert gain_of_format(work, "bf16") == pytest.approx(3.0)
    tried = len(measured)
    assert tried >= 2
    assert gain_of_format(work, "bf16") == pytest.approx(3.0)
    assert len(measured) == tried  # from the file
    (kept,) = json.loads((lab_home() / "measurements.json").read_text()).values()
    assert kept == pytest.approx(3.0)
    for knobs in ({"batch_size": 8}, {"dropout": 0.1}):  # another shape is another measurement
        tried = len(measured)
        gain_of_format(workload(tiny.changed(**knobs)), "bf16")
        assert len(measured) > tried


def test_each_way_is_tried_in_turn(tiny: RunConfig, measured: list[str]) -> None:
    gain_of_format(workload(tiny), "bf16")
    assert measured == ["fp32", "bf16"] * (2 + trials.ROUNDS)


@pytest.mark.parametrize("fp32", [0.001, 0.02, 0.1, 0.35, 0.9, 3.0])
def test_a_trial_takes_two_seconds_at_most(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch, fp32: float
) -> None:
    """Seconds of a step of two images; one in bf16 takes 1.5 times as long."""
    taken: list[tuple[int, float]] = []

    def step(network: object, images: torch.Tensor, labels: object, precision: str) -> float:
        seconds = fp32 * (len(images) / 2) * {"fp32": 1.0, "bf16": 1.5}[precision]
        taken.append((len(images), seconds))
        return seconds

    monkeypatch.setattr(trials, "timed_step", step)
    gain = gain_of_format(workload(tiny), "bf16")
    spent = sum(seconds for _, seconds in taken)
    if fp32 >= 0.6:  # there is only time to find that out
        assert gain is None
        assert len(taken) == 1
        assert not (lab_home() / "measurements.json").exists()  # the next run tries again
    else:
        assert spent <= trials.LONGEST
        assert max(count for count, _ in taken) <= tiny.batch_size
        assert gain is None if fp32 == 0.001 else gain == pytest.approx(1 / 1.5, rel=0.01)


def test_a_busy_moment_does_not_make_a_format_fast(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step in bf16 was lucky; or three in fp32 were not."""
    for exact, short in (
        ([0.06, 0.07, 0.06, 0.05], [0.09, 0.04, 0.08, 0.09]),  # quickest: 1.25; pairs: 0.7
        ([0.04, 0.09, 0.09, 0.08], [0.05, 0.05, 0.05, 0.05]),  # quickest: 0.8; pairs: 1.7
    ):
        steps = iter(
            [0.1, 0.1, 0.001, 0.001, *(s for pair in zip(exact, short, strict=True) for s in pair)]
        )
        monkeypatch.setattr(trials, "timed_step", lambda *given, steps=steps: next(steps))
        work = workload(tiny.changed(batch_size=int(1000 * exact[0])))
        gain = gain_of_format(work, "bf16")
        assert gain is not None
        assert gain < 1


def test_a_short_run_tries_no_format(tiny: RunConfig, measured: list[str]) -> None:
    assert gain_of_format(workload(tiny, steps=trials.FEWEST_STEPS - 1), "bf16") is None
    assert not measured


def test_a_real_trial_touches_nothing(tiny: RunConfig) -> None:
    work = workload(tiny)
    before = {key: tensor.clone() for key, tensor in work.network.state_dict().items()}
    drawn = torch.random.get_rng_state()
    gain = gain_of_format(work, "bf16")
    assert gain is None or gain > 0
    assert work.network.training
    after = work.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(p.grad is None for p in work.network.parameters())
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_a_trial_keeps_freed_memory_as_training_does(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[object] = []

    def step(*_: object) -> float:
        order.append("step")
        return 0.1

    monkeypatch.setattr(trials, "timed_step", step)
    monkeypatch.setattr(trials, "keep_freed_memory", order.append)
    monkeypatch.setattr(trials, "trim_memory", lambda: order.append("back"))
    gain_of_format(workload(tiny), "bf16")
    assert order[0] is True
    assert order[-1] == "back"
    assert set(order[1:-1]) == {"step"}
