"""What a run tells the world: small frozen records of plain values, never tensors.

    how the run ends        events, in order
    ----------------------  ----------------------------------------------------------------------
    any                     RunStarted, (StepDone*, EpochDone, ProbeTaken?)*, RunEnded; a ProbeTaken
                            behind the first StepDones of a new run; LogWritten anywhere;
                            RateChanged between two StepDones;
                            ActivityProgressed* wherever something else than steps takes time
    completed               ... RunEnded(status="completed", test metrics filled in)
    stopped, paused         ... RunEnded right after the running step; test set untouched
    failed (NaN, memory)    ... RunEnded(status="failed", message says why)

    a state is saved        ... SaveReached, then the saving itself

RunEnded comes exactly once and is always last. Whoever records a run has recorded all so far before
it asks for the next event behind SaveReached or RunEnded: so no saved state is ahead of the record,
and what a completed run needs no more is deleted once its ending is safe.
Accuracies are fractions in [0, 1], averages are
weighted by sample count, times are seconds. `seconds` is always training time: that of the training
steps, from drawing up a batch to the update. Everything else has no share in it (frozen layers that
run once, compiling, validation, test, film strip, checkpoints, the store); `elapsed` counts both.
Epochs and steps count from 1; a step is one parameter update.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

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
    phase_starts: tuple[int, ...] = (1,)
    """The first epoch of each phase."""
    best_epoch: int | None = None
    """So far, also of the run that it goes on from; like `best_val`."""
    best_val: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogWritten:
    """A decision and its reason, a change of phase, a warning."""

    level: Literal["decision", "info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """One parameter update. `values` are of this batch, before the update."""

    step: int
    epoch: int
    values: dict[str, float]
    """By metric (`lab.metrics`)."""
    samples: int
    learning_rate: float
    seconds: float
    """Training time since the run began."""


@dataclass(frozen=True, slots=True)
class RateChanged:
    """A person changed the learning rate: from `step` on, which is not done yet, it is
    `learning_rate`, and all later ones are changed by the same factor."""

    step: int
    epoch: int
    learning_rate: float


ActivityKind = Literal["frozen_layers", "compiling", "validation", "test", "film_strip"]


@dataclass(frozen=True, slots=True)
class ActivityProgressed:
    """What the run does while no training step goes on, and how far that is.

    The first and the last of an activity come always, others at most four times a second. The
    activity is over when the next StepDone, another activity or RunEnded comes.
    """

    kind: ActivityKind
    activity: str
    """In words, such as "Validating epoch 3"."""
    done: int
    total: int
    """0 when unknown."""
    unit: str
    seconds: float
    """What `done` units took."""
    later: int = 0
    """Units of the same kind that the run will still need after these, as far as is known."""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass over the training images and one over the validation images."""

    epoch: int
    step: int
    phase: str
    train: dict[str, float]
    """By metric: averages over the epoch's batches while the weights were moving, dropout and
    augmentation on."""
    val: dict[str, float]
    """By metric: of the weights at the epoch's end."""
    learning_rate: float
    seconds: float
    """Training time since the run began, this epoch's steps included."""
    images_per_second: float
    """Training images over the time spent on training steps of this epoch."""
    is_best: bool
    elapsed: float | None = None
    """Everything since the first step, pauses left out; this epoch's validation included."""


@dataclass(frozen=True, slots=True)
class ProbeTaken:
    """The film strip has a new column: what the weights after `epoch` make of `count` pictures (see
    `lab.training.watch.film_files`). Epoch 0 is before the first step."""

    epoch: int
    count: int
    seconds: float
    """What recording it cost."""


@dataclass(frozen=True, slots=True)
class SaveReached:
    """The resume state is saved next."""

    step: int
    """The last step in it."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of every run."""

    status: EndStatus
    message: str
    epochs: int
    steps: int
    best_epoch: int | None
    best_val: dict[str, float]
    """By metric: of the best epoch; empty before the first one has ended."""
    test: dict[str, float]
    """By metric: of the best epoch's weights on the test images; empty unless the run completed and
    has any."""
    seconds: float
    """Training time."""
    elapsed: float | None = None
    """Everything since the first step, pauses left out."""
    test_looks: int = 0
    """How often the test images were looked at by then, by the runs that it goes on from, too; 0
    unless it was tested."""


Event = (
    RunStarted
    | LogWritten
    | StepDone
    | RateChanged
    | ActivityProgressed
    | EpochDone
    | ProbeTaken
    | SaveReached
    | RunEnded
)


def as_row(event: Event) -> dict[str, Any]:
    """The event as one flat row: metrics under the names of the store's columns, such as
    "val_accuracy" (see `lab.metrics`)."""
    row: dict[str, Any] = {}
    for each in fields(event):
        value = getattr(event, each.name)
        if isinstance(value, dict):
            prefix = "" if each.name == "values" else f"{each.name}_"
            row |= {f"{prefix}{name}": number for name, number in value.items()}
        else:
            row[each.name] = value
    return row
