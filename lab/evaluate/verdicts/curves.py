"""Verdicts from the curves: loss and accuracy, step by step and epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.config import KNOBS, RunConfig
from lab.evaluate.verdicts.evidence import (
    Column,
    RunEvidence,
    Verdict,
    augmented,
    faster,
    slower,
    times,
)
from lab.evaluate.verdicts.layers import update_ratio
from lab.words import percent

THROWN = 3.0
"""A batch's loss over that of guessing at which the network was thrown off."""

WORSE_THAN_GUESSING = 1.5

CAME_BACK = 0.98
"""Share of guessing's loss below which a network that was thrown off once has come back."""

SAME_RATE = 2.0
"""Largest over smallest rate of the epochs up to which the run counts as one at a single rate."""

FELL = 0.01
"""Drop of the validation accuracy that counts as worse, where chance allows no more."""

EPOCHS_AFTER_BEST = 3
"""Epochs for which validation must get worse while training gets better."""

GAP = 0.1
"""Difference of training and validation accuracy that counts as overfitting."""

FITS = 0.9
"""A network that knows its training images to this accuracy is large enough for them."""

FLAT = 0.03
"""Change of the training loss, as a share of it, that counts as none over a third of the run."""

FEWEST_FLAT = 8
"""Epochs before a flat loss counts as the end: some networks hesitate before they learn."""

STANDSTILL = 0.01

TINY_UPDATE, NO_UPDATE = 3e-4, 3e-5
"""Of the weights' length in one step; about 1e-3 is usual while a network learns."""


def diverged(run: RunEvidence) -> Verdict | None:
    """A run that failed because its loss was no number."""
    if not run.diverged:
        return None
    losses = run.steps["loss"]
    before = f" The last losses before were {_listed(losses[-3:])}." if len(losses) else ""
    return Verdict(
        "exploding",
        "The loss grew until it was no number any more: the steps threw the weights further and "
        "further.",
        f"{run.diverged.split('. ')[0]}.{before}",
        "Clip the gradient at a length of 1 and take a tenth of the rate.",
        {**slower(run.rate()), "gradient_clip": 1.0},
    )


def rate_too_high(run: RunEvidence) -> Verdict | None:
    """A loss that was thrown far above guessing and has not come back below it.

    One bad batch from which the network recovers is no reason for another rate.
    """
    guess, losses = run.guessing, run.steps["loss"]
    epochs = run.epochs
    if guess is None or not len(epochs["train_loss"]) or not len(losses):
        return None
    last = float(epochs["train_loss"][-1])
    highest = int(np.nanargmax(losses))
    thrown = losses[highest] > max(THROWN * guess, 1.5 * losses[0]) and last > 0.9 * guess
    if thrown and last < CAME_BACK * guess and last <= np.nanmin(epochs["train_loss"]):
        return None  # below guessing, and still falling
    if not thrown and not last > max(WORSE_THAN_GUESSING * guess, float(losses[0])):
        return None
    rate = run.rate(int(run.steps.step[highest]))
    return Verdict(
        "rate_too_high",
        f"The learning rate of {rate:g} is too high: the steps threw the "
        f"network off, and its loss is {'still' if thrown else 'now'} no lower than guessing's, or "
        "hardly.",
        f"Guessing among {run.classes} classes costs a loss of {guess:.3g}. The first batch had "
        f"{losses[0]:.3g}, the worst one {losses[highest]:.3g} (step {run.steps.step[highest]:,}),"
        f" and the mean of epoch {epochs.epoch[-1]} is {last:.3g}.",
        "Take a tenth of the rate, or let the finder on the Train page look for one.",
        slower(rate),
    )


def rate_too_low(run: RunEvidence) -> Verdict | None:
    """A training loss that falls straight and slowly: every step in the right direction, none far.

    Where layers were sampled their steps must be short as well; where those are next to nothing,
    that the loss hardly moves is enough. Not while a schedule moves the rate, nor where one batch
    threw the loss far up: longer steps would do so more often.
    """
    losses, guess = run.epochs["train_loss"], run.guessing
    n = len(losses)
    if guess is None or n < 3 or not losses[-1] > 0.6 * guess or _rate_moved(run):
        return None
    if len(run.steps["loss"]) and np.nanmax(run.steps["loss"]) > THROWN * guess:
        return None
    falls = losses[:-1] - losses[1:]
    fall = float(losses[0] - losses[-1])
    ratio = update_ratio(run.layers)
    if abs(fall) > 0.3 * losses[0] or (ratio is not None and ratio > TINY_UPDATE):
        return None
    if ratio is not None and ratio < NO_UPDATE:
        how = "the weights hardly move, and so does the loss"
    elif _straight_down(losses):
        how = "the loss falls in a straight line, so slowly that most of the training is waiting"
    else:
        return None
    moved = "" if ratio is None else f" One step moves the weights by {ratio:.1e} of their length."
    return Verdict(
        "rate_too_low",
        f"The learning rate of {run.rate():g} is too low: {how}.",
        f"Training loss {losses[0]:.4g} in epoch {run.epochs.epoch[0]}, {losses[-1]:.4g} in epoch "
        f"{run.epochs.epoch[-1]}; it fell in {np.count_nonzero(falls > 0)} of {n - 1} epochs. "
        f"Guessing costs {guess:.3g}.{moved}",
        "Take ten times the rate, or let the finder on the Train page look for one.",
        faster(run.rate()),
    )


