"""What a run will do is settled, and refused, before its first step."""

from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError, DataError
from lab.progress import Cancelled
from lab.training.plan import make_plan, resolve, resolve_device


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
    decisions = {d.what: str(d) for d in make_plan(config, folder=tmp_path).decisions}
    assert "(10% of each class's training images, by seed)" in decisions["Validation"]
    assert "validation and test loss stay unweighted" in decisions["Class balancing"]
    assert decisions["Compiling"].startswith("Compiling: no (torch.compile works for up to half")
