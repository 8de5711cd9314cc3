"""Judges a run: statements in words, each with its numbers and one thing to try.

    curves      loss and accuracy, step by step and epoch by epoch
    layers      gradients, updates, silent units (if sampled)
    answers     to the images of one part (if predicted), and the
                test accuracy beside the validation one (once tested)

Pure functions, careful rather than clever: a verdict comes only with its evidence,
and not where another one explains it. The limits are named constants beside their rules. Imports no
torch: pages that show a run must not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.config import RunConfig
from lab.evaluate.verdicts.answers import (
    flattering_validation,
    one_class,
    saturated_softmax,
    small_validation,
)
from lab.evaluate.verdicts.curves import (
    diverged,
    overfitting,
    plateau,
    rate_too_high,
    rate_too_low,
    second_phase,
    underfitting,
)
from lab.evaluate.verdicts.evidence import Copies, Epochs, Kind, RunEvidence, Steps, Verdict
from lab.evaluate.verdicts.layers import dead_units, exploding_gradients, vanishing_gradients

if TYPE_CHECKING:
    from lab.evaluate.predictions import Predictions
    from lab.training.watch.layer_file import LayerHistory

__all__ = ["TITLES", "Epochs", "Kind", "Steps", "Verdict", "vanishing_gradients", "verdicts"]

TITLES: dict[Kind, str] = {
    "vanishing_gradients": "Vanishing gradients",
    "exploding": "Exploding",
    "dead_units": "Silent units",
    "overfitting": "Overfitting",
    "underfitting": "Underfitting",
    "rate_too_high": "Learning rate too high",
    "rate_too_low": "Learning rate too low",
    "one_class": "One answer to everything",
    "small_validation": "Small validation set",
    "flattering_validation": "Validation flatters",
    "plateau": "Standing still",
    "saturated_softmax": "Too sure",
    "second_phase": "Second phase in vain",
}
"""Of every kind of verdict, for people."""


def verdicts(
    config: RunConfig,
    epochs: Epochs,
    steps: Steps,
    *,
    layers: LayerHistory | None,
    predictions: Predictions | None,
    val_samples: int,
    train_samples: int = 0,
    classes: int = 0,
    best_epoch: int | None = None,
    test_samples: int = 0,
    test_accuracy: float | None = None,
    copies: Copies | None = None,
    ended: bool = True,
    diverged_message: str = "",
    rate_changes: tuple[tuple[int, float], ...] = (),
) -> tuple[Verdict, ...]:
    """Returns the verdicts on a run, the most pressing first; empty when nothing stands out.

    `classes` is how many the run tells apart (0: unknown, then no rule compares with guessing);
    `ended`: it will not go on by itself; `diverged_message`: its closing sentence if its loss
    became no number; `rate_changes`: (step, learning rate) of live changes.
    """
    run = RunEvidence(
        config=config,
        epochs=epochs,
        steps=steps,
        layers=layers,
        predictions=predictions,
        val_samples=val_samples,
        train_samples=train_samples,
        classes=classes,
        best_epoch=best_epoch,
        test_samples=test_samples,
        test_accuracy=test_accuracy,
        copies=copies,
        ended=ended,
        diverged=diverged_message,
        rate_changes=rate_changes,
    )
    exploding = diverged(run) or exploding_gradients(run)
    thrown = exploding or rate_too_high(run)
    fading = None if exploding else vanishing_gradients(config, layers)
    dead = None if exploding else dead_units(run)
    slow = None if thrown or fading else rate_too_low(run)
    same = one_class(run, thrown or fading or dead or slow)
    learned_too_well = None if thrown else overfitting(run)
    causes = (thrown, fading, dead, slow, same)
    explained = any(causes) or learned_too_well
    unable = None if explained else underfitting(run)
    still = None if unable or explained else plateau(run)
    oversure = None if same else saturated_softmax(run)
    in_vain = None if thrown else second_phase(run)
    flattered, few = flattering_validation(run), small_validation(run)
    candidates = (
        *(*causes, unable, learned_too_well, still, in_vain),
        *(flattered, oversure, few),
    )
    return tuple(verdict for verdict in candidates if verdict is not None)
