"""What the training loop announces: the events with many figures, and the sentences of its log."""

from __future__ import annotations

import torch

from lab.config import KNOBS, RunConfig
from lab.data.splits import Splits
from lab.models.freezing import Phase
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.events import EndStatus, EpochDone, LogWritten, RunEnded, RunStarted


def run_started(
    network: StagedNet,
    splits: Splits,
    *,
    device: torch.device,
    steps_per_epoch: int,
    epochs: int,
    class_names: tuple[str, ...],
    resumed_from: int,
    phase_starts: tuple[int, ...],
    counters: Counters,
) -> RunStarted:
    return RunStarted(
        device=str(device),
        train_samples=len(splits.train),
        val_samples=len(splits.val),
        test_samples=len(splits.test),
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * epochs,
        total_parameters=sum(p.numel() for p in network.parameters()),
        trainable_parameters=_trained(network),
        class_names=class_names,
        resumed_from_step=resumed_from,
        phase_starts=phase_starts,
        best_epoch=counters.best_epoch,
        best_val=counters.best_val,
    )


def phase_entered(phase: Phase, network: StagedNet) -> LogWritten:
    return LogWritten(
        "info",
        f"Phase {phase.number}, {phase.name}: {_trained(network):,} parameters are trained "
        f"at a learning rate of {phase.learning_rate:g}.",
    )


def epoch_done(
    counters: Counters,
    *,
    phase: Phase | None,
    val: dict[str, float],
    learning_rate: float,
    elapsed: float,
    is_best: bool,
) -> EpochDone:
    return EpochDone(
        epoch=counters.epoch,
        step=counters.step,
        phase=phase.name if phase else "",
        train=counters.train,
        val=val,
        learning_rate=learning_rate,
        seconds=counters.seconds,
        images_per_second=counters.images_per_second,
        is_best=is_best,
        elapsed=elapsed,
    )


def rate_dropped(config: RunConfig) -> LogWritten:
    """By the schedule on_plateau."""
    return LogWritten(
        "info",
        f"Validation loss stalled for {config.schedule_epochs} epochs: the learning rate "
        f"is multiplied by {config.schedule_factor:g}.",
    )


def rate_changed(step: int, rate: float, before: float) -> LogWritten:
    """By hand."""
    return LogWritten(
        "info",
        f"Learning rate changed by hand from {before:.3g} to {rate:.3g}, from step {step:,} on. "
        "The same settings and seed give this curve only with the same change at the same step.",
    )


def rate_inherited(factor: float) -> LogWritten:
    return LogWritten(
        "info",
        f"The learning rate is {factor:.3g} times the planned one: it was changed by hand in the "
        "run that this one goes on from.",
    )


def stopped_early(config: RunConfig, counters: Counters) -> LogWritten:
    watched = KNOBS["early_stopping_metric"].text(config.early_stopping_metric).lower()
    return LogWritten(
        "info",
        f"Early stopping: {watched} has not improved for "
        f"{config.early_stopping_patience} epochs (best was epoch {counters.stopping_epoch}).",
    )


def interrupted(counters: Counters, status: EndStatus, *, testing: bool, total_steps: int) -> str:
    """The sentence of a run that was stopped or paused."""
    test = (
        "the test was broken off, without a result" if testing else "the test set was not touched"
    )
    return (
        f"{status.capitalize()} after step {counters.step:,} "
        f"of {total_steps:,}; {test}. "
        "Resume goes on exactly here."
    )


def completed(config: RunConfig, counters: Counters) -> str:
    """The sentence of a run that came to its end."""
    done = counters.epoch - 1
    early = "early stopping" if counters.early_stopped else "as asked"
    how = "" if done == config.epochs else f" of {config.epochs} ({early})"
    return f"Completed after epoch {done}{how}."


def run_ended(
    counters: Counters,
    status: EndStatus,
    message: str,
    *,
    elapsed: float,
    test: dict[str, float],
) -> RunEnded:
    return RunEnded(
        status=status,
        message=message,
        epochs=counters.epoch - 1,
        steps=counters.step,
        best_epoch=counters.best_epoch,
        best_val=counters.best_val,
        test=test,
        seconds=counters.seconds,
        elapsed=elapsed,
        test_looks=counters.tests_before + 1 if test else 0,
    )


def testing(counters: Counters, activity: str) -> LogWritten:
    """That a test begins, and whether the test images are still unseen."""
    text = f"{activity}, once."
    if counters.tests_before:
        text += (
            f" The runs that this one starts from were tested before: it is look number "
            f"{counters.tests_before + 1} at the test images. Whoever chose to go on because of an "
            "earlier look gets a result that is a little too good."
        )
    return LogWritten("warning" if counters.tests_before else "info", text)


def _trained(network: StagedNet) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
