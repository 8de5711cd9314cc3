"""The modern recipe's knobs against torch and timm, and what the loop makes of them."""

import json
import math
from pathlib import Path

import pytest
import timm.optim
import timm.scheduler
import timm.utils
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from lab.config import RunConfig
from lab.data.batches import Batch
from lab.data.mixing import Mix
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.training import checkpoint, counters
from lab.training.averaging import WeightAverage, averaged
from lab.training.events import EpochDone, LogWritten, StepDone
from lab.training.optim import WARM_UP_FROM, learning_rate, parameter_groups
from lab.training.plan import make_plan, resolve
from tests.training.conftest import Train, without_seal
from tests.training.test_resume import assert_same_weights

NETWORKS = ("simple-cnn", "resnet18", "mobilenet_v2", "efficientnet_lite0", "convnext_tiny")


def network_of(architecture: str, **knobs: object) -> StagedNet:
    config = RunConfig(architecture=architecture, image_size=64).changed(**knobs)
    return build_network(config, channels=3, image_size=64, classes=2, device="meta")


@pytest.mark.parametrize("architecture", NETWORKS)
def test_weight_decay_is_on_what_timm_puts_it_on(architecture: str) -> None:
    network = network_of(architecture)
    ours = parameter_groups(RunConfig(weight_decay=0.05), network)
    theirs = timm.optim.param_groups_weight_decay(network, 0.05)
    for decay in (0.0, 0.05):
        mine, expected = (
            {id(p) for group in groups if group["weight_decay"] == decay for p in group["params"]}
            for groups in (ours, theirs)
        )
        assert mine == expected
        assert mine or architecture == "simple-cnn"


def test_layer_decay_scales_stages_as_timm_scales_groups() -> None:
    network = network_of("resnet18")
    config = RunConfig(weight_decay=0.05, layer_decay=0.7, freeze="full")
    network.group_matcher = lambda coarse: {  # what timm asks a network for
        name: rf"^stages\.{name}\." for name in network.stage_names
    }
    theirs = timm.optim.param_groups_layer_decay(network, 0.05, layer_decay=0.7)
    expected = {id(p): (g["lr_scale"], g["weight_decay"]) for g in theirs for p in g["params"]}
    ours = parameter_groups(config, network)
    assert {
        id(p): (pytest.approx(g["lr_scale"]), g["weight_decay"]) for g in ours for p in g["params"]
    } == expected
    assert len({g["lr_scale"] for g in ours}) == len(network.stage_names)
    from_scratch = parameter_groups(config.changed(freeze="scratch"), network)
    assert {g["lr_scale"] for g in from_scratch} == {1.0}


