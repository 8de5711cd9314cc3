"""What the charts read: columns of plain numpy arrays, all of one length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Column: TypeAlias = npt.NDArray[Any]
"""(n,) numbers; NaN where there is none."""


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