def overfitting(run: RunEvidence) -> Verdict | None:
    """Validation gets worse while training gets better, or training is known by heart."""
    epochs, n = run.epochs, len(run.epochs["val_loss"])
    if n < 1 + EPOCHS_AFTER_BEST or run.val_samples < 20:
        return None
    best = int(np.nanargmin(epochs["val_loss"]))
    now = float(np.mean(epochs["val_loss"][-2:]))
    train, val = float(epochs["train_accuracy"][-1]), float(epochs["val_accuracy"][-1])
    low, high = run.val_interval(val)
    rises = (
        n - 1 - best >= EPOCHS_AFTER_BEST
        and now > 1.1 * epochs["val_loss"][best]
        and epochs["train_loss"][-1] < 0.9 * epochs["train_loss"][best]
        and train > val
    )
    by_heart = n >= 5 and train > FITS and train - val > max(GAP, high - low)
    if not rises and not by_heart:
        return None
    sentence = "The network learns its training images by heart instead of what they share"
    evidence = (
        f"Epoch {epochs.epoch[-1]}: {train:.1%} of the training images right, {val:.1%} of the "
        f"{run.val_samples:,} validation images (95% interval {low:.1%} to {high:.1%})."
    )
    if rises:
        before, after = (float(np.mean(epochs["val_accuracy"][rows])) for rows in (best, [-2, -1]))
        since = f": since epoch {epochs.epoch[best]}"
        # Of two shares of the same images, which are right and wrong together for the most part.
        if before - after > max(FELL, (high - low) / 4):
            sentence += f"{since} it gets worse on images it has not seen"
        else:
            sentence += (
                f"{since} its validation loss rises, because wrong answers become surer; how many "
                "are right stays level"
            )
        evidence = (
            f"Since epoch {epochs.epoch[best]} the training loss fell from "
            f"{epochs['train_loss'][best]:.3g} to {epochs['train_loss'][-1]:.3g}, while the "
            f"validation loss rose from {epochs['val_loss'][best]:.3g} to {now:.3g} (mean of the "
            f"last two epochs) and the validation accuracy went from {before:.1%} to {after:.1%}. "
            f"{evidence}"
        )
    suggestion, change = _against_overfitting(run.config)
    return Verdict("overfitting", sentence + ".", evidence, suggestion, change)


