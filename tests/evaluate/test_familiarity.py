"""Pictures unlike the training pictures are told from those that are like them."""

import os
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog
from lab.errors import DataError, NotFoundError
from lab.evaluate import familiarity
from lab.evaluate.familiarity import (
    Familiarity,
    familiarity_file,
    measure_familiarity,
    saved_familiarity,
)
from lab.evaluate.opened import open_data
from lab.evaluate.pictures import Picture, pack_picture
from lab.progress import Cancelled, Progress
from lab.training.checkpoint import CheckpointMetadata, load_network, publish
from tests.evaluate.test_classify import ask, train
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return train(tmp_path / "r-1", epochs=4)


def judged(folder: Path, known: Familiarity, pictures: list[np.ndarray]) -> list[bool]:
    answers = ask(folder, "best", [Picture(pixels, "a") for pixels in pictures])
    return [known.judge(answer.features).unlike for answer in answers]


@pytest.mark.parametrize("architecture", ["sign-cnn", "mlp", "single-layer-perceptron"])
def test_strange_pictures_raise_the_alarm_more_often_than_test_pictures(
    tmp_path: Path, architecture: str
) -> None:
    folder = train(tmp_path / "r-1", architecture=architecture, epochs=4)
    known = measure_familiarity(folder, "best")
    pack, splits = open_data(CheckpointMetadata.read(folder))
    test = [np.array(pack.images[i]) for i in splits.test]
    of_test = sum(judged(folder, known, test))
    inverted = sum(judged(folder, known, [255 - pixels for pixels in test]))
    rng = np.random.default_rng(0)
    noise = sum(
        judged(folder, known, [rng.integers(0, 256, p.shape, dtype=np.uint8) for p in test])
    )
    # The reported rate is that of the test pictures, counted one by one.
    assert known.test_images == len(test) == 30
    assert known.false_alarms == of_test
    assert known.false_alarm_rate == of_test / 30
    assert of_test <= 12
    assert inverted > max(20, of_test)
    assert noise > max(20, of_test)


def test_the_limit_lets_95_of_100_validation_pictures_pass(run: Path) -> None:
    known = measure_familiarity(run, "best")
    pack, splits = open_data(CheckpointMetadata.read(run))
    answers = ask(run, "best", [pack_picture(pack, int(i)) for i in splits.val])
    distances = np.array([known.judge(answer.features).distance for answer in answers])
    assert known.val_images == len(distances)
    # float32 in batches of another size: the picture that is the limit may sit a hair beside it.
    assert (distances <= known.limit * (1 + 1e-5)).mean() >= 0.95
    assert np.isclose(distances, known.limit, rtol=1e-5).any()


def test_the_distance_is_mahalanobis_with_one_deviation_a_feature() -> None:
    known = Familiarity(
        checkpoint="best",
        identity="x",
        stage="dense",
        class_names=("a", "b", "never seen"),
        means=np.array([[0, 0], [10, 0], [np.nan, np.nan]], dtype=np.float32),
        deviations=np.array([1, 2], dtype=np.float32),
        limit=3.0,
        val_images=20,
        test_images=50,
        false_alarms=3,
    )
    near = known.judge(np.array([8, 2], dtype=np.float32))
    assert near.distance == pytest.approx(5**0.5)
    assert not near.unlike
    far = known.judge(np.array([5, 8], dtype=np.float32))
    assert far.distance == pytest.approx(41**0.5)
    assert far.unlike
    assert far.sentence == (
        "Unlike the training pictures: distance 6.4, and 95% of 20 validation pictures are within "
        "3; 6.0% of 50 test pictures raise this alarm falsely."
    )
    assert near.sentence.startswith("Like the training pictures: distance 2.2,")


def test_means_and_deviations_are_those_within_classes() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 50)
    features = rng.normal(size=(100, 3)).astype(np.float32) * [1, 4, 0] + labels[:, None] * 9
    features = features.astype(np.float32)
    batches = iter([(features[:30], labels[:30]), (features[30:], labels[30:])])
    means, deviations = familiarity._spread(batches, classes=2)
    expected = np.stack([features[labels == k].mean(0) for k in (0, 1)])
    np.testing.assert_allclose(means, expected, rtol=1e-5)
    within = np.sqrt(((features - expected[labels]) ** 2).mean(0))
    np.testing.assert_allclose(deviations[:2], within[:2], rtol=1e-4)
    # A feature that never varies gets the floor, not a division by zero.
    floor = familiarity.FLOOR * np.sqrt((within**2).mean())
    assert deviations[2] == pytest.approx(floor, rel=1e-3)


def test_it_is_saved_and_used_until_the_weights_are_written_anew(run: Path) -> None:
    assert saved_familiarity(run, "best") is None
    known = measure_familiarity(run, "best")
    saved = saved_familiarity(run, "best")
    assert saved is not None
    assert (saved.limit, saved.false_alarms, saved.stage) == (
        known.limit,
        known.false_alarms,
        "dense",
    )
    np.testing.assert_array_equal(saved.means, known.means)
    assert saved_familiarity(run, "last") is None
    network, _ = load_network(run, "best")
    publish(network, run, epoch=9, best=True, kept=False)
    assert saved_familiarity(run, "best") is None
    with pytest.raises(NotFoundError, match="there are: best, last"):
        saved_familiarity(run, "epoch-0001")


def test_a_damaged_file_is_measured_anew(run: Path) -> None:
    measure_familiarity(run, "best")
    file = familiarity_file(run, "best")
    content = file.read_bytes()
    for damaged in (b"", b"no zip", content[: len(content) // 2]):
        file.write_bytes(damaged)
        assert saved_familiarity(run, "best") is None


def test_a_cancelled_measurement_leaves_nothing(run: Path) -> None:
    reports: list[Progress] = []
    with pytest.raises(Cancelled):
        measure_familiarity(run, "best", reports.append, lambda: bool(reports))
    assert len(reports) == 1
    assert not familiarity_file(run, "best").exists()
    measure_familiarity(run, "best", reports.append)
    assert reports[-1].done == reports[-1].total
    assert os.listdir(run / "evaluation") == ["familiarity-best.npz"]


def test_samples_are_limited_balanced_and_always_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(familiarity, "MAX_PICTURES", 12)
    assert measure_familiarity(run, "best").test_images == 12
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    chosen = familiarity._balanced(np.arange(100, 200), labels)
    assert np.bincount(labels[chosen - 100]).tolist() == [5, 5, 2]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, familiarity._balanced(np.arange(100, 200), labels))


def test_a_data_set_that_is_gone_or_another_one_is_told(run: Path) -> None:
    make_tiny_pack(seed=1)
    with pytest.raises(DataError, match="has changed since this run was trained"):
        measure_familiarity(run, "best")
    catalog.remove_dataset("tiny")
    with pytest.raises(NotFoundError, match="Unknown data set 'tiny'"):
        measure_familiarity(run, "best")
    # The network itself does not need it.
    assert ask(run, "best", [Picture(np.zeros((16, 16, 1), np.uint8), "black")])
