"""The curves of the runs that a run goes on from, to stand beside its own."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from lab.api.run_values import numbers
from lab.errors import NotFoundError
from lab.metrics import METRICS
from lab.runs.history import thinned_steps
from lab.runs.rows import RunRow
from lab.runs.store import Store

MOST_GENERATIONS = 20
POINTS = 500
"""Of one generation's line."""


def curves_before(store: Store, run: RunRow) -> dict[str, Any] | None:
    """Returns smoothed training metrics and validation metrics of the run before, in whole, and of
    those before that up to where the next one begins; None for a run that goes on from none.

    Their steps are counted in the steps of `run`, so that epochs lie below each other.
    """
    if run.settings.get("start_with") == "weights":
        return None
    steps: list[list[float]] = []
    epoch_steps: list[list[float]] = []
    smoothed: dict[str, list[list[float | None]]] = {name: [] for name in METRICS}
    validated: dict[str, list[list[float | None]]] = {name: [] for name in METRICS}
    child, last = run, None
    while child.parent and len(steps) < MOST_GENERATIONS:
        try:
            parent = store.run(child.parent)
        except NotFoundError:  # deleted
            break
        ratio = (run.steps_per_epoch or parent.steps_per_epoch or 1) / (
            parent.steps_per_epoch or run.steps_per_epoch or 1
        )
        rows, epochs = thinned_steps(store, parent.id, points=POINTS), store.epochs(parent.id)
        shown = np.ones(len(rows), bool) if last is None else rows.epoch <= last
        ended = np.ones(len(epochs), bool) if last is None else epochs.epoch <= last
        steps.insert(0, (rows.step[shown] * ratio).tolist())
        epoch_steps.insert(0, (epochs.step[ended] * ratio).tolist())
        for name, metric in METRICS.items():
            if metric.of_batches:
                smoothed[name].insert(0, numbers(rows[f"{name}_smoothed"][shown]))
            validated[name].insert(0, numbers(epochs[f"val_{name}"][ended]))
        last = parent.parent_epoch
        child = parent
    if not steps:
        return None
    return {
        "step": list(chain(*steps)),
        "smoothed": {name: list(chain(*parts)) for name, parts in smoothed.items() if parts},
        "epoch_step": list(chain(*epoch_steps)),
        "validation": {name: list(chain(*parts)) for name, parts in validated.items()},
    }
