"""The formulas, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from lab.data.batches import Batch
from lab.metrics import METRICS, metrics_of
from lab.training.metrics import FORMULAS, StepMetrics, Tally, of_batch, read

LOGITS = torch.tensor(
    [
        [9.0, 8, 7, 6, 5, 4, 3],  # class 0 first, class 4 fifth, class 5 sixth
        [0.0, 1, 2, 3, 4, 5, 6],
        [1.0, 1, 1, 1, 1, 1, 1],
        [math.nan] * 7,
    ]
)


@pytest.mark.parametrize(
    ("labels", "top5", "first"),
    [
        ([0, 6, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]),  # argmax takes the first of equals
        ([4, 2, 6, 6], [1, 1, 1, 0], [0, 0, 0, 0]),
        ([5, 1, 3, 1], [0, 0, 1, 0], [0, 0, 0, 0]),
    ],
)
def test_top_5_and_top_1(labels: list[int], top5: list[int], first: list[int]) -> None:
    told = FORMULAS["top5_accuracy"](LOGITS, torch.tensor(labels))
    assert told.tolist() == top5
    told = FORMULAS["accuracy"](LOGITS[:3], torch.tensor(labels[:3]))
    assert told.tolist() == first[:3]


def test_cross_entropy_is_minus_the_logarithm_of_the_probability() -> None:
    labels = torch.tensor([0, 0, 3])
    told = FORMULAS["loss"](LOGITS[:3], labels)
    probabilities = LOGITS[:3].softmax(1)[torch.arange(3), labels]
    torch.testing.assert_close(told, -probabilities.log())
    assert told[2] == pytest.approx(math.log(7))


def told_of(answers: list[int], labels: list[int], *, classes: int, batch: int) -> dict[str, float]:
    """The metrics of a network that answers so, in batches of `batch`."""
    logits = torch.nn.functional.one_hot(torch.tensor(answers), classes).float()
    tally = Tally(metrics_of(classes), classes=classes)
    for i in range(0, len(labels), batch):
        part = Batch(logits[i : i + batch], torch.tensor(labels[i : i + batch]), np.arange(1))
        tally.add(lambda images: images, part)  # which are the logits
    assert tally.samples == len(labels)
    return tally.values()


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_macro_recall_counts_a_rare_class_as_much_as_a_common_one(batch: int) -> None:
    # Eight of class 0, all right; two of class 1, both wrong; class 2 has no image.
    labels = [0] * 8 + [1] * 2
    told = told_of([0] * 10, labels, classes=3, batch=batch)
    assert told["accuracy"] == pytest.approx(0.8)
    assert told["macro_recall"] == pytest.approx(0.5)
    assert set(told) == {"loss", "accuracy", "macro_recall"}


def test_averages_do_not_depend_on_the_batches() -> None:
    answers, labels = [0, 1, 2, 3, 4, 5, 6, 0, 1, 2], [0, 1, 1, 3, 3, 5, 5, 6, 1, 6]
    whole = told_of(answers, labels, classes=7, batch=10)
    assert whole["accuracy"] == pytest.approx(0.5)
    assert whole["macro_recall"] == pytest.approx((1 + 2 / 3 + 1 / 2 + 1 / 2 + 0) / 5)
    for batch in (1, 4):
        assert told_of(answers, labels, classes=7, batch=batch) == pytest.approx(whole)


def test_no_images_at_all() -> None:
    told = Tally(metrics_of(2), classes=2).values()
    assert told == {"loss": 0.0, "accuracy": 0.0, "macro_recall": 0.0}


def test_steps_are_read_as_sums_over_their_samples() -> None:
    metrics = [METRICS[name] for name in ("loss", "accuracy", "top5_accuracy")]
    labels = torch.tensor([0, 1, 3])
    loss = torch.tensor(0.7)
    numbers = of_batch(metrics, loss, LOGITS[:3], labels)
    steps = [StepMetrics(1, numbers, 3, 0.1), StepMetrics(2, numbers * 0, 2, 0.1)]
    first, second = read(metrics, steps)
    assert first == {"loss": loss.item() * 3, "accuracy": 1.0, "top5_accuracy": 2.0}
    assert second == {"loss": 0.0, "accuracy": 0.0, "top5_accuracy": 0.0}
