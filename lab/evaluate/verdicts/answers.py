"""Verdicts from the predictions for single images, and from the number of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lab.data.pack import SPLIT_WORDS
from lab.evaluate.metrics import MAJORITY_SHARE, ONE_CLASS_SHARE
from lab.evaluate.verdicts.evidence import RunEvidence, Verdict, augmented, slower

if TYPE_CHECKING:  # brings torch along
    from lab.evaluate.predictions import Predictions

FEWEST_IMAGES = 20
WIDE = 0.05
"""Half the width of the accuracy's interval above which validation images are too few."""

FLATTERED = 0.03
"""Validation accuracy above test accuracy; a little is the luck of choosing the best epoch."""
FLATTERED_BY_COPIES = 0.01
"""The same where it is known that validation images are near-copies of training images."""
STRADDLING = 0.02
"""Share of validation images with a near-copy in training from which on they are the cause."""

FULLY_SURE = 0.99
OVERSURE = 0.1
"""Mean probability of the answers above their accuracy."""


def one_class(run: RunEvidence, cause: Verdict | None = None) -> Verdict | None:
    """(Nearly) every image is given the same class, while the images are of several. `cause` is the
    verdict that explains it, if there is one."""
    predictions = run.predictions
    if predictions is None or len(predictions) < FEWEST_IMAGES:
        return None
    classes, n = len(predictions.class_names), len(predictions)
    answers = np.bincount(predictions.predicted, minlength=classes)
    images = np.bincount(predictions.labels, minlength=classes)
    favourite = int(answers.argmax())
    most, own = int(answers[favourite]), int(images[favourite])
    if own == n or most <= ONE_CLASS_SHARE * n or (most < n and own >= MAJORITY_SHARE * n):
        return None
    suggestion, change = _against_one_class(run, predictions.train_counts, cause)
    right = float(np.mean(predictions.right))
    return Verdict(
        "one_class",
        f"The network answers “{predictions.class_names[favourite]}” to "
        f"{'every image' if most == n else f'{most / n:.1%} of the images'}: its accuracy of "
        f"{right:.1%} says only how many images belong to that class.",
        f"Of {_made_from(predictions)}, {most:,} were given that class and {own:,} belong to it.",
        suggestion,
        change,
    )


def _against_one_class(
    run: RunEvidence, counts: npt.NDArray[np.int64], cause: Verdict | None
) -> tuple[str, dict[str, Any]]:
    if cause is not None:
        return "The verdict above tells the likelier cause; mend that first.", {}
    if counts.max() > 1.5 * max(1, counts.min()) and run.config.class_balancing == "none":
        return (
            f"The training images are unequal: {int(counts.max()):,} of the most frequent class, "
            f"{int(counts.min()):,} of the rarest. Draw the rare classes' images more often.",
            {"class_balancing": "oversampling"},
        )
    if len(run.epochs["train_loss"]) < 3:
        longer = {"epochs": max(5, 2 * run.config.epochs)}
        return "It has hardly begun: train longer before judging it.", longer
    return (
        "Let the finder on the Train page look for a rate at which the loss falls: too long and "
        "too short a step both end here.",
        {},
    )


def saturated_softmax(run: RunEvidence) -> Verdict | None:
    """Wrong, and fully sure of it, most of the time that it is wrong.

    See C. Guo et al., "On calibration of modern neural networks" (ICML 2017).
    """
    predictions = run.predictions
    if predictions is None or len(predictions) < FEWEST_IMAGES:
        return None
    sureness = predictions.probabilities.max(axis=1)
    right = predictions.right
    wrong = int(np.count_nonzero(~right))
    if wrong < 10:
        return None
    sure_and_wrong = int(np.count_nonzero(sureness[~right] > FULLY_SURE))
    mean, accuracy = float(sureness.mean()), float(right.mean())
    if sure_and_wrong < 0.5 * wrong or mean - accuracy < OVERSURE:
        return None
    config = run.config
    optimizer = "adamw" if config.optimizer == "adam" else config.optimizer
    decay = 0.05 if optimizer == "adamw" else 1e-3
    change: dict[str, Any] = {"optimizer": optimizer, "weight_decay": decay}
    if config.weight_decay >= decay:
        change = slower(run.rate())
    return Verdict(
        "saturated_softmax",
        "The softmax is saturated: the network is fully sure even where it is wrong, so its "
        "probabilities say nothing, and a wrong answer can hardly be unlearned.",
        f"Of {_made_from(predictions)}, {wrong:,} are wrong, and {sure_and_wrong:,} of those were "
        f"given a probability above {FULLY_SURE:.0%}. On average the answers claim {mean:.1%}; "
        f"{accuracy:.1%} are right.",
        "Weight decay keeps the logits small."
        if "weight_decay" in change
        else "Take a tenth of the rate.",
        change,
    )


