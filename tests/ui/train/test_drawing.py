"""The drawing of every architecture, with the locks of every freeze strategy."""

import pytest

from lab.config import RunConfig
from lab.data import catalog
from lab.models.architecture import ARCHITECTURES
from lab.ui.train.drawing import _html, network_stages, stage_locks
from lab.ui.train.summary import settings_link

NAMES = ["stem", "layer1", "layer2", "head"]


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_is_drawn(name: str) -> None:
    info = catalog.describe("drawn-cats-dogs")
    for freeze in ("two_phase", "scratch") if ARCHITECTURES.get(name).weights else ("scratch",):
        html = _html(RunConfig(architecture=name).changed(freeze=freeze), info)
        assert html.count("<button") == html.count("<section") > 0
        assert ARCHITECTURES.get(name).title in html


@pytest.mark.parametrize(
    ("freeze", "locks"),
    [
        ("scratch", ["open"] * 4),
        ("full", ["open"] * 4),
        ("last_k", ["closed", "closed", "open", "open"]),
        ("head_only", ["closed", "closed", "closed", "open"]),
        ("two_phase", ["closed", "closed", "clock", "open"]),
    ],
)
def test_locks_follow_the_strategy(freeze: str, locks: list[str]) -> None:
    config = RunConfig().changed(freeze=freeze)
    assert list(stage_locks(NAMES, config).values()) == locks


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("mlp", {"hidden_sizes": (7,)}),
        ("deep-mlp", {"depth": 3}),
        ("resnet18", {"head": "dense"}),
        ("resnet18", {"architecture": "resnet50"}),
    ],
)
def test_what_shapes_a_network_draws_another_one(
    architecture: str, change: dict[str, object]
) -> None:
    config = RunConfig(architecture=architecture)
    before, after = (
        network_stages(each, channels=3, size=64, classes=2)
        for each in (config, config.changed(**change))
    )
    assert before != after


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("http://lab.local:8501/train", "http://lab.local:8501/train?epochs=3"),
        ("https://host/lab/train/", "https://host/lab/train?epochs=3"),
        (None, "/train?epochs=3"),
    ],
)
def test_the_link_is_an_address_to_copy(page: str | None, link: str) -> None:
    assert settings_link(RunConfig(epochs=3), page) == link
