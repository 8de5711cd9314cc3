"""The same image through runs of other sizes and channels, and where runs disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import ConfigError, DataError
from lab.evaluate.opened import PublishedNetwork
from lab.evaluate.pictures import pack_picture, upload_picture
from lab.evaluate.predictions import Predictions
from lab.evaluate.side_by_side import (
    agreement,
    disagreement,
    picture_for,
    view_of,
)
from lab.training.checkpoint import CheckpointMetadata
from lab.training.control import Control
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A network with places, one without, one of another image size, one on another data set."""
    tiny, other = make_tiny_pack(), make_tiny_pack("other", seed=5)
    knobs = {
        "cnn": {"dataset": tiny, "architecture": "sign-cnn"},
        "mlp": {"dataset": tiny, "architecture": "single-layer-perceptron"},
        "large": {"dataset": tiny, "architecture": "simple-cnn", "image_size": 24},
        "other": {"dataset": other, "architecture": "sign-cnn"},
        "other-large": {"dataset": other, "architecture": "sign-cnn", "image_size": 24},
    }
    found = {}
    for name, chosen in knobs.items():
        found[name] = tmp_path / name
        found[name].mkdir()
        config = RunConfig(epochs=1, **chosen)  # type: ignore[arg-type]
        list(fit(make_plan(config, folder=found[name]), Control()))
    return found


def test_views_of_one_image(folders: dict[str, Path]) -> None:
    picture = pack_picture(catalog.open_pack("tiny"), 100)
    views = {
        name: view_of(
            PublishedNetwork.newest(folders[name], "best"), picture, reference=folders["cnn"]
        )
        for name in ("cnn", "mlp", "large")
    }
    assert all(view.probabilities.sum() == pytest.approx(1) for view in views.values())
    assert all(view.target == view.answer for view in views.values())
    assert all(view.epoch == 1 for view in views.values())
    cnn, mlp, large = views["cnn"], views["mlp"], views["large"]
    assert cnn.map is not None
    assert cnn.map.layer == "block3"
    assert cnn.map.values.shape == (2, 2)
    assert cnn.stage is not None
    assert mlp.map is None
    assert mlp.stage is None
    assert large.map is not None
    assert large.map.values.shape == (3, 3)
    assert large.pixels.shape == (24, 24, 1)
    explained = view_of(
        PublishedNetwork.newest(folders["cnn"], "best"), picture, reference=folders["cnn"], target=2
    )
    assert explained.target == 2


def test_another_size_comes_from_that_run_s_own_pack(folders: dict[str, Path]) -> None:
    pack = catalog.open_pack("tiny")
    picture = pack_picture(pack, 7)
    assert picture_for(folders["mlp"], picture, reference=folders["cnn"]) is picture
    large = picture_for(folders["large"], picture, reference=folders["cnn"])
    assert np.array_equal(large.pixels, catalog.open_pack("tiny", image_size=24).images[7])
    assert large.label == picture.label
    back = picture_for(folders["cnn"], large, reference=folders["large"])
    assert np.array_equal(back.pixels, picture.pixels)


def test_another_data_set_takes_the_pixels_only_where_they_fit(folders: dict[str, Path]) -> None:
    picture = pack_picture(catalog.open_pack("tiny"), 7)
    assert picture_for(folders["other"], picture, reference=folders["cnn"]) is picture
    with pytest.raises(DataError, match="another data set, with images of 24 pixels instead of 16"):
        picture_for(folders["other-large"], picture, reference=folders["cnn"])


def test_an_upload_is_made_anew_from_the_original(folders: dict[str, Path]) -> None:
    original = Image.effect_noise((50, 40), 60).convert("RGB")
    picture = upload_picture(original, CheckpointMetadata.read(folders["cnn"]), name="mine.png")
    large = picture_for(folders["large"], picture, reference=folders["cnn"], original=original)
    assert large.pixels.shape == (24, 24, 1)
    assert large.name == "mine.png"
    assert picture_for(folders["mlp"], picture, reference=folders["cnn"]) is picture
    with pytest.raises(DataError, match="Choose the picture again"):
        picture_for(folders["large"], picture, reference=folders["cnn"])


def test_the_sentence_of_agreement() -> None:
    assert agreement({"A": ("cat", 0.9)}, None) == "A says cat with 90.0%."
    assert agreement({"A": ("cat", 0.9), "B": ("cat", 0.6)}, "dog") == (
        "Both say cat, with 60.0% to 90.0%. It is dog."
    )
    assert agreement({"A": ("cat", 1.0), "B": ("cat", 1.0), "C": ("cat", 1.0)}, None) == (
        "All 3 say cat, with >99.9%."
    )
    answers = {"A": ("cat", 0.9), "B": ("dog", 0.6), "C": ("cat", 0.5)}
    assert agreement(answers, "cat") == "They disagree: A and C say cat; B says dog. It is cat."


def predictions(indices: list[int], shares: list[list[float]]) -> Predictions:
    return Predictions(
        split="test",
        checkpoint="best",
        epoch=1,
        class_names=("a", "b", "c"),
        indices=np.array(indices),
        labels=np.array(indices) % 3,
        probabilities=np.array(shares, dtype=np.float32),
        losses=np.zeros(len(indices), dtype=np.float32),
        train_counts=np.ones(3, dtype=np.int64),
        identity="",
    )


def test_disagreement_comes_first() -> None:
    one = predictions([3, 4, 5, 6], [[0.9, 0.1, 0], [0.9, 0.1, 0], [0.6, 0.4, 0], [0.5, 0.3, 0.2]])
    other = predictions([4, 5, 6, 9], [[0.5, 0.4, 0.1], [0.4, 0.6, 0], [0.5, 0.3, 0.2], [1, 0, 0]])
    found = disagreement([one, other])
    # 3 and 9 are not in both; 5 has two answers; 4 and 6 one, 4 with other probabilities.
    assert found.indices.tolist() == [5, 4, 6]
    assert found.labels.tolist() == [2, 1, 0]
    assert found.differ.tolist() == [True, False, False]
    assert found.answers.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert found.sure[:, 0].tolist() == pytest.approx([0.6, 0.6])
    assert found.difference.tolist() == pytest.approx([0.2, 0.4, 0.0])


def test_three_answers_come_before_two() -> None:
    runs = [
        predictions([0, 1], [[1, 0, 0], [0.4, 0.3, 0.3]]),
        predictions([0, 1], [[0, 1, 0], [0.3, 0.4, 0.3]]),
        predictions([0, 1], [[1, 0, 0], [0.3, 0.3, 0.4]]),
    ]
    found = disagreement(runs)
    assert found.indices.tolist() == [1, 0]
    assert found.difference.tolist() == pytest.approx([0.1, 1.0])


def test_what_cannot_be_compared() -> None:
    one = predictions([0], [[1, 0, 0]])
    with pytest.raises(ValueError, match="two runs"):
        disagreement([one])
    with pytest.raises(ConfigError, match="no image of this part in common"):
        disagreement([one, predictions([1], [[1, 0, 0]])])
