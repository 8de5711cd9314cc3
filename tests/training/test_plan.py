"""What a run will do is settled, and refused, before its first step."""

from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError, DataError
from lab.progress import Cancelled
from lab.training.plan import make_plan, resolve, resolve_device
from lab.training.speed import decisions


def test_resolve_settles_the_image_size(tiny: RunConfig) -> None:
    assert resolve(tiny).image_size == 16
    assert resolve(tiny.changed(image_size=32)).image_size == 32


def test_another_image_size_is_what_the_network_gets(tiny: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(tiny.changed(image_size=24), folder=tmp_path)
    assert plan.pack.images.shape[1:] == (24, 24, 1)
    assert plan.preprocess.image_size == 24


@pytest.mark.parametrize(
    ("knobs", "kind", "said"),
    [
        ({"dataset": "cats-dogs"}, DataError, "not added"),
        ({"reduced_class": "left"}, ConfigError, "top, middle, bottom"),
        ({"nesterov": True}, ConfigError, "works with sgd"),
        ({"freeze": "head_only"}, ConfigError, "no pretrained weights"),
        ({"architecture": "alexnet"}, ConfigError, "image_size"),
        (
            {"architecture": "resnet18", "image_size": 64, "freeze": "full", "activation": "tanh"},
            ConfigError,
            "activation",
        ),
        (
            {"architecture": "resnet18", "image_size": 64, "freeze": "last_k", "last_k": 9},
            ConfigError,
            "last_k is 9",
        ),
        (
            {
                "architecture": "resnet18",
                "image_size": 64,
                "freeze": "two_phase",
                "epochs": 2,
                "head_epochs": 2,
            },
            ConfigError,
            "head_epochs",
        ),
    ],
)
def test_knobs_that_do_not_fit_are_refused_at_the_door(
    tiny: RunConfig, knobs: dict[str, object], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        resolve(tiny.changed(**knobs))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(tiny: RunConfig) -> None:
    with pytest.raises(ConfigError, match="it has: cpu"):
        resolve_device(tiny.changed(device="cuda"))


def test_preparation_can_be_cancelled(tiny: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        make_plan(tiny, folder=tmp_path, cancel=lambda: True)


def test_decisions_say_what_and_why(tiny: RunConfig, tmp_path: Path) -> None:
    config = tiny.changed(class_balancing="weighted_loss")
    said = {d.what: str(d) for d in make_plan(config, folder=tmp_path).decisions}
    assert "(10% of each class's training images, by seed)" in said["Validation"]
    assert "validation and test loss stay unweighted" in said["Class balancing"]
    assert said["Compiling"].startswith("Compiling: no (torch.compile works for seconds to")


@pytest.mark.parametrize(
    ("step_seconds", "gain", "compiled", "said"),
    [
        (0.3, 2.0, False, "only runs of over 30 minutes and 200 steps try it"),
        (5.0, 2.0, True, "takes 0.50 times as long, measured here; full batches only"),
        (5.0, 1.04, False, "takes 0.96 times as long, measured here: no gain to wait for"),
        (5.0, None, False, "torch.compile failed on this network when it was tried"),
    ],
    ids=["short run", "faster", "hardly faster", "not possible"],
)
def test_long_runs_are_compiled_where_a_trial_says_so(
    tiny: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step_seconds: float,
    gain: float | None,
    compiled: bool,
    said: str,
) -> None:
    monkeypatch.setattr(decisions, "what_is_missing", lambda device: "")
    monkeypatch.setattr(decisions, "seconds_of_step", lambda *given: step_seconds)
    monkeypatch.setattr(decisions, "gain_of_compiling", lambda *given: gain)
    plan = make_plan(tiny.changed(epochs=200), folder=tmp_path)
    assert plan.compiled is compiled
    decision = next(str(d) for d in plan.decisions if d.what == "Compiling")
    assert decision.startswith(f"Compiling: {'yes' if compiled else 'no'} (")
    assert said in decision
    assert make_plan(tiny.changed(compile_steps="off"), folder=tmp_path).compiled is False


def test_a_short_run_does_not_even_time_a_step_to_decide_about_compiling(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "seconds_of_step", lambda *given: pytest.fail("timed"))
    assert make_plan(tiny, folder=tmp_path).compiled is False


def test_without_a_compiler_a_long_run_says_so(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(decisions, "seconds_of_step", lambda *given: 5.0)
    plan = make_plan(tiny.changed(epochs=200, device="cpu"), folder=tmp_path)
    assert "needs a C++ compiler (no-such-compiler)" in " ".join(map(str, plan.decisions))


def test_a_stop_during_the_trial_of_compiling_is_heeded(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []

    def trial(*given: object) -> float:
        stopped.append(True)
        return 2.0

    monkeypatch.setattr(decisions, "what_is_missing", lambda device: "")
    monkeypatch.setattr(decisions, "seconds_of_step", lambda *given: 5.0)
    monkeypatch.setattr(decisions, "gain_of_compiling", trial)
    with pytest.raises(Cancelled):
        make_plan(tiny.changed(epochs=200), folder=tmp_path, cancel=lambda: bool(stopped))
    assert stopped
