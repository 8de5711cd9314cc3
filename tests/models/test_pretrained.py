"""Pretrained weights are the right ones, whole and checked, or there is no network."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import torchvision
from torch import Tensor

from lab.config import RunConfig
from lab.errors import WeightsError
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.freezing import apply_freeze
from lab.models.staged import StagedNet
from lab.models.weights import (
    load_pretrained,
    missing_weights,
    weights_file,
    weights_ready,
    weights_url,
)
from lab.models.weights_source import TorchvisionWeights
from lab.progress import Cancelled, Progress
from tests.download.scripted_server import Answer, ScriptedServer, scripted_server, serve, status
from tests.models.test_architectures import images, train_once
from tests.models.torchvision_states import build_pretrained, last_layer, random_state, reference

SQUEEZENET = ARCHITECTURES.get("squeezenet1_1")


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TORCH_HOME of this test alone, with no way to the internet."""
    home = tmp_path / "torch-home"
    monkeypatch.setenv("TORCH_HOME", str(home))

    monkeypatch.setenv("NO_PROXY", "*")

    known = socket.getaddrinfo

    def offline(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "127.0.0.1":
            return known(host, *arguments, **options)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    return home


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(reference("squeezenet1_1"))


def save(state: object) -> Path:
    file = weights_file(SQUEEZENET)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file


def pretrained(*, seed: int = 0, classes: int = 2, freeze: str = "head_only") -> StagedNet:
    config = RunConfig(architecture="squeezenet1_1", freeze=freeze, seed=seed)  # type: ignore[arg-type]
    return build_network(config, channels=3, image_size=32, classes=classes)


def test_the_files_are_torchvisions(torch_home: Path) -> None:
    torchvisions = [s for s in ARCHITECTURES if s.family == "torchvision"]
    files = {s.name: weights_file(s).name for s in torchvisions}
    assert len(files) == 12
    assert files["mobilenet_v2"] == "mobilenet_v2-b0353104.pth"  # the first recipe's
    assert files["squeezenet1_1"] == "squeezenet1_1-b8a52dc0.pth"
    assert weights_file(SQUEEZENET).parent == torch_home / "hub" / "checkpoints"
    for spec in torchvisions:
        assert not weights_ready(spec)
        assert str(weights_url(spec)).startswith("https://download.pytorch.org/")
        assert re.fullmatch(r"\d+ MB download", missing_weights(spec))
    assert not any(weights_ready(spec) for spec in ARCHITECTURES if not spec.weights)


def test_without_weights_there_is_no_network(torch_home: Path, state: dict[str, Tensor]) -> None:
    """The sentence names the file, its address and size, the reason and the ways out."""
    save(state)
    config = RunConfig(architecture="resnet18", freeze="full")
    with pytest.raises(WeightsError) as refused:
        build_network(config, channels=3, image_size=64, classes=2)
    sentence = str(refused.value)
    for part in (
        "resnet18",
        str(torch_home / "hub" / "checkpoints" / "resnet18-f37072fd.pth"),
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "45 MB",
        "No connection to download.pytorch.org (its address could not be looked up)",
        "freeze=scratch",
        "squeezenet1_1",  # its file is there
    ):
        assert part in sentence
    assert not list(torch_home.rglob("*resnet18*"))


def test_pages_need_no_weights(torch_home: Path) -> None:
    config = RunConfig(architecture="resnet18", freeze="full")
    net = build_network(config, channels=3, image_size=64, classes=2, device="meta")
    assert all(p.is_meta for p in net.parameters())


def test_backbone_is_the_files_and_head_is_fresh(
    torch_home: Path, state: dict[str, Tensor]
) -> None:
    # As in some converted files, the classifier of 1,000 classes is empty: it is not wanted anyway.
    file_state = dict(state)
    file_state["classifier.1.weight"] = torch.zeros_like(state["classifier.1.weight"])
    file_state["classifier.1.bias"] = torch.zeros_like(state["classifier.1.bias"])
    save(file_state)
    net = pretrained(classes=5)
    loaded = [v for k, v in net.state_dict().items() if not k.startswith("stages.head")]
    expected = [v for k, v in state.items() if not k.startswith("classifier")]
    assert all(torch.equal(a, b) for a, b in zip(loaded, expected, strict=True))
    assert last_layer(net).weight.shape == (5, 512, 1, 1)
    assert last_layer(net).weight.std() > 0
    assert torch.equal(last_layer(net).weight, last_layer(pretrained(classes=5)).weight)
    other = pretrained(classes=5, seed=1)
    assert not torch.equal(last_layer(net).weight, last_layer(other).weight)


def test_head_only_trains_the_head(torch_home: Path, state: dict[str, Tensor]) -> None:
    save(state)
    net = pretrained()
    apply_freeze(net, RunConfig(architecture="squeezenet1_1", freeze="head_only"))
    net(images(2, 3, 32)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) is name.startswith("stages.head"), name


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: s.pop("features.0.weight"), "lacks layer 'features.0.weight'"),
        (lambda s: s.update(extra=torch.ones(1)), "unknown layer 'extra'"),
        (lambda s: s.update({"features.0.weight": torch.ones(2, 3, 3, 3)}), "other shapes"),
        (lambda s: s["features.3.squeeze.weight"].zero_(), "all zeros"),
        (lambda s: s.update(epoch=3), "something other than weights"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    torch_home: Path, state: dict[str, Tensor], spoil: object, reason: str
) -> None:
    spoiled = {name: tensor.clone() for name, tensor in state.items()}
    spoil(spoiled)  # type: ignore[operator]
    file = save(spoiled)
    with pytest.raises(WeightsError) as refused:
        pretrained()
    assert reason in str(refused.value)
    assert str(file) in str(refused.value)
    assert "freeze=scratch" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"not found", b"PK\x03\x04 half a zip", "truncated"])
