"""Training steps in a shorter number format: chosen by trial, harmless, resumable."""

import statistics
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.training.control import Control
from lab.training.events import EpochDone, Event, RunEnded, StepDone
from lab.training.fit import fit
from lab.training.plan import Plan, make_plan
from lab.training.speed import decisions, precision
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train
from tests.training.test_resume import assert_same_weights


def number_format(plan: Plan) -> str:
    return next(str(d) for d in plan.decisions if d.what == "Number format")


@pytest.mark.parametrize(("gain", "chosen"), [(1.14, "fp32"), (3.0, "bf16"), (None, "fp32")])
def test_auto_takes_bf16_only_where_it_is_clearly_faster(
    tiny: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gain: float | None,
    chosen: str,
) -> None:
    monkeypatch.setattr(decisions, "candidate", lambda device: "bf16")
    monkeypatch.setattr(decisions, "gain_of_format", lambda *a, **k: gain)
    plan = make_plan(tiny, folder=tmp_path)
    assert plan.precision == chosen
    said = number_format(plan)
    assert said.startswith(f"Number format: {chosen} (")
    if gain is not None:
        assert f"takes {1 / gain:.2f} times as long" in said


def test_without_units_nothing_is_tried(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bf16_units", set)
    monkeypatch.setattr(decisions, "gain_of_format", lambda *a, **k: pytest.fail("tried"))
    assert make_plan(tiny, folder=tmp_path).precision == "fp32"
    forced = make_plan(tiny.changed(precision="bf16"), folder=tmp_path)
    assert forced.precision == "bf16"
    assert "as asked" in number_format(forced)


FORMATS = [("bf16", "sign-cnn"), ("fp16", "mlp")]
"""On some processors a convolution in fp16 takes a hundred times as long."""


@pytest.mark.parametrize(("short", "architecture"), FORMATS)
def test_figures_are_within_the_noise_of_fp32(train: Train, short: str, architecture: str) -> None:
    """Loss curves and final accuracy over three seeds: the formats differ by less than seeds do."""
    config = RunConfig(
        dataset=make_tiny_pack(train=180, test=60),
        architecture=architecture,
        batch_size=20,
        epochs=4,
    )
    losses: dict[str, list[float]] = {"fp32": [], short: []}
    accuracies: dict[str, list[float]] = {"fp32": [], short: []}
    for format_ in losses:
        for seed in range(3):
            events = train(config.changed(precision=format_, seed=seed))
            ended = events[-1]
            assert isinstance(ended, RunEnded)
            assert ended.status == "completed"
            accuracies[format_].append(ended.test["accuracy"])
            losses[format_].append(loss_curve(events)[0])
            assert all(e.val["loss"] < 2 for e in events if isinstance(e, EpochDone))
    # The first step sees the same weights and batch: only rounding differs.
    for exact, rounded in zip(losses["fp32"], losses[short], strict=True):
        assert rounded == pytest.approx(exact, rel=5e-3)
    assert losses[short] != losses["fp32"]  # they did run in the other format
    spread = statistics.pstdev(accuracies["fp32"])
    apart = abs(statistics.mean(accuracies["fp32"]) - statistics.mean(accuracies[short]))
    assert apart <= max(0.05, 2 * spread)


@pytest.mark.parametrize(("short", "architecture"), FORMATS)
def test_a_stopped_run_resumes_in_its_format_bit_for_bit(
    tiny: RunConfig, train: Train, tmp_path: Path, short: str, architecture: str
) -> None:
    """fp16 brings the state of its loss scaler along."""
    config = tiny.changed(precision=short, architecture=architecture)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    train(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    # Even when the machine would now decide otherwise.
    train(config.changed(precision="fp32"), parts)
    assert_same_weights(whole, parts)


def test_a_run_killed_before_its_first_state_begins_again_in_its_format(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has recorded steps, and the machine would decide otherwise by now."""
    gains = [3.0, 3.0, 1.0]  # of the whole run, of the killed one, when it is resumed
    monkeypatch.setattr(decisions, "candidate", lambda device: "bf16")
    monkeypatch.setattr(decisions, "gain_of_format", lambda work, precision: gains.pop(0))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = tiny.changed(architecture="mlp", epochs=1)
    expected = train(config, whole)
    parts.mkdir()
    killed = fit(make_plan(config, folder=parts), Control())
    next(event for event in killed if isinstance(event, StepDone))
    killed.close()  # type: ignore[attr-defined]  # nothing more is saved
    resumed = train(config, parts)
    assert "no state of it had been saved" in str(resumed)
    assert_same_weights(whole, parts)
    assert loss_curve(resumed) == loss_curve(expected)


def test_a_run_killed_in_its_trial_has_not_begun_in_any_format(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(work: object, precision: str) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(decisions, "candidate", lambda device: "bf16")
    monkeypatch.setattr(decisions, "gain_of_format", killed)
    with pytest.raises(KeyboardInterrupt):
        make_plan(tiny, folder=tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    monkeypatch.setattr(decisions, "gain_of_format", lambda work, precision: 3.0)
    assert make_plan(tiny, folder=tmp_path).precision == "bf16"


def loss_curve(events: list[Event]) -> list[float]:
    return [event.values["loss"] for event in events if isinstance(event, StepDone)]