def underfitting(run: RunEvidence) -> Verdict | None:
    """Training and validation alike stay far from right: the run ended while it was still learning,
    or has come to rest there. That twice the epochs help the first was tried: 88.2 % became 92.8 %
    (tests/evaluate/verdicts/corpus/augmented-still-learning)."""
    epochs, n, guess = run.epochs, len(run.epochs["train_loss"]), run.guessing
    if n < 5 or run.config.mixes:  # of mixed pictures nobody gets most right
        return None
    train, val = float(epochs["train_accuracy"][-1]), float(epochs["val_accuracy"][-1])
    gained = _gain(epochs["train_loss"], max(4, n // 3))
    if train > FITS or val > FITS or train - val > GAP / 2 or _rate_fell(run):
        return None
    evidence = (
        f"Epoch {epochs.epoch[-1]}: {train:.1%} of the training images right and {val:.1%} of the "
        f"{run.val_samples:,} validation images; training loss {epochs['train_loss'][-1]:.3g}, "
        f"which changed by {-gained:+.1%} over the last {times(max(4, n // 3), 'epoch')}."
    )
    if guess is not None and epochs["train_loss"][-1] > 0.97 * guess and gained < FLAT:
        return Verdict(
            "underfitting",
            f"The network has learned nothing so far: after {times(n, 'epoch')} it is no better "
            "than guessing.",
            f"{evidence} Guessing costs {guess:.3g}.",
            *_against_no_learning(run.config),
        )
    if (
        gained >= FLAT
        or _straight_down(epochs["train_loss"])
        or _validation_improves(run, max(2, n // 6))
    ):
        if not run.ended or epochs.epoch[-1] < run.config.epochs:  # it can go on first
            return None
        return Verdict(
            "underfitting",
            "The run ended while it was still learning: even its training images are not yet told "
            "apart.",
            evidence,
            "Train twice as long before anything else is changed.",
            {"epochs": min(10_000, 2 * run.config.epochs)},
        )
    if n < FEWEST_FLAT:
        return None
    suggestion, change = _against_underfitting(run.config)
    changed = ", which augmentation changes anew each time," if run.config.augments else ""
    return Verdict(
        "underfitting",
        f"The network gets neither its training images{changed} nor others right, and its loss "
        "has hardly fallen lately. Whether more epochs would help, or labels are wrong, these "
        "curves cannot tell.",
        evidence,
        suggestion,
        change,
    )


def plateau(run: RunEvidence) -> Verdict | None:
    """It did learn, and now neither loss moves any more, at an unchanged rate.

    Steps that are too long look just like labels that are wrong: the curves cannot tell which.
    """
    epochs, n = run.epochs, len(run.epochs["train_loss"])
    window = max(4, n // 3)
    if n < window + 3 or _rate_fell(run):
        return None
    before, losses = epochs["train_loss"][:-window], epochs["train_loss"][-window:]
    learned = before[0] - losses.mean() > 0.2 * before[0]
    left = losses.mean() > 0.05
    still = abs(_gain(epochs["train_loss"], window)) < STANDSTILL
    no_better = np.min(epochs["val_loss"][-window:]) >= 0.99 * np.min(epochs["val_loss"][:-window])
    if not (learned and left and still and no_better):
        return None
    rates = epochs.learning_rate[-window:]
    rate = f"{rates[-1]:g} all the while"
    if rates.min() < rates.max():
        rate = f"{rates[0]:g} at first and {rates[-1]:g} at last"
    evidence = (
        f"Epochs {epochs.epoch[-window]} to {epochs.epoch[-1]}: training loss {losses.max():.4g} "
        f"to {losses.min():.4g}, best validation loss {np.min(epochs['val_loss'][-window:]):.4g} "
        f"(before: {np.min(epochs['val_loss'][:-window]):.4g}). The rate was {rate}."
    )
    return Verdict(
        "plateau",
        "The training stands still: it learned, and now neither loss moves. Either its steps are "
        "too long to get any lower, or what is left cannot be learned, such as wrong labels.",
        evidence,
        "To find out which, let the rate drop to a tenth whenever validation stalls for three "
        "epochs. If the loss does not fall then either, look for wrong labels on the Data page.",
        {"schedule": "on_plateau", "schedule_epochs": 3, "schedule_factor": 0.1},
    )


def second_phase(run: RunEvidence) -> Verdict | None:
    """Training stages of the backbone, too, made no epoch better than the head alone had been."""
    config, epochs, best = run.config, run.epochs, run.best_epoch
    later = epochs.epoch > config.head_epochs
    if config.freeze != "two_phase" or not run.ended or not later.any():
        return None
    if best is None or best > config.head_epochs or best not in epochs.epoch:
        return None
    at = int(np.flatnonzero(epochs.epoch == best)[0])
    losses, accuracies = epochs["val_loss"], epochs["val_accuracy"]
    return Verdict(
        "second_phase",
        f"The second phase made nothing better: the best epoch, {best}, is of the first one, when "
        "only the head was trained. Either the frozen network already tells the classes apart as "
        "well as these images allow, or the steps of the second phase were too long.",
        f"Validation loss {losses[at]:.4g} in epoch {best}, at best {np.min(losses[later]):.4g} "
        f"afterwards; accuracy {percent(accuracies[at])}, afterwards at best "
        f"{percent(np.max(accuracies[later]))}, of {run.val_images}.",
        "Keep to the head alone, which takes a fraction of the time; or try the second phase with "
        "a tenth of its rate.",
        {"second_phase_factor": config.second_phase_factor / 10},
    )


def _straight_down(losses: Column) -> bool:
    """Falling nearly always, as fast at the end as at the beginning, and by more than noise."""
    n = len(losses)
    falls, half = losses[:-1] - losses[1:], (n - 1) // 2
    line = np.polyval(np.polyfit(np.arange(n), losses, 1), np.arange(n))
    clear = losses[0] - losses[-1] > max(4 * float(np.std(losses - line)), 0.002 * losses[0])
    steady = np.mean(falls > 0) >= 0.8 and falls[-half:].mean() > 0.5 * falls[:half].mean()
    return bool(clear and steady)


def _gain(losses: Column, window: int) -> float:
    """How much lower the second half of the last `window` values is than the first, as a share."""
    recent = losses[-max(2, window) :].astype(np.float64)
    half = len(recent) // 2
    first, second = float(recent[:half].mean()), float(recent[-half:].mean())
    return (first - second) / first if first else 0.0


def _rate_fell(run: RunEvidence) -> bool:
    """The schedule has brought the rate down: that the loss moves less is then its doing."""
    rates = run.epochs.learning_rate
    return bool(len(rates) and rates[-1] < 0.3 * np.nanmax(rates))


def _rate_moved(run: RunEvidence) -> bool:
    """A schedule has moved the rate, up or down, or has not brought it to the setting's yet."""
    rates = run.epochs.learning_rate
    if not len(rates) or not np.isfinite(rates).any():
        return False
    highest = np.nanmax(rates)
    return bool(highest > SAME_RATE * np.nanmin(rates) or highest * SAME_RATE < run.rate())


def _validation_improves(run: RunEvidence, latest: int) -> bool:
    """Whether the `latest` epochs have clearly the lowest validation loss so far."""
    losses = run.epochs["val_loss"]
    if len(losses) <= latest or not np.isfinite(losses[:-latest]).any():
        return False
    return bool(np.nanmin(losses[-latest:]) < (1 - FLAT) * np.nanmin(losses[:-latest]))


def _against_overfitting(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """The first remedy that the run does not use yet, with its change of knobs."""
    if not config.augments:
        return (
            "Try augmentation: turned, zoomed and shifted a little, a picture is never the same "
            "twice and cannot be learned by heart.",
            augmented(config),
        )
    if config.dropout is None and config.architecture in MORE_DROPOUT:
        return (
            "Try dropout: half of the units are switched off at random, so that none can rely on "
            "the others' memory.",
            {"dropout": 0.5},
        )
    if config.weight_decay < 0.01:
        optimizer = "adamw" if config.optimizer == "adam" else config.optimizer
        decay = 0.05 if optimizer == "adamw" else 1e-3
        return (
            "Try weight decay, which pulls weights towards zero: only what many images agree on "
            "stays.",
            {"optimizer": optimizer, "weight_decay": decay},
        )
    return (
        "More images help most. Until then, stop early: the best epoch's weights are kept anyway.",
        {} if config.early_stopping_patience else {"early_stopping_patience": 3},
    )


MORE_DROPOUT = (
    "simple-cnn", "sign-cnn", "googlenet", "mobilenet_v2", "mobilenet_v3_small",
    "efficientnet_lite0",
)  # fmt: skip
"""Architectures with a dropout of their own below a half. Elsewhere the knob does nothing, or they
have a half already."""


def _against_no_learning(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """On the drawn cats and dogs an MLP stayed at guessing with augmentation, for 12 epochs and for
    24, and reached 64 % without (tests/evaluate/verdicts/corpus/augmented-perceptron)."""
    if config.augments and not config.pretrained:
        weakened = {k.name: k.default for k in KNOBS.values() if k.group == "augmentation"}
        return "Try without augmentation: the images may be changed too much.", weakened
    return "Let the finder on the Train page look for a rate at which the loss falls at all.", {}


def _against_underfitting(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """Something to try: more epochs where augmentation slows learning down, then a larger network.

    Not "without augmentation": of a run at 71.5 % that was checked, going on reached 76.2 % and
    leaving augmentation out 69.0 %.
    """
    if config.augments and not config.pretrained:
        return (
            "Try twice as many epochs first: with augmentation every image is a new one, and "
            "learning takes longer.",
            {"epochs": min(10_000, 2 * config.epochs)},
        )
    if config.pretrained and config.freeze == "head_only":
        return (
            "Try to let the last stage learn too: what the frozen network sees may not be enough.",
            {"freeze": "last_k", "last_k": 1},
        )
    own = {"activation": "auto"}
    if config.architecture == "single-layer-perceptron":
        return "Try a hidden layer, which can bend the cut.", {**own, "architecture": "mlp"}
    if config.architecture in ("mlp", "deep-mlp", "sign-mlp"):
        return (
            "Try a convolutional network, which sees neighbouring pixels together; a perceptron "
            "does not know which pixels are neighbours.",
            {**own, "architecture": "simple-cnn"},
        )
    return "Try a deeper architecture, larger images, or a network with ImageNet weights.", {}


def _listed(values: Column) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
