"""Frozen stays frozen, BatchNorm included; every strategy trains what it says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lab.config import RunConfig
from lab.errors import ConfigError, NotFoundError
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network, check_network
from lab.models.freezing import (
    Phase,
    apply_freeze,
    count_parameters,
    phases,
    stage_states,
    trainable_stages,
)
from lab.models.staged import StagedNet
from tests.models.test_architectures import build, images


def config(**knobs: object) -> RunConfig:
    return RunConfig(architecture="mobilenet_v2").changed(**knobs)


STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "last_conv", "head")


@pytest.mark.parametrize(
    ("knobs", "phase", "trained"),
    [
        ({"freeze": "scratch"}, 1, STAGES),
        ({"freeze": "full"}, 1, STAGES),
        ({"freeze": "head_only"}, 1, ("head",)),
        ({"freeze": "last_k", "last_k": 2}, 1, ("stage4", "last_conv", "head")),
        ({"freeze": "last_k", "last_k": 6}, 1, STAGES),
        ({"freeze": "two_phase", "last_k": 1}, 1, ("head",)),
        ({"freeze": "two_phase", "last_k": 1}, 2, ("last_conv", "head")),
    ],
)
def test_each_strategy_trains_what_it_says(
    knobs: dict[str, object], phase: int, trained: tuple[str, ...]
) -> None:
    chosen = config(**knobs)
    net = build("mobilenet_v2", device="meta")
    apply_freeze(net, chosen, phase=phase)
    states = stage_states(net, chosen, phase=phase)
    assert tuple(state.name for state in states) == STAGES
    assert tuple(state.name for state in states if state.trainable) == trained
    assert sum(state.parameters for state in states) == count_parameters(net)
    assert sum(state.parameters for state in states if state.trainable) == count_parameters(
        net, trainable_only=True
    )
    assert net.frozen == set(STAGES) - set(trained)


def test_a_phase_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no phase 2"):
        trainable_stages(STAGES, config(freeze="full"), phase=2)


def test_frozen_stages_do_not_move() -> None:
    """Not by the optimizer and not by BatchNorm, also after .train()."""
    net = build("mobilenet_v2", size=32)
    chosen = config(freeze="last_k", last_k=1)
    apply_freeze(net, chosen)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        net.eval()
        net.train()
        F.cross_entropy(net(images(4, 3, 32, seed=step)), torch.arange(4) % 2).backward()
        optimizer.step()
    moved = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert {name.split(".")[1] for name in moved} == {"last_conv", "head"}
    assert all(p.grad is None for s in net.frozen for p in net.stage(s).parameters())
    assert not any(m.training for s in net.frozen for m in net.stage(s).modules())
    assert all(m.training for m in net.stage("last_conv").modules())


def test_unfreezing_puts_everything_back() -> None:
    net = build("mobilenet_v2", size=32)
    apply_freeze(net, config(freeze="two_phase"), phase=1)
    apply_freeze(net, config(freeze="full"))
    assert all(m.training for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    net.eval()
    apply_freeze(net, config(freeze="head_only"))
    assert not any(m.training for m in net.modules()), "freezing must not leave eval mode"


def test_frozen_part_can_be_run_once() -> None:
    """The stored maps of the frozen stages give the same logits: so they need not be run again."""
    net = build("mobilenet_v2", size=32)
    apply_freeze(net, config(freeze="last_k", last_k=1))
    net.eval()
    x = images(3, 3, 32)
    features = net.run(x, last="stage4")
    assert not features.requires_grad
    assert torch.equal(net.run(features, first="last_conv"), net(x))


def test_stage_names_are_checked() -> None:
    net = build("mobilenet_v2", device="meta")
    with pytest.raises(NotFoundError, match="Did you mean"):
        net.freeze_stages(["stage11"])
    with pytest.raises(NotFoundError):
        net.run(torch.empty(1, 3, 32, 32, device="meta"), last="nowhere")
    with pytest.raises(ValueError, match="last stage must be called 'head'"):
        StagedNet({"body": torch.nn.Identity()})


def test_phases_cover_all_epochs() -> None:
    one = phases(config(freeze="full", epochs=7, learning_rate=0.01))
    assert one == [Phase(1, "all stages", 1, 7, 0.01)]
    two = phases(
        config(
            freeze="two_phase",
            epochs=7,
            head_epochs=3,
            last_k=2,
            learning_rate=0.01,
            second_phase_factor=0.1,
        )
    )
    assert two == [
        Phase(1, "head", 1, 3, 0.01),
        Phase(2, "last 2 stages + head", 4, 7, pytest.approx(0.001)),  # type: ignore[arg-type]
    ]
    assert phases(config(freeze="head_only"))[0].name == "head"
    assert phases(config(freeze="last_k"))[0].name == "last 1 stage + head"


BAD: list[tuple[dict[str, object], int, list[str]]] = [
    ({"freeze": "last_k", "last_k": 7}, 64, ["last_k is 7", "at most 6", "freeze=full"]),
    ({"freeze": "two_phase", "last_k": 9}, 64, ["last_k is 9", "at most 6"]),
    ({"freeze": "two_phase", "head_epochs": 10}, 64, ["head_epochs is 10 of 10", "head_only"]),
    (
        {"freeze": "full", "activation": "tanh"},
        64,
        ["activation is 'tanh'", "'relu6'", "activation=auto", "freeze=scratch"],
    ),
    (
        {"freeze": "full", "architecture": "simple-cnn"},
        64,
        ["simple-cnn has no pretrained weights", "freeze=scratch", "alexnet", "mobilenet_v2"],
    ),
    ({"architecture": "alexnet"}, 62, ["alexnet", "62", "63"]),
    ({"architecture": "lenet5"}, 8, ["lenet5", "8 pixels", "at least 12", "image_size to 12"]),
    ({"architecture": "mlp", "head": "dense"}, 64, ["head is 'dense'", "mlp", "head=linear"]),
]


@pytest.mark.parametrize(("knobs", "size", "words"), BAD)
def test_what_does_not_fit_is_refused(
    knobs: dict[str, object], size: int, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_network(config(**knobs), image_size=size, channels=3)
    for word in words:
        assert word in str(refused.value)


def test_the_largest_last_k_depends_on_the_head() -> None:
    vgg = RunConfig(architecture="vgg16", freeze="last_k", last_k=6)
    check_network(vgg, image_size=64, channels=3)
    with pytest.raises(ConfigError, match="at most 5"):
        check_network(vgg.changed(head="dense"), image_size=64, channels=3)


def test_what_fits_is_let_through() -> None:
    for spec in ARCHITECTURES:
        for freeze in ("scratch", "full", "last_k", "head_only", "two_phase"):
            if spec.weights or freeze == "scratch":
                chosen = RunConfig(architecture=spec.name, freeze=freeze, last_k=3)
                check_network(chosen, image_size=64, channels=1)
    native = RunConfig(architecture="resnet18", freeze="full", activation="relu")
    check_network(native, image_size=64, channels=3)


def test_odd_channels_and_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 channels; allowed are 1"):
        check_network(RunConfig(), image_size=64, channels=4)
    with pytest.raises(NotFoundError, match="Did you mean 'resnet18'"):
        build_network(RunConfig(architecture="resnt18"), channels=3, image_size=64, classes=2)
