"""How far runs are from the baseline: columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lab.evaluate.compare import against_baseline
from lab.runs.store import RunRow, store

TITLES = ("Test vs baseline", "Validation vs baseline")
_HELP = (
    "Accuracy minus the baseline's, on the same data set. Within chance: the 95% interval of "
    "the difference, as if the images were drawn apart, holds 0. Two runs on the same images can "
    "be told apart more finely, with copies counted once: Compare, Same images."
)
AGAINST = {title: st.column_config.TextColumn(help=_HELP) for title in TITLES}


def against_columns(rows: Sequence[RunRow]) -> dict[str, list[object]]:
    """Returns a column for each title; none while no run is the baseline."""
    base = store().baseline()
    if base is None:
        return {}
    test, validation = TITLES

    def text(row: RunRow, part: str) -> str | None:
        if row.id == base.id:
            return "the baseline"
        if row.dataset != base.dataset:
            return None
        if part == "test":
            results = row.test_accuracy, row.test_samples, base.test_accuracy, base.test_samples
        else:
            results = (
                row.best_val_accuracy, row.val_samples, base.best_val_accuracy, base.val_samples,
            )  # fmt: skip
        return against_baseline(*results) or None

    return {
        test: [text(row, "test") for row in rows],
        validation: [text(row, "validation") for row in rows],
    }
