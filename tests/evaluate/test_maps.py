"""Maps by published networks: plain values, of the very weights that were asked about."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import ConfigError, NotFoundError, ResourceError
from lab.evaluate import maps, opened
from lab.evaluate.maps import draw_maps, gallery_items
from lab.evaluate.opened import PublishedNetwork
from lab.evaluate.pictures import Picture, pack_picture
from lab.explain.grad_cam import METHODS, class_activation_maps
from lab.progress import Cancelled, Progress
from lab.training.checkpoint import load_network
from tests.evaluate.test_opened import write
from tests.tiny_data import make_tiny_pack


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    opened._kept.clear()
    yield
    opened._kept.clear()


@pytest.fixture
def network(tmp_path: Path) -> PublishedNetwork:
    config = RunConfig(dataset=make_tiny_pack(), architecture="sign-cnn", image_size=16)
    write(tmp_path / "r-1", config, epoch=4)
    return PublishedNetwork.newest(tmp_path / "r-1", "best")


def picture(index: int = 0) -> Picture:
    return pack_picture(catalog.open_pack("tiny"), index)


@pytest.mark.parametrize("method", [n for n in METHODS.names() if n != "attention-rollout"])
def test_maps_are_those_of_the_network(network: PublishedNetwork, method: str) -> None:
    layers = ["block1", "block2.conv", "block3"]
    drawn = draw_maps(network, picture(), target=1, layers=layers, method=method)
    loaded, card = load_network(network.folder, "best")
    expected, _ = class_activation_maps(
        loaded, picture().tensor(card.preprocess), targets=[1], layers=layers, method=method
    )
    assert list(drawn) == layers
    for name, one in drawn.items():
        np.testing.assert_allclose(one.values, expected[name].maps[0].numpy(), atol=1e-6)
        assert one.score == pytest.approx(float(expected[name].scores[0]))
        assert one.meaningful == bool(expected[name].meaningful[0])
    data = pickle.dumps(drawn)  # jobs keep fifty of them
    assert len(data) < 1_000_000
    assert b"torch" not in data


def test_what_takes_seconds_does_not_hold_up_the_shared_network(
    network: PublishedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[object] = []
    draw = maps.class_activation_maps

    def noted(given: object, *rest: object, **more: object) -> object:
        used.append(given)
        return draw(given, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(maps, "class_activation_maps", noted)
    shared = network.ask(lambda one: one.network)
    for method in ("layercam", "score-cam", "fullgrad"):
        draw_maps(network, picture(), target=0, layers=["block3"], method=method)
    assert used[0] is shared
    assert shared not in used[1:]


def test_what_cannot_be_drawn_is_a_sentence(
    network: PublishedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(layer: str, method: str = "grad-cam") -> object:
        return draw_maps(network, picture(), target=0, layers=[layer], method=method)

    with pytest.raises(ConfigError, match="Choose one of: block1, block2, block3"):
        draw("dense")
    with pytest.raises(NotFoundError, match="Did you mean 'block1'"):
        draw("blok1")
    with pytest.raises(NotFoundError, match="explanation method"):
        draw("block1", "magic")

    def too_large(*given: object, **rest: object) -> object:
        raise MemoryError

    monkeypatch.setattr(maps, "class_activation_maps", too_large)
    with pytest.raises(ResourceError, match="Score-CAM needs more than is left"):
        draw("block1", "score-cam")


@pytest.mark.parametrize("method", ["hirescam", "score-cam"])
def test_the_gallery_explains_what_each_was_taken_for(
    network: PublishedNetwork, method: str
) -> None:
    told: list[Progress] = []
    indices = [3, 1, 40]
    items = gallery_items(network, indices, layer="block2", method=method, progress=told.append)
    assert [item.index for item in items] == indices
    assert [progress.done for progress in told] == [0, 1, 2]
    for item in items:
        shares = network.ask(lambda one, index=item.index: one.probabilities(picture(index)))
        assert item.predicted == shares.argmax()
        assert item.probability == pytest.approx(float(shares.max()))
        assert item.label == picture(item.index).label
        assert (item.pixels == picture(item.index).pixels).all()
        alone = draw_maps(
            network, picture(item.index), target=item.predicted, layers=["block2"], method=method
        )
        np.testing.assert_allclose(item.map.values, alone["block2"].values, atol=1e-6)
    assert b"torch" not in pickle.dumps(items)
    with pytest.raises(Cancelled):
        gallery_items(network, indices, layer="block2", method=method, cancel=lambda: True)