def test_a_broken_file_is_refused(
    torch_home: Path, state: dict[str, Tensor], content: bytes | str
) -> None:
    file = save(state)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "truncated" else content)  # type: ignore[arg-type]
    with pytest.raises(WeightsError) as refused:
        pretrained()
    assert str(file) in str(refused.value)
    assert "cannot be read" in str(refused.value)


@pytest.fixture
def content(state: dict[str, Tensor]) -> bytes:
    """SqueezeNet's file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def server(
    torch_home: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedServer]:
    """A server for SqueezeNet's file, under a name that ends in its right checksum."""
    with scripted_server() as running:
        url = running.url(f"/squeezenet-{hashlib.sha256(content).hexdigest()[:8]}.pth")
        monkeypatch.setattr(TorchvisionWeights, "url", url)
        yield running


def answer(server: ScriptedServer, *answers: Answer) -> None:
    server.on(urlsplit(SQUEEZENET.weights.url).path, *answers)


def test_a_download_is_used_and_kept(server: ScriptedServer, content: bytes) -> None:
    answer(server, serve(content))
    seen: list[Progress] = []
    assert not weights_ready(SQUEEZENET)
    loaded = load_pretrained(SQUEEZENET, progress=seen.append)
    assert loaded.file.read_bytes() == content
    assert weights_ready(SQUEEZENET)
    text = "Downloading the ImageNet weights file of squeezenet1_1"
    assert Progress(len(content), len(content), text, "bytes") in seen
    load_pretrained(SQUEEZENET)
    assert len(server.requests) == 1


def left_behind(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_a_wrong_download_leaves_nothing(
    server: ScriptedServer, torch_home: Path, content: bytes
) -> None:
    answer(server, serve(content[:-1] + b"!"), serve(b"<html><title>Sign in</title></html>"))
    for sentence in ("is not the file it should be", r"A web page \('Sign in'\) arrived"):
        with pytest.raises(WeightsError, match=sentence) as refused:
            load_pretrained(SQUEEZENET)
        assert "freeze=scratch" in str(refused.value)
        assert not left_behind(torch_home)


def test_a_cancelled_download_goes_on(
    server: ScriptedServer, torch_home: Path, content: bytes
) -> None:
    answer(server, serve(content, stall_after=1_000_000), serve(content))
    pressed = threading.Event()
    threading.Timer(0.5, pressed.set).start()  # by then the server is silent
    began = time.monotonic()
    with pytest.raises(Cancelled, match="are kept: start the run again to go on from there"):
        load_pretrained(SQUEEZENET, cancel=pressed.is_set)
    assert time.monotonic() - began < 0.5 + 10  # the read time-out is 30 s
    (part, _) = sorted(left_behind(torch_home))
    assert part.endswith(".pth.part")
    assert load_pretrained(SQUEEZENET).file.read_bytes() == content
    start = int(str(server.ranges()[-1]).removeprefix("bytes=").removesuffix("-"))
    assert 900_000 < start <= 1_000_000


def test_a_server_that_refuses_is_told(server: ScriptedServer) -> None:
    answer(server, status(404))
    with pytest.raises(WeightsError, match="HTTP 404 Not Found"):
        load_pretrained(SQUEEZENET)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, torch_home: Path) -> None:
    torch_home.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot be written .* Set TORCH_HOME to a folder"):
        load_pretrained(SQUEEZENET)


def test_old_names_and_helper_heads_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """DenseNet's file has old names and no batch counters; GoogLeNet's has two more heads."""
    state = {
        name.replace(".norm1.", ".norm.1.")
        .replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.")
        .replace(".conv2.", ".conv.2."): tensor
        for name, tensor in random_state(reference("densenet121")).items()
        if not name.endswith("num_batches_tracked")
    }
    config = RunConfig(architecture="densenet121", freeze="full")
    net = build_pretrained(monkeypatch, config, state, classes=2)
    block = net.stage("denseblock1").get_submodule("0.denselayer1.norm1")
    assert torch.equal(block.weight, state["features.denseblock1.denselayer1.norm.1.weight"])
    helper = random_state(reference("googlenet"))
    assert any(name.startswith("aux1.") for name in helper)
    config = RunConfig(architecture="googlenet", freeze="full")
    build_pretrained(monkeypatch, config, helper, classes=2)


def test_a_checkpoint_fits_a_network_built_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """How published weights become a classifier again: meta, empty memory, load, evaluate."""
    config = RunConfig(architecture="googlenet", freeze="full")
    state = random_state(reference("googlenet"))
    net = build_pretrained(monkeypatch, config, state, classes=2).eval()
    twin = build_network(config, channels=3, image_size=64, classes=2, device="meta")
    twin.to_empty(device="cpu")
    twin.load_state_dict(net.state_dict())
    x = images(2, 3, 64)
    with torch.no_grad():
        assert torch.equal(net(x), twin.eval()(x))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_real_weights(name: str) -> None:
    """The features are torchvision's; the head is fresh and trains."""
    spec = ARCHITECTURES.get(name)
    if not weights_ready(spec):
        pytest.skip(f"{weights_file(spec)} is not there (TORCH_HOME)")
    config = RunConfig(architecture=name, freeze="head_only")
    net = build_network(config, channels=1, image_size=64, classes=2)
    twin = getattr(torchvision.models, name)()
    twin.load_state_dict(torch.load(weights_file(spec), weights_only=True))
    x = images(2, 3, 64)
    with torch.no_grad():
        ours = net.eval().run(x, last=net.stage_names[-2])
        assert torch.equal(ours, twin.eval().features(x))
    assert ours.std() > 0.1
    assert last_layer(net).weight.std() > 0
    net.train()
    train_once(net, x, 2)
