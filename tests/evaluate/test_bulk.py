"""Many picture files at once: in order, each with the answer that it gets alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.errors import DataError, NotFoundError
from lab.evaluate.bulk import AHEAD, MOST_THREADS, classify_files, find_pictures
from lab.evaluate.classify import answer, uploaded
from lab.evaluate.familiarity import measure_familiarity
from lab.evaluate.opened import open_own_network
from lab.evaluate.pictures import Crop
from tests.evaluate.test_classify import train


def photographs(folder: Path, count: int) -> list[str]:
    """Writes pictures of several sizes, shapes and formats."""
    generator = np.random.default_rng(5)
    names = []
    for number in range(count):
        height, width = generator.integers(20, 90, 2)
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        file = folder / f"{number:02}.{('png', 'jpg', 'webp')[number % 3]}"
        (image.convert("L") if number % 4 == 0 else image).save(file)
        names.append(str(file))
    return names


@pytest.mark.parametrize(
    ("architecture", "crop"), [("sign-cnn", None), ("single-layer-perceptron", Crop(0.3, 0.6, 0.5))]
)
def test_the_answers_are_those_of_one_picture_alone(
    tmp_path: Path, architecture: str, crop: Crop | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(tmp_path / "r-1", architecture=architecture)
    monkeypatch.setattr("lab.evaluate.bulk.eval_batch_size", lambda *_: 4)
    names = photographs(tmp_path, 10)
    names.insert(3, str(tmp_path / "gone.png"))
    familiarity = measure_familiarity(folder, "best")
    opened = open_own_network(folder, "best")
    answers = list(classify_files(opened, names, crop=crop, familiarity=familiarity))
    plain = list(classify_files(opened, names, crop=crop))
    assert [each.name for each in answers] == names
    assert answers[3].error == "is not there"
    assert answers[3].probabilities is None
    for each, bare in zip(answers, plain, strict=True):
        if each.error:
            continue
        data = Path(each.name).read_bytes()
        alone = answer(opened, uploaded(data, opened.card, name=each.name, crop=crop))
        np.testing.assert_allclose(each.probabilities, alone.probabilities, atol=1e-6)
        np.testing.assert_allclose(bare.probabilities, alone.probabilities, atol=1e-6)
        assert each.predicted_class == alone.predicted_class
        assert each.familiarity is not None
        judged = familiarity.judge(alone.features)
        assert each.familiarity.distance == pytest.approx(judged.distance, abs=1e-5)
        assert bare.familiarity is None


def test_only_a_few_batches_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.evaluate.bulk.eval_batch_size", lambda *_: 2)
    opened = open_own_network(train(tmp_path / "r-1"), "best")
    [name] = photographs(tmp_path, 1)
    asked = 0

    def names() -> Iterator[str]:
        nonlocal asked
        for _ in range(10_000):
            asked += 1
            yield name

    answers = classify_files(opened, names())
    for _ in range(5):
        next(answers)
    assert asked <= 2 * (AHEAD * MOST_THREADS + 3)
    answers.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_weights_without_numbers_are_refused(tmp_path: Path) -> None:
    opened = open_own_network(train(tmp_path / "r-1"), "best")
    with torch.no_grad():
        next(iter(opened.network.parameters())).fill_(float("nan"))
    with pytest.raises(DataError, match="the training diverged"):
        list(classify_files(opened, photographs(tmp_path, 1)))


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no picture in"):
        find_pictures([tmp_path])
    assert find_pictures(["none-[ab].png"]) == ["none-[ab].png"]
