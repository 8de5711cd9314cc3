"""All runs with their settings and results as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from lab.config import KNOBS
from lab.metrics import METRICS
from lab.names import csv_cell
from lab.runs.rows import RunRow


def results_csv(runs: Iterable[RunRow]) -> str:
    """Returns one line a run, with a header; accuracies are fractions, times are UTC (ISO 8601).

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    output = io.StringIO()
    writer = csv.DictWriter(output, _COLUMNS, lineterminator="\r\n")  # RFC 4180
    writer.writeheader()
    for run in runs:
        writer.writerow({name: cell(value) for name, value in run_values(run).items()})
    return output.getvalue()


def cell(value: Any) -> Any:
    """Returns the value as it may stand in a cell."""
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    return csv_cell(str(value))


_FACTS = (
    "id", "name", "person_name", "assignment", "tag", "origin", "status", "created_at",
    "started_at", "ended_at", "best_epoch", "seconds", "train_samples", "val_samples",
    "test_samples", "test_looks", "total_parameters", "trainable_parameters", "parent",
)  # fmt: skip
_COLUMNS = (
    *_FACTS,
    *(f"best_val_{name}" for name in METRICS),
    *(f"test_{name}" for name in METRICS),
    *KNOBS,
    "notes",
)


def run_values(run: RunRow) -> dict[str, Any]:
    """Returns the run's facts, results and settings by column, as plain values."""
    settings = run.settings  # plain values: also of runs of another version
    facts = {name: getattr(run, name) for name in (*_FACTS, "notes")}
    times = {
        name: value.isoformat(timespec="seconds")
        for name in ("created_at", "started_at", "ended_at")
        if (value := facts[name]) is not None
    }
    return {
        **facts,
        **times,
        **{f"best_val_{name}": run.best_val.get(name) for name in METRICS},
        **{f"test_{name}": run.test.get(name) for name in METRICS},
        **{name: settings.get(name) for name in KNOBS},
    }
