"""What the Inspect page is told: plain values, of the very checkpoint that was asked about."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import ConfigError, DivergedError, NotFoundError
from lab.evaluate import inspecting, opened
from lab.evaluate.pictures import pack_picture
from lab.explain.grad_cam import METHODS, class_activation_maps
from lab.progress import Cancelled, Progress
from lab.training.checkpoint import load_network, publish
from tests.evaluate.test_opened import network_of, write
from tests.tiny_data import CLASSES, make_tiny_pack


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    opened._kept.clear()
    yield
    opened._kept.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = RunConfig(dataset=make_tiny_pack(), architecture="sign-cnn", image_size=16)
    write(tmp_path / "r-1", config, epoch=4)
    return tmp_path / "r-1"


@pytest.fixture
def perceptron(tmp_path: Path) -> Path:
    config = RunConfig(dataset=make_tiny_pack(), architecture="mlp", image_size=16)
    write(tmp_path / "r-2", config)
    return tmp_path / "r-2"


def picture(index: int = 0) -> inspecting.Picture:
    return pack_picture(catalog.open_pack("tiny"), index)


def test_the_anatomy_of_a_network(folder: Path, perceptron: Path) -> None:
    found = inspecting.anatomy(folder, "best")
    assert found.class_names == CLASSES
    assert found.stages == ("block1", "block2", "block3")
    assert found.default_stage == "block3"
    assert found.epoch == 4
    assert [layer.name for layer in found.layers][:2] == ["block1.conv", "block1"]
    flat = inspecting.anatomy(perceptron, "best")
    assert (flat.stages, flat.default_stage) == ((), None)


def test_the_answer_is_the_networks(folder: Path) -> None:
    network, card = load_network(folder, "best")
    with torch.no_grad():
        expected = network(picture().tensor(card.preprocess)).softmax(1)[0].numpy()
    np.testing.assert_allclose(inspecting.probabilities(folder, "best", picture()), expected)


@pytest.mark.parametrize("method", METHODS.names())
def test_maps_are_those_of_the_network(folder: Path, method: str) -> None:
    layers = ["block1", "block2.conv", "block3"]
    found = inspecting.maps(folder, "best", picture(), target=1, layers=layers, method=method)
    network, card = load_network(folder, "best")
    expected, _ = class_activation_maps(
        network, picture().tensor(card.preprocess), targets=[1], layers=layers, method=method
    )
    assert list(found) == layers
    for name, one in found.items():
        np.testing.assert_allclose(one.values, expected[name].maps[0].numpy(), atol=1e-6)
        assert one.score == pytest.approx(float(expected[name].scores[0]))
        assert one.meaningful == bool(expected[name].meaningful[0])


def test_what_cannot_be_drawn_is_a_sentence(folder: Path) -> None:
    def ask(layer: str, method: str = "grad-cam") -> object:
        return inspecting.maps(folder, "best", picture(), target=0, layers=[layer], method=method)

    with pytest.raises(ConfigError, match="Choose one of: block1, block2, block3"):
        ask("dense")
    with pytest.raises(NotFoundError, match="Did you mean 'block1'"):
        ask("blok1")
    with pytest.raises(NotFoundError, match="explanation method"):
        ask("block1", "magic")
    network = network_of(RunConfig(dataset="tiny", architecture="sign-cnn"), 0)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    publish(network, folder, epoch=5, best=False, kept=False)
    with pytest.raises(DivergedError, match="not numbers"):
        inspecting.probabilities(folder, "last", picture())


def test_results_are_plain_and_small(folder: Path, perceptron: Path) -> None:
    """Jobs keep fifty of them."""
    answers = [
        inspecting.anatomy(folder, "best"),
        inspecting.maps(folder, "best", picture(), target=0, layers=["block1"], method="grad-cam"),
        inspecting.channels(folder, "best", picture(), layer="block1", start=0, count=48),
        inspecting.one_channel(folder, "best", picture(), layer="block1", index=3),
        inspecting.stages_of(folder, "best", picture(), ("block1", "block2")),
        inspecting.filters(folder, "best"),
        inspecting.filters(perceptron, "best"),
        inspecting.sensitivity(perceptron, "best", picture(), target=2),
        inspecting.gallery(folder, "best", [0, 5], layer="block3", method="grad-cam"),
    ]
    for answer in answers:
        data = pickle.dumps(answer)
        assert len(data) < 1_000_000
        assert b"torch" not in data


def test_the_gallery_explains_what_each_was_taken_for(folder: Path) -> None:
    told: list[Progress] = []
    indices = [3, 1, 40]
    items = inspecting.gallery(
        folder, "best", indices, layer="block2", method="hirescam", progress=told.append
    )
    assert [item.index for item in items] == indices
    assert [progress.done for progress in told] == [0, 1, 2]
    for item in items:
        shares = inspecting.probabilities(folder, "best", picture(item.index))
        assert item.predicted == shares.argmax()
        assert item.probability == pytest.approx(float(shares.max()))
        assert item.label == picture(item.index).label
        assert (item.pixels == picture(item.index).pixels).all()
        alone = inspecting.maps(
            folder,
            "best",
            picture(item.index),
            target=item.predicted,
            layers=["block2"],
            method="hirescam",
        )
        np.testing.assert_allclose(item.map.values, alone["block2"].values, atol=1e-6)
    with pytest.raises(Cancelled):
        inspecting.gallery(
            folder, "best", indices, layer="block2", method="grad-cam", cancel=lambda: True
        )
