"""What the charts read: columns of plain numpy arrays, all of one length.

The protocols are what a chart needs; the run store's own columns fit them as they are. The
dataclasses are the smallest things that fit, for callers that have nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Column: TypeAlias = npt.NDArray[Any]
"""(n,) numbers; NaN where there is none."""


class Steps(Protocol):
    """One row a step, steps ascending. Accuracies are fractions in [0, 1]."""

    @property
    def step(self) -> Column: ...
    @property
    def loss(self) -> Column: ...
    @property
    def loss_smoothed(self) -> Column: ...
    @property
    def accuracy(self) -> Column: ...
    @property
    def accuracy_smoothed(self) -> Column: ...
    @property
    def learning_rate(self) -> Column: ...


class Epochs(Protocol):
    """One row an epoch, epochs ascending; `step` is the step with which the epoch ended."""

    @property
    def epoch(self) -> Column: ...
    @property
    def step(self) -> Column: ...
    @property
    def train_loss(self) -> Column: ...
    @property
    def train_accuracy(self) -> Column: ...
    @property
    def val_loss(self) -> Column: ...
    @property
    def val_accuracy(self) -> Column: ...


def _none() -> Column:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class StepSeries:
    """The plainest `Steps`."""

    step: Column
    loss: Column
    loss_smoothed: Column
    accuracy: Column
    accuracy_smoothed: Column
    learning_rate: Column

    @classmethod
    def empty(cls) -> StepSeries:
        return cls(*(_none() for _ in range(6)))


@dataclass(frozen=True, slots=True)
class EpochSeries:
    """The plainest `Epochs`."""

    epoch: Column
    step: Column
    train_loss: Column
    train_accuracy: Column
    val_loss: Column
    val_accuracy: Column

    @classmethod
    def empty(cls) -> EpochSeries:
        return cls(*(_none() for _ in range(6)))


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many images each class has in each split."""

    class_names: tuple[str, ...]
    counts: Mapping[str, Column]
    """Split name -> (K,) counts, in the order of `class_names`."""


def last_number(column: Column) -> float | None:
    """The last value of the column that is a finite number, or None."""
    numbers = column[np.isfinite(column.astype(float))]
    return float(numbers[-1]) if numbers.size else None


def row_of(values: Column, wanted: int | None) -> int | None:
    """The row in which `values` is `wanted`, or None."""
    if wanted is None:
        return None
    rows = np.flatnonzero(values == wanted)
    return int(rows[0]) if rows.size else None