def small_validation(run: RunEvidence) -> Verdict | None:
    """So few validation images that chance decides which epoch looks best."""
    epochs = run.epochs
    if not run.val_samples or not len(epochs["val_accuracy"]):
        return None
    best = float(np.nanmax(epochs["val_accuracy"]))
    low, high = run.val_interval(best)
    if (high - low) / 2 <= WIDE:
        return None
    config = run.config
    own = not run.train_samples or _brings_validation(run)
    bigger = min(0.5, round(2 * config.validation_fraction, 2))
    change = {} if own or bigger <= config.validation_fraction else {"validation_fraction": bigger}
    return Verdict(
        "small_validation",
        f"{run.val_images} are few: chance alone moves their accuracy by "
        f"{50 * (high - low):.1f} points either way, so the “best” epoch may just be the luckiest.",
        f"The highest validation accuracy of an epoch is {best:.1%}: 95% interval {low:.1%} to "
        f"{high:.1%} (Wilson).",
        f"Set {bigger:.0%} of the training images aside. It costs training images; more images "
        "in all would be better."
        if change
        else "Only more validation images help; do not read much into small differences.",
        change,
    )


def flattering_validation(run: RunEvidence) -> Verdict | None:
    """The kept weights answer the test images worse than the validation images, by more than chance
    allows: so the two are not of one kind. Near-copies of training images in validation, or another
    source. Where near-copies are known to lie on both sides of the cut, a smaller gap will do."""
    epochs, test = run.epochs, run.test_accuracy
    best = np.flatnonzero(epochs.epoch == run.best_epoch)
    if test is None or not run.test_samples or not run.val_samples or not len(best):
        return None
    val = float(epochs["val_accuracy"][best[0]])
    (low, _), (_, high) = run.val_interval(val), run.test_interval(test)
    straddling = run.copies is not None and run.copies.straddling >= STRADDLING
    if high >= low or val - test < (FLATTERED_BY_COPIES if straddling else FLATTERED):
        return None
    evidence = (
        f"{run.val_samples:,} validation and {run.test_samples:,} test images, the weights of "
        f"epoch {run.best_epoch}: the 95% intervals (Wilson) lie apart, {low:.1%} and up against "
        f"{high:.1%} and down."
    )
    cause = (
        "They are probably much like the training images (pictures of one series, copies), and the "
        "test images are not."
    )
    if run.copies is not None and straddling:
        cause = (
            f"{run.copies.straddling:.1%} of them are near-copies of training images, so they show "
            "what was learned by heart."
        )
        evidence += " Near-copies are those that the Data page's check found."
    suggestion, change = _against_flattery(run, straddling=straddling)
    return Verdict(
        "flattering_validation",
        f"The validation images flatter: {val:.1%} of them are answered right, but only "
        f"{test:.1%} of the test images. {cause}",
        evidence,
        suggestion,
        change,
    )


def _against_flattery(run: RunEvidence, *, straddling: bool) -> tuple[str, dict[str, Any]]:
    config = run.config
    unknown = run.copies is None
    if config.split_by == "image" and not _brings_validation(run) and (straddling or unknown):
        return (
            "Believe the test accuracy. The honest split keeps copies and near-copies of one "
            "picture on one side"
            + (", and looks for them first." if unknown else "; validation then tells the truth."),
            {"split_by": "group"},
        )
    if config.augments:
        return (
            "Believe the test accuracy; only validation images like the test images would help.",
            {},
        )
    return (
        "Believe the test accuracy. Augmentation makes training images less like their copies.",
        augmented(config),
    )


def _brings_validation(run: RunEvidence) -> bool:
    """Whether the data set has validation images of its own: their share is then mostly another one
    than the knob's, which is not used."""
    share = run.val_samples / max(1, run.val_samples + run.train_samples)
    return bool(run.train_samples) and abs(share - run.config.validation_fraction) > 0.02


def _made_from(predictions: Predictions) -> str:
    epoch = "" if predictions.epoch is None else f", after epoch {predictions.epoch}"
    return f"{len(predictions):,} {SPLIT_WORDS[predictions.split]} images{epoch}"
