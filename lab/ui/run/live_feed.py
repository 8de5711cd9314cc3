"""What the live chart in the browser has already, and what it needs next.

Every tick sends only what is new, plus the last few points again: a tick that the browser skipped
is then mended by the next one. When more is missing the browser asks, and the whole history goes
out, thinned. So a tick costs a few kilobytes however long the run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lab.charts.series import Column, Epochs, Steps, row_of
from lab.runs.history import OVERLAP, thin

NEW_PER_TICK = 100
"""New points of one tick; of a run with more steps between two ticks some are left out."""

WHOLE = 1000
"""Points of a whole history. The browser keeps 2,000 a line and asks for a whole one beyond that,
so half of them leave room for at least ten ticks."""

_STEP_COLUMNS = ("loss", "loss_smoothed", "accuracy", "accuracy_smoothed")
_EPOCH_COLUMNS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


@dataclass(frozen=True, slots=True)
class LiveHistory:
    """What a HistoryReader returns: all rows after a step, in the order of training."""

    steps: Steps
    epochs: Epochs
    best_epoch: int | None = None


class HistoryReader(Protocol):
    def __call__(self, after_step: int, /) -> LiveHistory:
        """All steps with `step > after_step` and all epochs that ended after that step."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What this browser session was sent of which run; lives in the session between ticks."""

    run_id: str
    step: int
    loss: float
    """Loss at `step`: if the store now says something else, the run went back and trained on."""
    now: tuple[float, float]
    """The last smoothed loss and accuracy."""
    epoch: tuple[float, ...] | None
    """The last epoch: its number, then `_EPOCH_COLUMNS`."""


def next_message(
    read: HistoryReader, *, run_id: str, sent: Sent | None
) -> tuple[dict[str, Any], Sent]:
    """The next message to the browser (plain JSON values) and what it will then have.

    `sent` is None at the start and when the browser asked for everything.
    """
    if sent is not None and sent.run_id == run_id and sent.step > 0:
        after = max(0, sent.step - OVERLAP)
        history = read(after)
        if _continues(history.steps, sent):
            return _message(history, after=after, run_id=run_id, sent=sent)
    return _message(read(0), after=0, run_id=run_id, sent=None)


def _continues(steps: Steps, sent: Sent) -> bool:
    row = row_of(steps.step, sent.step)
    return row is not None and bool(np.isclose(steps.loss[row], sent.loss, equal_nan=True))


def _message(
    history: LiveHistory, *, after: int, run_id: str, sent: Sent | None
) -> tuple[dict[str, Any], Sent]:
    steps, epochs = history.steps, history.epochs
    last = int(steps.step[-1]) if len(steps.step) else 0
    if sent is None:
        rows = _thinned(steps, np.arange(len(steps.step)), WHOLE)
    elif last == sent.step:
        rows = np.empty(0, dtype=np.intp)  # nothing new: an equal message costs the browser nothing
    else:
        known = int(np.searchsorted(steps.step, sent.step, side="right"))
        new = _thinned(steps, np.arange(known, len(steps.step)), NEW_PER_TICK)
        rows = np.concatenate([np.arange(known), new])

    message: dict[str, Any] = {
        "run": run_id,
        "whole": sent is None,
        # The step before the first row: a browser that has not got that far has a hole.
        "after": after if len(rows) or sent is None else sent.step,
        "step": _compact(steps.step[rows]),
        "best_epoch": history.best_epoch,
        "epoch": [int(n) for n in epochs.epoch],
        "epoch_step": [int(n) for n in epochs.step],
    }
    for name in _STEP_COLUMNS:
        message[name] = _short(getattr(steps, name)[rows])
    for name in _EPOCH_COLUMNS:
        message[name] = _short(getattr(epochs, name))

    epoch = sent.epoch if sent else None
    if len(epochs.epoch):
        epoch = tuple(float(getattr(epochs, name)[-1]) for name in ("epoch", *_EPOCH_COLUMNS))
    now = sent.now if sent else (math.nan, math.nan)
    if len(steps.step):
        now = (float(steps.loss_smoothed[-1]), float(steps.accuracy_smoothed[-1]))
    loss = float(steps.loss[-1]) if len(steps.step) else math.nan
    return message, Sent(run_id, last, loss, now, epoch)


def _thinned(steps: Steps, rows: npt.NDArray[np.intp], points: int) -> npt.NDArray[np.intp]:
    """At most `points` of `rows`, ascending: shape, extremes, the first and the last are kept."""
    kept = thin(
        len(rows),
        shapes=[steps.loss[rows], steps.accuracy[rows]],
        extremes=[steps.loss_smoothed[rows], steps.accuracy_smoothed[rows]],
        keep=np.empty(0, dtype=np.intp),  # the best epoch has a mark of its own
        points=points,
    )
    return rows[kept]


def alt_texts(sent: Sent, *, live: bool, best_epoch: int | None) -> dict[str, str]:
    """One true sentence for each of the two panels."""
    if sent.step == 0:
        return {
            "loss": "Loss: no point to show yet.",
            "accuracy": "Accuracy: no point to show yet.",
        }
    texts = {}
    for panel, now, columns, number in (
        ("loss", sent.now[0], (1, 2), "{:.3g}"),
        ("accuracy", sent.now[1], (3, 4), "{:.1%}"),
    ):
        text = f"{panel.capitalize()} after {sent.step:,} steps{' so far' if live else ''}: "
        text += f"{_say(now, number)} smoothed over batches"
        if sent.epoch is not None:
            train, val = (_say(sent.epoch[column], number) for column in columns)
            text += f"; epoch {int(sent.epoch[0])}: training {train}, validation {val}"
        if best_epoch is not None:
            text += f"; best epoch {best_epoch}"
        texts[panel] = text + "."
    return texts


def _say(value: float, number: str) -> str:
    return number.format(value) if math.isfinite(value) else "not a number"


def _compact(steps: Column) -> int | list[int]:
    """The first step when they are consecutive, which they are unless thinned; else all of them."""
    if len(steps) and int(steps[-1]) - int(steps[0]) == len(steps) - 1:
        return int(steps[0])
    return [int(step) for step in steps]


def _short(values: Iterable[Any]) -> list[float | None]:
    """Four significant digits are more than a screen shows; JSON has no NaN."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values]
