"""Every registered architecture keeps the promises of its facts."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import KNOBS, RunConfig
from lab.models.activations import ACTIVATIONS
from lab.models.architecture import ARCHITECTURES, architecture, used_knobs
from lab.models.catalog import build_network, input_channels
from lab.models.freezing import count_parameters
from lab.models.staged import HEAD, StagedNet
from lab.models.tokens import TokenStage, maps_of, with_maps
from tests.models.torchvision_states import (
    build_pretrained,
    last_layer,
    random_state,
    reference,
)

NAMES = ARCHITECTURES.names()
TORCHVISION = tuple(s.name for s in ARCHITECTURES if s.family == "torchvision")
FROM_LIBRARIES = tuple(s.name for s in ARCHITECTURES if s.family in ("torchvision", "timm"))
HEAVY = {"vgg16", "vgg16-plain", "alexnet", "resnet50", "resnet101", "densenet121", "convnext_tiny"}
HEAVY |= {"resnet50_a1", "swin_tiny", "vit_small", "dinov2_small"}
LIGHT = tuple(name for name in NAMES if name not in HEAVY)


def build(
    name: str, *, channels: int = 3, size: int | None = None, classes: int = 2, **knobs: object
) -> StagedNet:
    spec = ARCHITECTURES.get(name)
    device = str(knobs.pop("device", "cpu"))
    return build_network(
        RunConfig(architecture=name).changed(**knobs),
        channels=channels,
        image_size=size or max(spec.min_image_size, 16),
        classes=classes,
        device=device,
    )


def images(count: int, channels: int, size: int, *, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def train_once(net: StagedNet, x: Tensor, classes: int) -> Tensor:
    """Logits (N, K) of a training step's forward pass; every trained parameter got a gradient."""
    logits = net(x)
    assert logits.shape == (len(x), classes)
    assert torch.isfinite(logits).all()
    F.cross_entropy(logits, torch.arange(len(x)) % classes).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, f"{name} got no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name}'s gradient is not finite"
    return logits


def test_the_names_that_everything_else_uses() -> None:
    assert NAMES == (
        "single-layer-perceptron",
        "mlp",
        "deep-mlp",
        "sign-mlp",
        "simple-cnn",
        "sign-cnn",
        "lenet5",
        "vgg16-plain",
        "alexnet",
        "vgg16",
        "googlenet",
        "resnet18",
        "resnet50",
        "resnet101",
        "densenet121",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "squeezenet1_1",
        "efficientnet_b0",
        "convnext_tiny",
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
        "mobilenetv4_small",
        "efficientnetv2_b0",
        "regnety_400mf",
        "repvgg_a0",
        "resnet18d",
        "resnet50_a1",
        "convnext_atto",
        "edgenext_xx_small",
        "swin_tiny",
        "vit_tiny",
        "vit_small",
        "dinov2_small",
    )


def test_the_order_does_not_depend_on_what_is_imported_first() -> None:
    code = """
import importlib, os, sys
import timm  # and torch, once for all
for first in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(first)
        from lab.models.architecture import ARCHITECTURES
        print(*ARCHITECTURES.names(), flush=True)
        os._exit(0)
    os.wait()
"""
    first = ("lab.ui.train.form", "lab.evaluate.extractors", "lab.explain.grad_cam", "lab.cli.main")
    command = [sys.executable, "-c", code, *first]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [tuple(line.split()) for line in lines] == [NAMES] * len(first)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_there(name: str) -> None:
    spec = ARCHITECTURES.get(name)
    assert spec.title
    assert spec.story.endswith(".")
    assert "\n" not in spec.story
    assert 1950 < spec.year < 2030
    assert spec.native_activation in ACTIVATIONS
    assert set(spec.knobs) <= {knob.name for knob in KNOBS.values() if knob.by_architecture}
    assert (spec.weights is not None) is (spec.family in ("torchvision", "timm"))
    assert (spec.default_cam_stage is None) is (spec.family == "perceptron")


