"""What the run store hands out: frozen plain values and numpy columns."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import RowMapping

from lab.config import RunConfig
from lab.runs.status import ACTIVE, RESUMABLE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as it stood when it was read. Figures that are not known yet are None."""

    id: str
    name: str
    origin: str
    """Who asked for it: "" is a person, else for example "recipe:sl-cnn:quick"."""
    status: str
    config_json: str
    dataset: str
    architecture: str
    created_at: datetime
    """UTC, like the two below."""
    started_at: datetime | None
    """When it first left the queue."""
    ended_at: datetime | None
    queue_position: int | None
    """1 is the next one; None unless queued."""
    owner: str
    requested: str | None
    """A stop, pause or finish that the trainer has not answered yet."""
    message: str
    """How it ended, in one sentence."""
    device: str
    progress_text: str
    progress: float
    """In [0, 1]: of the preparation while preparing, else of all steps."""
    revision: int
    """Grows when recorded steps are taken back by a resume; see `lab.runs.history.tail`."""
    epoch: int
    """The running epoch, from 1; 0 before the first step."""
    step: int
    steps_per_epoch: int | None
    total_steps: int | None
    total_parameters: int | None
    trainable_parameters: int | None
    train_samples: int | None
    val_samples: int | None
    test_samples: int | None
    class_names: tuple[str, ...]
    best_epoch: int | None
    best_val_loss: float | None
    best_val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float
    """Training time, pauses left out."""
    images_per_second: float | None

    @property
    def config(self) -> RunConfig:
        """The settings. Raises ConfigError when another version of the lab wrote knobs that this
        one does not know; `settings` always works."""
        return _config(self.config_json)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain JSON values, as they were written."""
        return dict(json.loads(self.config_json))

    @property
    def is_active(self) -> bool:
        """A process is working on it."""
        return self.status in ACTIVE

    @property
    def is_live(self) -> bool:
        """Its figures may still change by themselves: a page that shows it should tick."""
        return self.status in ACTIVE or self.status == "queued"

    @property
    def has_weights(self) -> bool:
        """Whether a network can be opened: from the end of the first epoch on."""
        return self.best_epoch is not None

    @property
    def can_resume(self) -> bool:
        return self.status in RESUMABLE

    @classmethod
    def from_database(cls, row: RowMapping) -> RunRow:
        values = {name: row[name] for name in _DIRECT}
        return cls(
            config_json=row["config"],
            class_names=tuple(json.loads(row["class_names"])),
            created_at=datetime.fromtimestamp(row["created_at"], UTC),
            started_at=_time(row["started_at"]),
            ended_at=_time(row["ended_at"]),
            **values,
        )


_CONVERTED = ("config_json", "class_names", "created_at", "started_at", "ended_at")
_DIRECT = tuple(f.name for f in fields(RunRow) if f.name not in _CONVERTED)


@functools.lru_cache(maxsize=4096)
def _config(text: str) -> RunConfig:
    return RunConfig.from_json(text)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class StepColumns:
    """Steps of a run in order, one array a figure, all of shape (n,). Unknown figures are NaN."""

    step: Ints
    epoch: Ints
    loss: Floats
    loss_smoothed: Floats
    accuracy: Floats
    accuracy_smoothed: Floats
    learning_rate: Floats
    seconds: Floats

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class EpochColumns:
    """Epochs of a run in order, one array a figure, all of shape (n,). Unknown figures are NaN."""

    epoch: Ints
    step: Ints
    train_loss: Floats
    train_accuracy: Floats
    val_loss: Floats
    val_accuracy: Floats
    learning_rate: Floats
    seconds: Floats
    images_per_second: Floats
    is_best: npt.NDArray[np.bool_]
    """The best so far when it was measured; the last True is the best of all."""
    phase: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.epoch)


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure along one run, in order, arrays of shape (n,). Unknown figures are NaN."""

    step: Ints
    seconds: Floats
    """Of training up to there."""
    value: Floats


@dataclass(frozen=True, slots=True)
class Newest:
    """The latest figures of a run; None where there is none yet. Costs the same at any length."""

    step: int | None
    loss: float | None
    """Training loss, smoothed."""
    accuracy: float | None
    """Training accuracy, smoothed."""
    learning_rate: float | None
    epoch: int | None
    """The last finished epoch, to which the figures below belong."""
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A decision, a change of phase, a warning, an error; `seq` grows along a run's log."""

    seq: int
    at: datetime
    level: str
    text: str
