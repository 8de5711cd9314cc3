"""The accuracy on images without a near-copy among those that the run has seen."""

import numpy as np
import pytest

from lab.data.quality.duplicates import copy_groups
from lab.data.splits import Splits
from lab.evaluate.leak_free import known_groups, leak_free, leak_free_values
from lab.evaluate.predictions import Predictions
from tests.data.quality.test_duplicates import make_pack, pictures

LABELS = np.array([0, 1] * 10)
SPLITS = Splits(
    train=np.arange(0, 8), val=np.arange(8, 10), test=np.arange(10, 20), class_weights=None
)


def answers(part: str, wrong: list[int]) -> Predictions:
    indices = SPLITS.test if part == "test" else SPLITS.val
    labels = LABELS[indices]
    said = np.where(np.isin(indices, wrong), 1 - labels, labels)
    return Predictions(
        split=part,
        checkpoint="best",
        epoch=1,
        class_names=("a", "b"),
        indices=indices,
        labels=labels,
        probabilities=np.eye(2, dtype=np.float32)[said],
        losses=np.zeros(len(labels), np.float32),
        train_counts=np.array([4, 4]),
        identity="",
    )


def test_test_images_with_a_copy_in_training_or_validation_are_left_out() -> None:
    groups = np.arange(20)
    groups[12] = 0  # a copy of a training image
    groups[13] = 9  # of a validation image, which chose the epoch
    groups[15] = 14  # two test images of one picture
    honest = leak_free(answers("test", [14, 15]), SPLITS, groups)
    assert (honest.everything.n, honest.everything.right, honest.everything.units) == (10, 8, 9)
    assert (honest.clean.n, honest.clean.right, honest.clean.units) == (8, 6, 7)
    assert honest.leaking == 2
    assert honest.sentence.startswith(
        "2 of the 10 test images (20.0%) are near-copies of images that the run saw. On the other "
        "8, 7 independent pictures, 75.0% are right (95% interval "
    )
    values = leak_free_values(honest)
    assert (values["leak_free"]["accuracy"], values["near_copies"]) == (0.75, 2)


def test_validation_images_are_held_against_training_alone() -> None:
    groups = np.arange(20)
    groups[9] = 8  # both are validation images
    assert leak_free(answers("val", []), SPLITS, groups).leaking == 0
    groups[8] = 3
    honest = leak_free(answers("val", []), SPLITS, groups)
    assert honest.leaking == 1
    groups[9] = 4
    nothing = leak_free(answers("val", []), SPLITS, groups)
    assert nothing.clean.n == 0
    assert "nothing is left" in nothing.sentence
    assert leak_free_values(nothing)["leak_free"]["accuracy"] is None


def test_without_copies_both_are_the_same() -> None:
    honest = leak_free(answers("test", [11]), SPLITS, np.arange(20))
    assert honest.clean == honest.everything
    assert honest.sentence == (
        "None of the 10 test images is a near-copy of an image that the run saw."
    )


@pytest.mark.parametrize("bursts", [None, [i // 2 for i in range(20)]])
def test_known_only_once_somebody_has_looked(bursts: list[int] | None) -> None:
    pack = make_pack(pictures(20), groups=bursts)
    assert known_groups(pack) is None
    copy_groups(pack)
    groups = known_groups(pack)
    assert groups is not None
    assert len(np.unique(groups)) == (20 if bursts is None else 10)
