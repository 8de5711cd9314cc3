"""The messages to the live chart in the browser: what it lacks, from what it was sent.

Every tick sends only what is new, plus the last few points again, which makes up for a tick that
the browser skipped. When more is missing the browser asks for the whole history, thinned. So a tick
costs a few kilobytes however long the run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lab.charts.series import Column, Epochs, Steps, row_of
from lab.metrics import Metric, epoch_columns, step_columns
from lab.runs.history import thin

OVERLAP = 50
"""Steps that a tick sends again, in case the one before it got lost."""

NEW_PER_TICK = 100
"""New points of one tick; of more steps between two ticks some are left out."""

WHOLE = 1000
"""Points of a whole history. The browser keeps 2,000 a line and asks for a whole one beyond that,
so half of them leave room for at least ten ticks."""


@dataclass(frozen=True, slots=True)
class LiveHistory:
    """All rows after a step, in the order of training; a HistoryReader returns it."""

    steps: Steps
    epochs: Epochs
    best_epoch: int | None = None


class HistoryReader(Protocol):
    def __call__(self, after_step: int, /) -> LiveHistory:
        """Returns all steps with `step > after_step` and all epochs that ended after that step."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What the browser has of which run; kept in the session between ticks."""

    run_id: str
    step: int
    loss: float
    """Loss at `step`; another one in the store means that the run went back and trained on."""
    metrics: tuple[Metric, ...]
    """The metrics whose columns were sent."""
    epoch: int | None
    """The last epoch."""
    latest: Mapping[str, float]
    """Column -> its value at the last step or the last epoch."""


def next_message(
    read: HistoryReader, *, run_id: str, metrics: Sequence[Metric], sent: Sent | None
) -> tuple[dict[str, Any], Sent]:
    """Returns the next message to the browser (plain JSON values) and what it then has.

    `metrics` are those that the run measures. `sent` is None at the start and when the browser
    needs the whole history.
    """
    if sent is not None and sent.run_id == run_id and sent.step > 0:
        after = max(0, sent.step - OVERLAP)
        history = read(after)
        if _continues(history.steps, sent):
            return _message(history, after=after, run_id=run_id, metrics=sent.metrics, sent=sent)
    history = read(0)
    recorded = tuple(metric for metric in metrics if _is_recorded(metric, history.epochs))
    return _message(history, after=0, run_id=run_id, metrics=recorded, sent=None)


def _continues(steps: Steps, sent: Sent) -> bool:
    row = row_of(steps.step, sent.step)
    return row is not None and bool(np.isclose(steps["loss"][row], sent.loss, equal_nan=True))


def _is_recorded(metric: Metric, epochs: Epochs) -> bool:
    """Returns False for a metric that the lab did not have yet when it trained the run."""
    values = epochs[f"val_{metric.name}"]
    return metric.shown or not len(values) or bool(np.isfinite(values).any())


def _message(
    history: LiveHistory,
    *,
    after: int,
    run_id: str,
    metrics: tuple[Metric, ...],
    sent: Sent | None,
) -> tuple[dict[str, Any], Sent]:
    steps, epochs = history.steps, history.epochs
    last = int(steps.step[-1]) if len(steps.step) else 0
    names = step_columns(metrics)
    if sent is None:
        rows = _thinned(steps, names, np.arange(len(steps.step)), WHOLE)
    elif last == sent.step:
        rows = np.empty(0, dtype=np.intp)  # nothing new: an equal message costs the browser nothing
    else:
        overlap = int(np.searchsorted(steps.step, sent.step, side="right"))
        new = _thinned(steps, names, np.arange(overlap, len(steps.step)), NEW_PER_TICK)
        rows = np.concatenate([np.arange(overlap), new])

    message: dict[str, Any] = {
        "run": run_id,
        "metrics": [
            {
                "id": metric.name,
                "title": metric.title,
                "percent": metric.is_share,
                "batches": metric.of_batches,
                "shown": metric.shown,
            }
            for metric in metrics
        ],
        "whole": sent is None,
        # The step before the first row: a browser that has not got that far has a hole.
        "after": after if len(rows) or sent is None else sent.step,
        "step": _compact(steps.step[rows]),
        "best_epoch": history.best_epoch,
        "epoch": [int(n) for n in epochs.epoch],
        "epoch_step": [int(n) for n in epochs.step],
        "step_columns": {name: _short(steps[name][rows]) for name in names},
        "epoch_columns": {name: _short(epochs[name]) for name in epoch_columns(metrics)},
    }
    latest = dict(sent.latest) if sent else {}
    if len(steps.step):
        latest |= {name: float(steps[name][-1]) for name in names}
    epoch = sent.epoch if sent else None
    if len(epochs.epoch):
        epoch = int(epochs.epoch[-1])
        latest |= {name: float(epochs[name][-1]) for name in epoch_columns(metrics)}
    loss = float(steps["loss"][-1]) if len(steps.step) else math.nan
    return message, Sent(run_id, last, loss, metrics, epoch, latest)


def _thinned(
    steps: Steps, names: Sequence[str], rows: npt.NDArray[np.intp], points: int
) -> npt.NDArray[np.intp]:
    """Returns at most `points` of `rows`, ascending: keeps shape, extremes, the first, the last."""
    smoothed = [name for name in names if name.endswith("_smoothed")]
    positions = thin(
        len(rows),
        shapes=[steps[name][rows] for name in names if name not in smoothed],
        extremes=[steps[name][rows] for name in smoothed],
        keep=np.empty(0, dtype=np.intp),  # the best epoch has a mark of its own
        points=points,
    )
    return rows[positions]


def alt_texts(sent: Sent, *, live: bool, best_epoch: int | None) -> dict[str, str]:
    """Returns a sentence for each panel, by metric."""
    texts = {}
    for metric in sent.metrics:
        if sent.step == 0:
            texts[metric.name] = f"{metric.title}: no point to show yet."
            continue
        clauses = []
        if metric.of_batches:
            now = sent.latest.get(f"{metric.name}_smoothed")
            clauses.append(f"{_value_text(metric, now)} smoothed over batches")
        if sent.epoch is not None:
            parts = [
                f"{word} {_value_text(metric, sent.latest[f'{part}_{metric.name}'])}"
                for part, word in (("train", "training"), ("val", "validation"))
                if f"{part}_{metric.name}" in sent.latest
            ]
            clauses.append(f"epoch {sent.epoch}: {', '.join(parts)}")
        if best_epoch is not None:
            clauses.append(f"best epoch {best_epoch}")
        so_far = " so far" if live else ""
        texts[metric.name] = (
            f"{metric.title} after {sent.step:,} steps{so_far}: {'; '.join(clauses)}."
        )
    return texts


def _value_text(metric: Metric, value: float | None) -> str:
    return "not a number" if value is None or math.isnan(value) else metric.text(value)


def _compact(steps: Column) -> int | list[int]:
    """Returns the first step when they are consecutive (not thinned), else all of them."""
    if len(steps) and int(steps[-1]) - int(steps[0]) == len(steps) - 1:
        return int(steps[0])
    return [int(step) for step in steps]


def _short(values: Iterable[Any]) -> list[float | None]:
    """Rounds to four digits, more than a screen shows; None for NaN, which JSON lacks."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values]
