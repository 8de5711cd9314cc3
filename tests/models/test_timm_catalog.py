"""timm's networks of the catalogue and by name: stages, weights, sizes, what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save
from torch import Tensor

from lab.config import RunConfig
from lab.errors import NotFoundError, WeightsError
from lab.models import catalog
from lab.models.architecture import ARCHITECTURES, TIMM, Pretrained
from lab.models.catalog import build_network
from lab.models.freezing import count_parameters
from lab.models.staged import StagedNet
from lab.models.staging import Resized
from lab.models.timm_stages import plan_of
from lab.models.tokens import TokenStage
from lab.models.weights import load_pretrained, missing_weights, weights_ready
from lab.models.weights_source import HubWeights
from tests.download.scripted_server import ScriptedServer, scripted_server, serve
from tests.models.test_architectures import images, train_once
from tests.models.torchvision_states import last_layer, random_state

BY_HUB = [spec.name for spec in ARCHITECTURES if isinstance(spec.weights, HubWeights)]
TINY = "timm:test_resnet"


def timms_name(name: str) -> str:
    weights = ARCHITECTURES.get(name).weights
    assert isinstance(weights, HubWeights)
    return weights.repository.removeprefix("timm/")


def timms(
    name: str, classes: int, size: int, state: dict[str, Tensor] | None = None
) -> torch.nn.Module:
    """timm's own network, with weights loaded by timm."""
    own = timms_name(name)
    step = plan_of(own).step
    options = {"img_size": -(-size // step) * step} if step else {}
    if state is not None:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    net: torch.nn.Module = timm.create_model(own, num_classes=classes, **options)
    return net.eval()


def pretrained(
    monkeypatch: pytest.MonkeyPatch, name: str, state: dict[str, Tensor], size: int
) -> StagedNet:
    file = Pretrained(Path("random.safetensors"), state)
    monkeypatch.setattr(catalog, "load_pretrained", lambda *args, **kwargs: file)
    config = RunConfig(architecture=name, freeze="full")
    return build_network(config, channels=3, image_size=size, classes=5).eval()


def state_of(name: str) -> tuple[dict[str, Tensor], int]:
    """Random weights as in the file: for its own image size and classes."""
    own = timms_name(name)
    classes = timm.get_pretrained_cfg(own).num_classes
    with torch.device("meta"):
        net = timm.create_model(own, num_classes=classes)
    return random_state(net), classes


@pytest.mark.filterwarnings(  # of timm, as it fits Swin's positions to another image size
    "ignore:torch.searchsorted", "ignore:Using a non-tuple sequence"
)
@pytest.mark.parametrize("name", [*BY_HUB, TINY, "timm:test_convnext2", "timm:pvt_v2_b0"])
def test_computes_exactly_what_timm_computes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At another size than the file's, with every tensor of it; only the classifier is new."""
    size = 64
    state, classes = state_of(name)
    net = pretrained(monkeypatch, name, state, size)
    own = timms(name, classes, size, state)
    own.reset_classifier(5)  # type: ignore[operator]
    own.get_classifier().load_state_dict(last_layer(net).state_dict())  # type: ignore[operator]
    x = images(2, 3, size)
    scaled = x
    entry = dict(net.stage(net.stage_names[0]).named_children())
    with torch.no_grad():
        for layer in ("rescale", "resize"):
            scaled = entry[layer](scaled) if layer in entry else scaled
        expected = own(scaled)
        assert torch.equal(net(x), expected)
    assert expected.std() > 0
    assert count_parameters(net) == count_parameters(own)
    assert ("rescale" in entry) is (timm.get_pretrained_cfg(timms_name(name)).mean[0] == 0.5)


@pytest.mark.parametrize("name", BY_HUB)
def test_facts_are_timms(name: str) -> None:
    """The table says what timm says; it stands there so that a list need not import timm."""
    spec = ARCHITECTURES.get(name)
    plan, config = plan_of(timms_name(name)), timm.get_pretrained_cfg(timms_name(name))
    assert isinstance(spec.weights, HubWeights)
    assert (plan.activation, plan.cam_stage) == (spec.native_activation, spec.default_cam_stage)
    assert spec.weights.repository == config.hf_hub_id
    assert spec.weights.licence.lower() == config.license
    with torch.device("meta"):
        net = timm.create_model(timms_name(name), num_classes=config.num_classes)
    assert spec.weights.megabytes == pytest.approx(count_parameters(net) * 4e-6, abs=1)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("vit_tiny", ("stem", *(f"block{n}" for n in range(1, 13)), "head")),
        ("convnext_atto", ("stem", "stage1", "stage2", "stage3", "stage4", "norm", "head")),
        ("resnet18d", ("stem", "layer1", "layer2", "layer3", "layer4", "head")),
        ("mobilenetv4_small", ("stem", *(f"block{n}" for n in range(1, 6)), "conv_head", "head")),
        ("timm:regnetx_002", ("stem", "stage1", "stage2", "stage3", "stage4", "head")),
        ("timm:densenet121", ("stem", *(f"denseblock{n}" for n in range(1, 5)), "norm5", "head")),
        ("timm:pvt_v2_b0", ("features", "head")),  # no chain: taken as a whole
    ],
)
def test_stages(name: str, stages: tuple[str, ...]) -> None:
    config = RunConfig(architecture=name)
    net = build_network(config, channels=3, image_size=64, classes=2, device="meta")
    assert net.stage_names == stages
    assert isinstance(last_layer(net), torch.nn.Linear)