def test_every_knob_of_architectures_belongs_to_one() -> None:
    named = {name for spec in ARCHITECTURES for name in spec.knobs}
    assert named == {knob.name for knob in KNOBS.values() if knob.by_architecture}


@pytest.mark.parametrize(
    ("values", "used", "idle"),
    [
        ({"architecture": "mlp"}, {"hidden_sizes", "epochs"}, {"depth", "head", "head_units"}),
        ({"architecture": "deep-mlp"}, {"depth"}, {"hidden_sizes"}),
        ({"architecture": "resnet18"}, {"head"}, {"depth", "head_units", "last_k"}),
        ({"architecture": "resnet18", "head": "dense"}, {"head", "head_units"}, {"kept_views"}),
        ({"architecture": "simple-cnn", "head": "dense"}, set(), {"head", "head_units"}),
        ({"freeze": "head_only"}, {"kept_views", "frozen_features"}, {"last_k"}),
        ({"freeze": "head_only", "frozen_features": "off"}, {"frozen_features"}, {"kept_views"}),
    ],
)
def test_which_knobs_do_something(
    values: dict[str, object], used: set[str], idle: set[str]
) -> None:
    knobs = set(used_knobs(RunConfig().changed(**values).model_dump()))
    assert used <= knobs
    assert not idle & knobs


def test_a_knob_without_a_value_may_have_any() -> None:
    assert set(used_knobs({})) == set(KNOBS)
    values = RunConfig().model_dump(exclude={"architecture"})
    assert {"depth", "hidden_sizes", "head"} <= set(used_knobs(values))
    assert "head_units" not in used_knobs(values)


@pytest.mark.parametrize("name", NAMES)
def test_smallest_image_in_train_mode(name: str) -> None:
    """The smallest side is true: forward and backward go through with a batch of two."""
    spec = ARCHITECTURES.get(name)
    size = spec.min_image_size
    net = build(name, size=size)
    assert net.training
    logits = train_once(net, images(2, 3, size), 2)
    assert logits.requires_grad


SHRINKING = {"simple-cnn", "sign-cnn", "lenet5", "vgg16-plain", "alexnet", "vgg16", "googlenet"}
SHRINKING |= {"densenet121", "squeezenet1_1", "convnext_tiny"}


@pytest.mark.parametrize("name", [n for n in NAMES if n in SHRINKING])
def test_smaller_images_do_not_go_through(name: str) -> None:
    """The smallest side is not larger than it must be: one pixel less, and nothing is left."""
    spec = ARCHITECTURES.get(name)
    too_small = spec.min_image_size - 1
    net = build(name, device="meta").eval()
    if spec.family == "torchvision":
        with pytest.raises(RuntimeError):
            net(torch.empty(2, 3, too_small, too_small, device="meta"))
    else:
        # Their dense layers fit one size only; what is left of the maps must be empty.
        stage = spec.default_cam_stage
        try:
            maps = net.run(torch.empty(2, 3, too_small, too_small, device="meta"), last=stage)
        except RuntimeError:
            return
        assert maps.numel() == 0


@pytest.mark.parametrize("name", LIGHT)
def test_grey_images_and_many_classes(name: str) -> None:
    size = max(28, ARCHITECTURES.get(name).min_image_size)
    net = build(name, channels=1, size=size, classes=24)
    train_once(net, images(3, 1, size), 24)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "classes"), [(1, 24), (3, 2)])