def test_a_run_s_rates_are_scaled(tiny: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(tiny.changed(weight_decay=0.05), folder=tmp_path)
    stepper = plan.stepper()
    stepper.begin_phase()
    for group, scale in zip(stepper.optimizer.param_groups, (1.0, 0.5), strict=True):
        group["lr_scale"] = scale
    for parameter in stepper.trained:
        parameter.grad = torch.zeros_like(parameter)
    stepper.update(0.1)
    assert [group["lr"] for group in stepper.optimizer.param_groups] == [0.1, 0.05]


def test_warm_up_and_cosine_are_timm_s() -> None:
    config = RunConfig(schedule="cosine", warmup_epochs=2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = timm.scheduler.CosineLRScheduler(
        optimizer,
        t_initial=80,
        warmup_t=20,
        warmup_lr_init=0.1 * WARM_UP_FROM,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    for step in range(100):
        ours = learning_rate(config, 0.1, step=step, total=100, steps_per_epoch=10)
        theirs.step_update(step)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
    one_cycle = config.changed(schedule="one_cycle")
    rates = [
        learning_rate(c, 0.1, step=5, total=100, steps_per_epoch=10)
        for c in (one_cycle, one_cycle.changed(warmup_epochs=0))
    ]
    assert rates[0] == rates[1]  # it has a warm-up of its own


def test_the_mixed_and_smoothed_loss_is_torch_s_of_soft_labels(
    tiny: RunConfig, tmp_path: Path
) -> None:
    config = tiny.changed(smoothing=0.1, class_balancing="weighted_loss", dropout=0)
    plan = make_plan(config, folder=tmp_path)
    stepper = plan.stepper()
    source = plan.images()
    batch = next(iter(source.train(1, 0)))
    assert batch is not None
    others = batch.labels.roll(1)
    mixed = Batch(batch.images, batch.labels, batch.indices, Mix(0.3, others))
    stepper.class_weights = torch.tensor([0.5, 1.0, 2.0])
    loss, logits = stepper.forward(source, mixed)
    soft = 0.3 * F.one_hot(batch.labels, 3) + 0.7 * F.one_hot(others, 3)
    expected = F.cross_entropy(
        logits, soft, stepper.class_weights, reduction="sum", label_smoothing=0.1
    )
    assert loss.item() == pytest.approx(expected.item() / len(others), rel=1e-6)


def test_the_average_is_timm_s() -> None:
    network = StagedNet(
        {"body": nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), "head": nn.Linear(4, 2)}
    )
    ours, theirs = (
        WeightAverage(network, decay=0.8),
        timm.utils.ModelEmaV3(network, decay=0.8, use_warmup=True),
    )
    for step in range(1, 30):
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.add_(torch.rand(tensor.shape).to(tensor.dtype))
        ours.update(step)
        theirs.update(network, step=step)
    expected = theirs.module.state_dict()
    assert ours.state.keys() == expected.keys()
    assert all(torch.equal(ours.state[name], tensor) for name, tensor in expected.items())
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with averaged(network, ours):
        assert all(torch.equal(t, expected[name]) for name, t in network.state_dict().items())
    assert all(torch.equal(t, own[name]) for name, t in network.state_dict().items())


def test_frozen_weights_cost_the_average_nothing() -> None:
    network = StagedNet({"body": nn.Linear(3, 3), "head": nn.Linear(3, 2)})
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("head" in name)
    average = WeightAverage(network, decay=0.5)
    for tensor in average.state.values():
        tensor.fill_(7.0)  # whatever is touched moves away from it
    average.update(100)
    touched = {name for name, tensor in average.state.items() if not (tensor == 7.0).all()}
    assert touched == {name for name in average.state if "head" in name}


def test_averaged_weights_are_validated_published_and_tested(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """The training itself is the same as without; what is measured is the average."""
    plain = train(tiny, tmp_path / "plain")
    events = train(tiny.changed(model_ema_decay=0.95), tmp_path / "averaged")
    losses = [[e.values["loss"] for e in run if isinstance(e, StepDone)] for run in (plain, events)]
    assert losses[0] == losses[1]
    figures = [[e.val["loss"] for e in run if isinstance(e, EpochDone)] for run in (plain, events)]
    assert figures[0] != figures[1]
    said = [e.text for e in events if isinstance(e, LogWritten)]
    assert any(text.startswith("Averaged weights: 0.95") for text in said)
    assert any(text.startswith("Testing the averaged weights of epoch") for text in said)
    last, averages = (
        load_file(tmp_path / name / "last.safetensors") for name in ("plain", "averaged")
    )
    assert any(not torch.equal(last[name], averages[name]) for name in last)
    network, _ = checkpoint.load_network(tmp_path / "averaged", "last")
    plan = make_plan(tiny, folder=tmp_path)
    right = sum(
        (network(batch.images).argmax(1) == batch.labels).sum().item()
        for batch in plan.images().in_order(plan.splits.val)
    )
    done = [e for e in events if isinstance(e, EpochDone)]
    assert right / len(plan.splits.val) == pytest.approx(done[-1].val["accuracy"])


def test_a_run_of_an_earlier_version_goes_on_with_decay_on_everything(
    tiny: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.changed(weight_decay=0.05)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with monkeypatch.context() as earlier:
        earlier.setattr(counters.Counters, "__init__", _with_decay_all(counters.Counters.__init__))
        train(config, whole)
        train(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    _forget_decay_all(parts / checkpoint.RESUME)
    events = train(config, parts)
    assert_same_weights(whole, parts)
    said = [e.text for e in events if isinstance(e, LogWritten)]
    assert any(text.startswith("Weight decay: all parameters") for text in said)
    train(config, tmp_path / "new")
    with pytest.raises(AssertionError):
        assert_same_weights(whole, tmp_path / "new")


def _with_decay_all(init):  # type: ignore[no-untyped-def]
    def changed(self, **values):  # type: ignore[no-untyped-def]
        init(self, **{"decay_all": True, **values})

    return changed


def _forget_decay_all(file: Path) -> None:
    """As it was before there was such a counter."""
    with safe_open(file, framework="pt") as saved:
        header = without_seal(saved.metadata())
    values = json.loads(header["counters"])
    assert values.pop("decay_all") is True
    save_file(load_file(file), file, metadata=header | {"counters": json.dumps(values)})


def test_mixed_pictures_keep_no_features_and_say_so() -> None:
    config = RunConfig(freeze="head_only", kept_views=3)
    assert config.keeps_features
    assert config.changed(crop_scale=0.5).keeps_features
    assert not config.changed(mixup=0.2).keeps_features
    assert not config.changed(cutmix=1.0).keeps_features


def test_a_knob_that_does_nothing_changes_nothing() -> None:
    config = RunConfig(rand_magnitude=20)
    assert not config.augments
    assert config.changed(auto_augment="rand").augments
    assert config.in_effect("rand_magnitude") == 9
    assert config.changed(layer_decay=0.5).in_effect("layer_decay") == 1.0


def test_single_pictures_train_where_there_is_no_batch_norm(tiny: RunConfig) -> None:
    assert resolve(tiny.changed(batch_size=1, architecture="mlp")).batch_size == 1
    frozen = tiny.changed(
        batch_size=1, architecture="efficientnet_lite0", image_size=64, freeze="head_only"
    )
    assert resolve(frozen).batch_size == 1  # frozen BatchNorm compares nothing


def test_mixing_counts_the_larger_share(tiny: RunConfig, train: Train) -> None:
    events = train(tiny.changed(cutmix=1.0, mixup=0.5, epochs=1))
    steps = [e for e in events if isinstance(e, StepDone)]
    assert all(math.isfinite(e.values["loss"]) for e in steps)
    assert any("larger share" in e.text for e in events if isinstance(e, LogWritten))
