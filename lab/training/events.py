"""What a run tells the world: small frozen records of plain values, never tensors.

    how the run ends        events, in order
    ----------------------  ----------------------------------------------------------------------
    any                     RunStarted, (StepDone*, EpochDone, ProbeTaken?)*, RunEnded; a ProbeTaken
                            behind the first StepDones of a new run; LogWritten, Waiting anywhere
    completed               ... RunEnded(status="completed", test figures filled in)
    stopped, paused         ... RunEnded right after the running step; test set untouched
    failed (NaN, memory)    ... RunEnded(status="failed", message says why)

RunEnded comes exactly once and is always last. Accuracies are fractions in [0, 1], averages are
weighted by sample count, times are seconds. Epochs and steps count from 1; a step is one parameter
update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndStatus = Literal["completed", "stopped", "paused", "failed"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run is about to take its first step, or goes on after `resumed_from_step` steps."""

    device: str
    train_samples: int
    val_samples: int
    test_samples: int
    steps_per_epoch: int
    total_steps: int
    total_parameters: int
    trainable_parameters: int
    class_names: tuple[str, ...]
    resumed_from_step: int = 0


@dataclass(frozen=True, slots=True)
class LogWritten:
    """A decision and its reason, a change of phase, a warning."""

    level: Literal["decision", "info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the next step waits for, where that is long; with an empty text: it goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """One parameter update. `loss` and `accuracy` are of this batch, before the update."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    samples: int
    learning_rate: float
    seconds: float
    """Training time since the run began, pauses left out."""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass over the training images and one over the validation images.

    `train_loss` and `train_accuracy` are averages over the epoch's batches while the weights were
    moving, dropout and augmentation on; the validation figures are of the weights at its end.
    """

    epoch: int
    step: int
    phase: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    """Training time since the run began, this epoch's validation included."""
    images_per_second: float
    """Training images over the time spent on training steps of this epoch."""
    is_best: bool


@dataclass(frozen=True, slots=True)
class ProbeTaken:
    """The film strip has a new column: what the weights after `epoch` make of `count` pictures (see
    `lab.training.watch.film_files`). Epoch 0 is before the first step."""

    epoch: int
    count: int
    seconds: float
    """What the take cost."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last word. Test figures are of the best checkpoint; None unless the run completed."""

    status: EndStatus
    message: str
    epochs: int
    steps: int
    best_epoch: int | None
    best_val_loss: float | None
    best_val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


Event = RunStarted | LogWritten | Waiting | StepDone | EpochDone | ProbeTaken | RunEnded