def test_shapes_and_stages_without_memory(name: str, channels: int, classes: int) -> None:
    """On the meta device: logits, stages that cover every parameter once, maps for Grad-CAM."""
    spec = ARCHITECTURES.get(name)
    net = build(name, channels=channels, size=96, classes=classes, device="meta")
    net.eval()
    x = torch.empty(2, channels, 96, 96, device="meta")
    assert net(x).shape == (2, classes)
    assert net.stage_names[-1] == HEAD
    in_stages = [id(p) for stage in net.stage_names for p in net.stage(stage).parameters()]
    assert len(in_stages) == len(set(in_stages))
    assert set(in_stages) == {id(p) for p in net.parameters()}
    assert all(count_parameters(net.stage(stage)) for stage in net.stage_names)
    assert {name for name, _ in net.named_buffers()} <= net.state_dict().keys()
    if spec.default_cam_stage is not None:
        stage = net.stage(spec.default_cam_stage)
        output = net.run(x, last=spec.default_cam_stage)
        maps = maps_of(stage, output)
        assert maps.ndim == 4
        assert with_maps(stage, output, maps).shape == output.shape
        after = net.stage_names[net.stage_names.index(spec.default_cam_stage) + 1]
        assert net.run(output, first=after).shape == (2, classes)
        # It is the last with maps; of a class token the last but one, see `plan_of`.
        rest = net.run(output, first=after, last=after)
        assert math.prod(rest.shape[2:]) == 1 or isinstance(stage, TokenStage)


@pytest.mark.parametrize(
    "name", ["simple-cnn", "googlenet", "mobilenet_v3_small", "densenet121", "efficientnet_lite0"]
)
def test_no_stage_changes_what_it_was_given(name: str) -> None:
    """Feature maps of a stage stay what they were, although torchvision works in place."""
    net = build(name, size=64)
    outputs: list[tuple[Tensor, int]] = []
    x = images(2, 3, 64)
    handles = [
        net.stage(stage).register_forward_hook(
            lambda _module, _inputs, output: outputs.append((output, output._version))
        )
        for stage in net.stage_names
    ]
    net(x)
    for handle in handles:
        handle.remove()
    assert x._version == 0
    assert len(outputs) == len(net.stage_names)
    assert all(output._version == version for output, version in outputs)


