"""A verdict, and the evidence that verdicts are made from: plain columns, no torch, no store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy.typing as npt

from lab.config import RunConfig
from lab.evaluate.metrics import wilson_interval
from lab.words import of_independent

if TYPE_CHECKING:  # both would bring torch along
    from lab.evaluate.predictions import Predictions
    from lab.training.watch.layer_file import LayerHistory

Kind = Literal[
    "vanishing_gradients",
    "exploding",
    "dead_units",
    "overfitting",
    "underfitting",
    "rate_too_high",
    "rate_too_low",
    "one_class",
    "small_validation",
    "flattering_validation",
    "plateau",
    "saturated_softmax",
    "second_phase",
]

Column = npt.NDArray[Any]
"""(n,) numbers; NaN where there is none."""


class Epochs(Protocol):
    """One row an epoch, ascending; the run store's own columns fit as they are."""

    @property
    def epoch(self) -> Column: ...
    @property
    def learning_rate(self) -> Column: ...
    def __getitem__(self, column: str, /) -> Column:
        """Of a metric, such as "val_loss"."""


class Steps(Protocol):
    """One row a step, ascending; may be thinned as long as first, last and extremes are there."""

    @property
    def step(self) -> Column: ...
    def __getitem__(self, column: str, /) -> Column:
        """Of a metric, such as "loss" and "loss_smoothed"."""


@dataclass(frozen=True)
class Verdict:
    """One statement about a run, with its evidence and one thing to try."""

    kind: Kind
    sentence: str
    """What is wrong, and why."""
    evidence: str
    """The numbers, and the epochs, steps or images that they come from."""
    suggestion: str
    """What to try."""
    change: dict[str, Any] = field(default_factory=dict)
    """The knobs of a run with just that changed; empty where no knob helps."""


@dataclass(frozen=True)
class Copies:
    """What near-copies of one picture mean for a run's images."""

    straddling: float
    """Share of the validation images with a near-copy among the training images."""
    val_units: int
    """Independent pictures that the validation images are of; `test_units` likewise."""
    test_units: int


@dataclass(frozen=True, eq=False)
class RunEvidence:
    """Everything that verdicts read of a run."""

    config: RunConfig
    epochs: Epochs
    steps: Steps
    layers: LayerHistory | None
    predictions: Predictions | None
    val_samples: int
    train_samples: int
    classes: int
    """0 when unknown."""
    ended: bool
    """Whether the run will not go on by itself."""
    best_epoch: int | None
    """The epoch whose weights are the best."""
    test_samples: int
    test_accuracy: float | None
    """The best weights' test accuracy, measured once at the end; None before."""
    copies: Copies | None
    """None while nobody has looked for copies."""
    diverged: str
    """The sentence of a run that failed because its loss was no number; empty for others."""
    rate_changes: tuple[tuple[int, float], ...] = ()
    """Steps at which somebody changed the learning rate, and to what."""

    def rate(self, step: int | None = None) -> float:
        """The learning rate in force at a step, now without one: as set, or as changed since; what
        a schedule does to it is left out."""
        earlier = [rate for at, rate in self.rate_changes if step is None or at <= step]
        return earlier[-1] if earlier else self.config.learning_rate

    def val_interval(self, share: float) -> tuple[float, float]:
        """95 % interval (Wilson) of a share of the validation images. Copies of one picture count
        once, as if they were answered alike: at worst the interval is too wide."""
        return _interval(share, self.copies.val_units if self.copies else self.val_samples)

    def test_interval(self, share: float) -> tuple[float, float]:
        """As `val_interval`, of the test images."""
        return _interval(share, self.copies.test_units if self.copies else self.test_samples)

    @property
    def val_images(self) -> str:
        """How many there are, and of how many independent pictures where that is less."""
        units = self.copies.val_units if self.copies else self.val_samples
        return f"{self.val_samples:,} validation images{of_independent(units, self.val_samples)}"

    @property
    def guessing(self) -> float | None:
        """The loss of giving every class the same probability, in nats."""
        return math.log(self.classes) if self.classes > 1 else None


def _interval(share: float, n: int) -> tuple[float, float]:
    return wilson_interval(round(share * n), n)


def slower(rate: float) -> dict[str, Any]:
    """The change to a tenth of a learning rate."""
    return {"learning_rate": float(f"{rate / 10:.3g}")}


def faster(rate: float) -> dict[str, Any]:
    """The change to ten times a learning rate, up to the highest allowed."""
    return {"learning_rate": min(10.0, float(f"{rate * 10:.3g}"))}


def augmented(config: RunConfig) -> dict[str, Any]:
    """The change to pictures that are turned, zoomed and shifted a little."""
    change = {"rotation_degrees": 10, "zoom": 0.1, "width_shift": 0.1, "height_shift": 0.1}
    if config.pretrained and config.freeze != "full" and not config.kept_views:
        change["kept_views"] = 5  # frozen stages can then still be run once
    return change


def times(count: int, noun: str) -> str:
    """Returns a number with its noun, such as "3 epochs"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
