"""Which epoch is best, and when it is enough."""

import pytest

from lab.config import RunConfig
from lab.training.counters import Counters


def epochs_until_stop(config: RunConfig, figures: list[tuple[float, float]]) -> int | None:
    """After how many epochs of (validation loss, accuracy) patience runs out; None when never."""
    counters = Counters()
    for loss, accuracy in figures:
        counters.validated(config, loss, accuracy)
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
        by_loss.validated(RunConfig(early_stopping_metric="val_accuracy"), loss, accuracy)
        by_accuracy.validated(RunConfig(best_metric="val_accuracy"), loss, accuracy)
        by_loss.next_epoch()
        by_accuracy.next_epoch()
    assert by_loss.best_epoch == 2
    assert by_accuracy.best_epoch == 5  # epoch 6 ties, with a higher loss


def test_equal_accuracy_is_no_improvement() -> None:
    config = RunConfig().changed(early_stopping_patience=3, early_stopping_metric="val_accuracy")
    assert epochs_until_stop(config, [(0.5 - i / 100, 1.0) for i in range(10)]) == 4
