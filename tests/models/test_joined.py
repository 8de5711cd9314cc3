"""Several backbones joined: "A+B"."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lab.config import RunConfig
from lab.errors import ConfigError, NotFoundError, WeightsError
from lab.explain.layers import inspectable_layers
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network, check_network
from lab.models.freezing import apply_freeze
from lab.models.weights import check_weights, missing_weights, weights_ready
from lab.training.frozen.features import after, before, find_cut, frozen_part
from tests.models.test_architectures import images, train_once

LITE = "efficientnet_lite0+efficientnet_lite1"
CONFIG = RunConfig(architecture=LITE, freeze="head_only")


def test_features_are_those_of_the_networks_alone() -> None:
    """With the weights that each has alone, each brought to mean 0 and spread 1."""
    joined = build_network(CONFIG, channels=3, image_size=64, classes=2).eval()
    x = images(2, 3, 64)
    expected = []
    with torch.no_grad():
        for name in LITE.split("+"):
            config = CONFIG.changed(architecture=name)
            alone = build_network(config, channels=3, image_size=64, classes=2).eval()
            features = alone.run(x, last="last_conv").mean((2, 3))
            expected.append(F.layer_norm(features, (1280,)))
        features = joined.run(x, last="backbones")
    torch.testing.assert_close(features, torch.cat(expected, 1), atol=1e-4, rtol=1e-4)
    assert features.shape == (2, 2560)


def test_frozen_it_runs_once_an_image() -> None:
    net = build_network(CONFIG, channels=1, image_size=64, classes=3)
    apply_freeze(net, CONFIG)
    cut = find_cut(net)
    assert cut is not None
    x = images(3, 3, 64)
    with torch.no_grad():
        features = before(net, cut, x)
        assert torch.equal(after(net, cut, features), net.eval()(x))
        torch.testing.assert_close(frozen_part(net, cut)(x), features, atol=1e-3, rtol=1e-3)
    assert features.shape == (3, 2560)


@pytest.mark.parametrize("name", ["timm:test_vit+timm:test_resnet", "squeezenet1_1+vit_tiny"])
def test_kinds_of_networks_mix_and_train(name: str) -> None:
    config = RunConfig(architecture=name)
    net = build_network(config, channels=3, image_size=32, classes=3)
    train_once(net, images(2, 3, 32), 3)
    layers = inspectable_layers(net.eval(), channels=3, image_size=32, default_stage=None)
    assert not layers.stages  # no single map


def test_its_facts_are_those_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ARCHITECTURES.get(LITE)
    assert spec.weights is not None
    assert spec.title == "EfficientNet-Lite0 + EfficientNet-Lite1"
    assert spec.weights.licence == "Apache-2.0"
    assert weights_ready(spec)
    check_weights(spec)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lacking = ARCHITECTURES.get("efficientnet_lite0+resnet18+mobilenet_v2")
    assert not weights_ready(lacking)
    assert missing_weights(lacking) == "45 MB download and 14 MB download"
    monkeypatch.setattr("lab.models.weights._can_download", lambda url: False)
    with pytest.raises(WeightsError, match="resnet18-f37072fd"):
        check_weights(lacking)
    check_network(CONFIG, image_size=64, channels=3)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet18+resnet18", "joins no networks"),
        ("resnet18+mlp", "joins no networks"),
        ("resnet18+", "Unknown architecture"),
        ("resnet18+resnt50", "Did you mean"),
    ],
)
def test_what_cannot_be_joined_is_refused(name: str, sentence: str) -> None:
    with pytest.raises((ConfigError, NotFoundError), match=sentence):
        ARCHITECTURES.get(name)
