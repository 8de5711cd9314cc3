"""What follows a run beside the lab: TensorBoard, MLflow, Weights & Biases, trackio, notifications.

A person chooses them with LAB_LISTENERS and LAB_NOTIFY (`lab.runs.listeners.kinds`); each is a
small file with one class. They run in threads of their own (`lab.runs.listeners.background`): none
can end, slow or hang a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.training.events import EpochDone, Event, RunEnded, StepDone


class Listener(Protocol):
    """Follows one session of a run. Made, called and closed by one thread of its own.

    The class is called with the run's row once the run prepares. It may raise whatever it likes.
    """

    def receive(self, events: Sequence[Event]) -> None:
        """Take what has happened since the last call, in order: RunStarted, StepDone, EpochDone,
        RunEnded. Without RunStarted the run failed in its preparation."""

    def close(self) -> None:
        """Write out what is not written yet. Called once, also where the run had no end."""


def scalars(event: Event) -> tuple[int, Mapping[str, float]]:
    """Returns an event's step and its numbers as "<where>/<metric>": "batch/loss", "train/loss",
    "val/accuracy", "test/accuracy", besides "learning_rate"; none for other events."""
    if isinstance(event, StepDone):
        return event.step, {
            **{f"batch/{name}": value for name, value in event.values.items()},
            "learning_rate": event.learning_rate,
        }
    if isinstance(event, EpochDone):
        return event.step, {
            **{f"train/{name}": value for name, value in event.train.items()},
            **{f"val/{name}": value for name, value in event.val.items()},
            "epoch": float(event.epoch),
            "images_per_second": event.images_per_second,
        }
    if isinstance(event, RunEnded):
        return event.steps, {f"test/{name}": value for name, value in event.test.items()}
    return 0, {}
