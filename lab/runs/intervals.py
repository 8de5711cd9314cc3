"""How sure the accuracies of runs are."""

from __future__ import annotations

from collections.abc import Sequence

from lab.evaluate.compare import AccuracyInterval, share_interval
from lab.runs.rows import RunRow
from lab.runs.store import store


def accuracy_intervals(runs: Sequence[RunRow], part: str) -> list[AccuracyInterval]:
    """Returns the interval of each run's accuracy on "val" or "test"."""
    from lab.evaluate.leak_free import accuracy_interval  # it brings torch

    found = []
    for row in runs:
        accuracy, n = row.test_accuracy, row.test_samples
        if part == "val":
            accuracy, n = row.best_val_accuracy, row.val_samples
        if row.is_live or accuracy is None:
            found.append(AccuracyInterval(share_interval(accuracy, n), None))
        else:
            found.append(accuracy_interval(store().folder(row.id), part, accuracy, n))
    return found