@pytest.mark.parametrize("name", TORCHVISION)
def test_computes_exactly_what_torchvision_computes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torchvision's weights under torchvision's names, loaded as pretrained ones are."""
    reference_net = reference(name)
    state = random_state(reference_net)
    config = RunConfig(architecture=name, freeze="full")
    net = build_pretrained(monkeypatch, config, state, classes=1000).eval()
    final = last_layer(net)
    last_names = [key for key, value in state.items() if value.shape == final.weight.shape]
    key = last_names[-1].removesuffix(".weight")
    assert not torch.equal(final.weight, state[f"{key}.weight"]), "the classifier must be fresh"
    with torch.no_grad():
        final.weight.copy_(state[f"{key}.weight"])
        final.bias.copy_(state[f"{key}.bias"])  # type: ignore[union-attr]
        x = images(2, 3, 64)
        expected = torch.func.functional_call(reference_net, state, (x,))
        logits = net(x)
    assert expected.std() > 0
    assert torch.equal(logits, expected)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_lite0"]
)
def test_grey_is_colour_repeated(name: str) -> None:
    grey, colour = build(name, channels=1, size=48).eval(), build(name, size=48).eval()
    x = images(2, 1, 48)
    with torch.no_grad():
        assert torch.allclose(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_pretrained_networks_take_colour() -> None:
    assert input_channels(RunConfig(freeze="scratch"), 1) == 1
    assert input_channels(RunConfig(freeze="scratch"), 3) == 3
    assert input_channels(RunConfig(freeze="head_only"), 1) == 3
    config = RunConfig(architecture="resnet18", freeze="full")
    net = build_network(config, channels=1, image_size=64, classes=2, device="meta")
    assert net.stage("stem").conv1.in_channels == 3  # type: ignore[union-attr]


def test_sign_cnn_is_document_001() -> None:
    net = build("sign-cnn", channels=1, size=28, classes=24)
    dense, final = net.stage("dense").linear, last_layer(net)  # type: ignore[union-attr]
    assert (dense.in_features, dense.out_features) == (288, 512)  # type: ignore[union-attr]
    assert final.weight.shape == (24, 512)
    assert net.stage("head").dropout.p == 0.3  # type: ignore[union-attr]
    assert count_parameters(net) == 320 + 18_496 + 18_464 + 288 * 512 + 512 + 512 * 24 + 24
    larger = build("sign-cnn", size=56, device="meta")
    assert larger.stage("dense").linear.in_features == 32 * 7 * 7  # type: ignore[union-attr]


def test_perceptrons_have_the_layers_that_were_asked_for() -> None:
    mlp = build("mlp", size=16, hidden_sizes=(40, 20), device="meta")
    assert mlp.stage_names == ("hidden1", "hidden2", HEAD)
    assert [mlp.stage(s).linear.out_features for s in mlp.stage_names] == [40, 20, 2]  # type: ignore[union-attr]
    assert len(build("deep-mlp", device="meta").stage_names) == 10
    assert len(build("deep-mlp", depth=2, device="meta").stage_names) == 2
    assert build("single-layer-perceptron", device="meta").stage_names == (HEAD,)


@pytest.mark.parametrize("name", [n for n in NAMES if "head" in ARCHITECTURES.get(n).knobs])
def test_dense_head_replaces_pooling_and_classifier(name: str) -> None:
    net = build(name, size=64, head="dense", head_units=7, classes=3, device="meta").eval()
    assert net.stage_names[-1] == HEAD
    assert "dense" not in net.stage_names
    assert net(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 3)
    kinds = [type(m).__name__ for m in net.stage(HEAD).children()]
    assert [kinds[0], kinds[1], kinds[3], kinds[4]] == ["Flatten", "Linear", "Dropout", "Linear"]
    own = ACTIVATIONS.get(ARCHITECTURES.get(name).native_activation)
    assert kinds[2] == type(own.make()).__name__


def test_dense_head_of_document_002() -> None:
    """VGG16's base gives (5, 5, 512) at 180 pixels."""
    net = build("vgg16", size=180, head="dense", device="meta")
    assert net.stage(HEAD).linear.in_features == 5 * 5 * 512  # type: ignore[union-attr]
    assert net.stage(HEAD).dropout.p == 0.5  # type: ignore[union-attr]


def test_dense_head_trains_and_pretrained_googlenet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    train_once(build("squeezenet1_1", size=32, head="dense"), images(2, 3, 32), 2)
    # GoogLeNet's rescaling must survive the search for the size of the maps.
    config = RunConfig(architecture="googlenet", freeze="full", head="dense", head_units=16)
    state = random_state(reference("googlenet"))
    net = build_pretrained(monkeypatch, config, state, classes=2)
    train_once(net, images(2, 3, 64), 2)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_loss_starts_at_pure_guessing(activation: str) -> None:
    for name in ("simple-cnn", "sign-cnn", "sign-mlp", "deep-mlp"):
        net = build(name, size=28, classes=24, activation=activation).eval()
        with torch.no_grad():
            loss = F.cross_entropy(net(images(64, 3, 28)), torch.arange(64) % 24)
        assert abs(loss.item() - math.log(24)) < 0.15, name


@pytest.mark.parametrize("name", [name for name in FROM_LIBRARIES if name in LIGHT])
def test_a_fresh_head_is_small_however_few_the_classes(name: str) -> None:
    """EfficientNet's rule for a thousand classes makes two so large that the loss begins at 12."""
    weight = last_layer(build(name, size=64, classes=2)).weight.flatten(1)
    assert 0 < weight.abs().max() < 3 / weight.shape[1] ** 0.5


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        architecture(
            name="resnet18",
            title="Twice",
            family="cnn",
            year=2026,
            story="No.",
            native_activation="relu",
            min_image_size=1,
        )(lambda settings: StagedNet({}))
