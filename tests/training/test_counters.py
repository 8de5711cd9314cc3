"""Which epoch is best, and when it is enough."""

import json

import pytest

from lab.config import RunConfig
from lab.training.announcements import stopped_early
from lab.training.counters import Counters


def epochs_until_stop(config: RunConfig, figures: list[tuple[float, float]]) -> int | None:
    """After how many epochs of (validation loss, accuracy) patience runs out; None when never."""
    counters = Counters()
    for loss, accuracy in figures:
        counters.validated(config, {"loss": loss, "accuracy": accuracy})
        if counters.epochs_without_improvement >= config.early_stopping_patience:
            return counters.epoch
        counters.next_epoch()
    return None


# Overfitting: the loss turns upwards after epoch 2 while accuracy still creeps up until epoch 5.
OVERFITTING = [(0.6, 0.70), (0.5, 0.75), (0.55, 0.76), (0.6, 0.77), (0.7, 0.78), (0.8, 0.78)]


@pytest.mark.parametrize(("metric", "stopped_after"), [("val_loss", 4), ("val_accuracy", None)])
def test_early_stopping_watches_its_own_figure(metric: str, stopped_after: int | None) -> None:
    config = RunConfig().changed(early_stopping_patience=2, early_stopping_metric=metric)
    assert epochs_until_stop(config, OVERFITTING) == stopped_after


def test_the_best_epoch_is_chosen_by_the_other_knob() -> None:
    by_loss, by_accuracy = Counters(), Counters()
    for loss, accuracy in OVERFITTING:
        by_loss.validated(
            RunConfig(early_stopping_metric="val_accuracy"), {"loss": loss, "accuracy": accuracy}
        )
        by_accuracy.validated(
            RunConfig(best_metric="val_accuracy"), {"loss": loss, "accuracy": accuracy}
        )
        by_loss.next_epoch()
        by_accuracy.next_epoch()
    assert by_loss.best_epoch == 2
    assert by_accuracy.best_epoch == 5  # epoch 6 ties, with a higher loss


def test_early_stopping_names_the_best_epoch_by_what_it_watches() -> None:
    config = RunConfig(early_stopping_patience=2, early_stopping_metric="val_loss")
    config = config.changed(best_metric="val_accuracy")
    counters = Counters()
    for loss, accuracy in OVERFITTING[:4]:
        counters.validated(config, {"loss": loss, "accuracy": accuracy})
        if counters.epochs_without_improvement < 2:
            counters.next_epoch()
    assert (counters.epoch, counters.best_epoch, counters.stopping_epoch) == (4, 4, 2)
    said = stopped_early(config, counters).text
    assert said == (
        "Early stopping: validation loss has not improved for 2 epochs (best was epoch 2)."
    )


def test_equal_accuracy_is_no_improvement() -> None:
    config = RunConfig().changed(early_stopping_patience=3, early_stopping_metric="val_accuracy")
    assert epochs_until_stop(config, [(0.5 - i / 100, 1.0) for i in range(10)]) == 4


def test_what_an_earlier_version_saved_goes_on() -> None:
    saved = {
        "epoch": 2, "step_in_epoch": 3, "step": 13, "loss_sum": 24.0, "correct": 30, "samples": 48,
        "best_epoch": 1, "best_val_loss": 0.5, "best_val_accuracy": 0.75,
    }  # fmt: skip
    counters = Counters.from_json(json.dumps(saved))
    assert counters.train == {"loss": 0.5, "accuracy": 30 / 48}
    assert counters.best_val == {"loss": 0.5, "accuracy": 0.75}
    # The first steps of this epoch did not measure it, so it has no average here ...
    counters.add({"loss": 16.0, "accuracy": 10.0, "top5_accuracy": 16.0}, 16)
    assert counters.train == {"loss": 40 / 64, "accuracy": 40 / 64}
    counters.next_epoch()  # ... but from the next one on.
    counters.add({"loss": 16.0, "accuracy": 10.0, "top5_accuracy": 16.0}, 16)
    assert counters.train == {"loss": 1.0, "accuracy": 10 / 16, "top5_accuracy": 1.0}
    assert Counters.from_json(counters.to_json()) == counters


def test_any_metric_may_choose_by_its_own_direction() -> None:
    recall = {"loss": 0.9, "accuracy": 0.8, "macro_recall": 0.6}
    better = {"loss": 1.1, "accuracy": 0.7, "macro_recall": 0.7}
    worse = {"loss": 0.1, "accuracy": 0.9, "macro_recall": 0.5}
    config = RunConfig().model_copy(update={"best_metric": "val_macro_recall"})
    counters = Counters()
    assert [counters.validated(config, val) for val in (recall, better, worse)] == [
        True, True, False,
    ]  # fmt: skip
