"""What a run will do is settled, and refused, before its first step."""

from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError, DataError
from lab.progress import Cancelled
from lab.training import devices
from lab.training.devices import resolve_device
from lab.training.plan import make_plan, resolve
from lab.training.speed.compiling import what_is_missing


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
        ({"warmup_epochs": 3}, ConfigError, "warmup_epochs is 3, and the run has 3 epochs"),
        (
            {"batch_size": 1, "architecture": "resnet18", "image_size": 64},
            ConfigError,
            "batch_size",
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
    assert "Compiling" not in said


@pytest.mark.skipif(bool(what_is_missing("cpu")), reason="torch.compile needs a C++ compiler")
def test_a_plan_says_that_steps_are_compiled(tiny: RunConfig, tmp_path: Path) -> None:
    decisions = make_plan(tiny.changed(compile_steps="on"), folder=tmp_path).decisions
    (said,) = (str(d) for d in decisions if d.what == "Compiling")
    assert said.startswith("Compiling: yes (as asked; full batches only, and the first of a phase")


def test_without_a_compiler_the_run_is_refused_at_the_door(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert what_is_missing("cpu") == "a C++ compiler (no-such-compiler)"
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler .*, or switch Compile off"):
        resolve(tiny.changed(compile_steps="on", device="cpu"))
    resolve(tiny.changed(device="cpu"))


def test_what_only_the_machine_that_trains_knows_is_asked_there(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cluster's machines the server knows the devices alone."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    asked: list[str] = []
    monkeypatch.setattr("lab.training.plan.check_weights", lambda spec: asked.append(spec.name))
    compiled = tiny.changed(compile_steps="on", device="cpu")
    pretrained = tiny.changed(architecture="resnet18", freeze="head_only", device="cpu")
    there = {"cuda": 0, "mps": 0, "cpu": 1}
    try:
        devices.train_on(lambda: there, elsewhere=True)
        resolve(compiled)
        resolve(pretrained)
        assert asked == []
        devices.train_on(lambda: there)  # as the machine that trains says
        with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
            make_plan(compiled, folder=tmp_path)
        resolve(pretrained)
        assert asked == ["resnet18"]
    finally:
        devices.train_on(devices.devices_here)