# --- any of timm's names --------------------------------------------------------------------------
def test_a_name_is_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TINY in ARCHITECTURES
    assert TINY not in ARCHITECTURES.names()
    spec = ARCHITECTURES.get(TINY)
    assert spec is ARCHITECTURES.get(TINY)
    assert spec.weights is not None
    assert (spec.family, spec.weights.licence) == ("timm", "apache-2.0")
    config = RunConfig(architecture=TINY)
    net = build_network(config, channels=1, image_size=32, classes=3)
    train_once(net, images(2, 1, 32), 3)
    tagged = ARCHITECTURES.get("timm:resnet50.a1_in1k")
    assert tagged.weights is not None
    assert tagged.weights.origin == "timm/resnet50.a1_in1k on Hugging Face"
    assert ARCHITECTURES.get("timm:mixer_s32_224").weights is None  # timm has none
    assert plan_of("test_resnet").activation == "relu"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm:resnet26dd", "Did you mean 'resnet26d'"),
        ("timm:zzz", "Unknown timm network 'zzz'."),
        ("timm:hf-hub:someone/net", "Unknown timm network"),
        ("timm:resnet50.a1_in2k", "Did you mean 'resnet50.a1_in1k'"),
    ],
)
def test_unknown_names_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        ARCHITECTURES.get(name)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200
    assert name not in ARCHITECTURES


@pytest.mark.parametrize(("size", "inner"), [(32, 42), (42, None), (96, 98)])
def test_sizes_that_are_no_whole_patches_are_enlarged(size: int, inner: int | None) -> None:
    config = RunConfig(architecture="dinov2_small")
    net = build_network(config, channels=3, image_size=size, classes=2, device="meta").eval()
    resized = [module.side for module in net.modules() if isinstance(module, Resized)]
    assert resized == ([] if inner is None else [inner])
    stem = net.stage("stem")
    assert isinstance(stem, TokenStage)
    tokens = net.run(torch.empty(1, 3, size, size, device="meta"), last="stem")
    assert tokens.shape[1] == ((inner or size) // 14) ** 2 + stem.placeless


def test_dropout_goes_before_the_classifier_only() -> None:
    config = RunConfig(architecture="timm:test_vit", dropout=0.3)
    net = build_network(config, channels=3, image_size=32, classes=2)
    shares = [m.p for m in net.modules() if type(m).__name__ == "Dropout"]
    assert max(shares) == 0.3
    assert sum(share > 0 for share in shares) == 1
    train_once(net, images(2, 3, 32), 2)


# --- weights from the hub -------------------------------------------------------------------------
@pytest.fixture
def state() -> dict[str, Tensor]:
    return state_of(TINY)[0]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A hub on this machine, and no file in its cache or torch's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with scripted_server() as running:
        monkeypatch.setattr(HubWeights, "url", running.url("/timm/model.safetensors"))
        yield running


def answer(hub: ScriptedServer, content: bytes, *, sha256: str = "") -> None:
    """As the hub answers: to HEAD with the checksum and a redirection, to GET with the file."""

    file = serve(content)

    def redirect_or_serve(request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            file(request)
            return
        request.send_response(302)
        request.send_header("X-Linked-Etag", f'"{sha256}"')
        request.send_header("Location", "/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()

    hub.on(urlsplit(str(HubWeights.url)).path, redirect_or_serve)


def test_weights_are_downloaded_checked_and_kept(
    hub: ScriptedServer, state: dict[str, Tensor]
) -> None:
    content = save(state)
    answer(hub, content, sha256=hashlib.sha256(content).hexdigest())
    spec = ARCHITECTURES.get(TINY)
    assert not weights_ready(spec)
    assert "download" in missing_weights(spec)
    config = RunConfig(architecture=TINY, freeze="head_only")
    net = build_network(config, channels=3, image_size=32, classes=2)
    asked = len(hub.requests)
    assert torch.equal(
        net.state_dict()["stages.layer1.layer1.0.conv1.weight"], state["layer1.0.conv1.weight"]
    )
    assert weights_ready(spec)
    assert missing_weights(spec) == ""
    load_pretrained(spec)
    assert len(hub.requests) == asked


def test_another_content_is_refused(hub: ScriptedServer, state: dict[str, Tensor]) -> None:
    answer(hub, save(state), sha256="0" * 64)
    with pytest.raises(WeightsError, match="timm:test_resnet"):
        load_pretrained(ARCHITECTURES.get(TINY))
    assert not weights_ready(ARCHITECTURES.get(TINY))


@pytest.mark.parametrize("change", ["lacks", "more", "shape"])
def test_a_file_that_does_not_fit_is_refused(
    hub: ScriptedServer, state: dict[str, Tensor], change: str
) -> None:
    """Never a layer that stays random without a word."""
    if change == "lacks":
        del state["layer1.0.conv1.weight"]
    elif change == "more":
        state["layer9.weight"] = torch.zeros(1)
    else:
        state["layer1.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    answer(hub, save(state))
    config = RunConfig(architecture=TINY, freeze="full")
    with pytest.raises(WeightsError, match="cannot be used for timm:test_resnet"):
        build_network(config, channels=3, image_size=32, classes=2)


def test_the_hubs_own_cache_is_read(
    hub: ScriptedServer, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    folder = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(save(state))
    assert weights_ready(ARCHITECTURES.get(TINY))
    assert load_pretrained(ARCHITECTURES.get(TINY)).tensors.keys() == state.keys()
    assert not hub.requests


def test_without_a_network_the_way_by_hand_is_told(
    hub: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubWeights, "url", "http://127.0.0.1:9/timm/model.safetensors")
    with pytest.raises(WeightsError) as refused:
        load_pretrained(ARCHITECTURES.get("vit_tiny"))
    sentence = str(refused.value)
    for part in ("vit_tiny", "http://127.0.0.1:9/timm/model.safetensors", "freeze=scratch"):
        assert part in sentence
    assert TIMM not in sentence
