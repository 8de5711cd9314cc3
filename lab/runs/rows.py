"""What the run store returns: frozen plain values and numpy columns."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy import RowMapping

from lab.config import RunConfig
from lab.metrics import METRICS
from lab.names import visible
from lab.progress import Progress
from lab.runs.status import ACTIVE, RESUMABLE

T = TypeVar("T")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run at the time it was read. What is not known yet is None."""

    id: str
    name: str
    origin: str
    """Who asked for it: "" is a person, else for example "recipe:sl-cnn:quick"."""
    person: str
    """The id of who started it (`lab.people`); "" is the operator."""
    person_name: str
    """Their name; "" for the operator."""
    assignment: str
    """The assignment that it is an answer to (`lab.runs.assignments`); "" is none."""
    tag: str
    """A person's own label; "" is none."""
    notes: str
    starred: bool
    is_baseline: bool
    """Whether it is the one run that the others are compared with."""
    parent: str
    """The run that it starts from; "" is none."""
    parent_epoch: int | None
    """The epoch of it."""
    forecast: str
    """What a person expected of it before it started (`lab.experiments.forecasts`); "" is nothing.
    """
    status: str
    config_json: str
    dataset: str
    architecture: str
    created_at: datetime
    """All times are UTC."""
    started_at: datetime | None
    """When it first left the queue."""
    ended_at: datetime | None
    queue_position: int | None
    """1 is the next one; None unless queued."""
    expected_seconds: float | None
    """How long it was expected to take when it began to wait; None where nothing was known."""
    most_seconds: float | None
    """Of training, after which it is finished; None is no limit."""
    owner: str
    """The process that works on it; of an interrupted run, the one that may come back to it."""
    home: str
    """The LAB_HOME (`lab.home.home_id`) with its files; "" in runs of an earlier version."""
    requested: str | None
    """A stop, pause or finish that the trainer has not answered yet."""
    rate_changes: tuple[tuple[int, float], ...]
    """Changes of the learning rate by hand: from which step on, and to what."""
    message: str
    """How it ended, in one sentence."""
    device: str
    activity: str
    """What it does at this moment beside training steps, such as "Validating epoch 3"; what it
    waits for while queued; "" while training steps go on and once it has ended."""
    activity_done: int
    activity_total: int
    """0 when unknown."""
    activity_unit: str
    """Such as "images"; "bytes" are shown as a size."""
    activity_seconds_left: float | None
    """Of the activity, from its own pace so far."""
    progress: float
    """Share done, in [0, 1]: of the preparation while preparing, else of all steps."""
    revision: int
    """Grows when a resume deletes recorded steps: whoever read them must read them again."""
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
    best_val: Mapping[str, float]
    """The best epoch's validation metrics by name, those that are measured."""
    test: Mapping[str, float]
    """The test metrics of the best epoch's weights by name, those that are measured."""
    test_looks: int
    """How often the test images were looked at by then, by the runs that it goes on from, too."""
    seconds: float
    """Training time: of the training steps alone."""
    elapsed: float | None
    """Everything since the first step, pauses left out: training steps, validation, test and the
    rest, as of the last epoch's end or the run's. None in runs of an earlier version."""
    seconds_left: float | None
    """Until the run has ended, the test included, unless it ends early; None unless it is running
    and something was measured."""
    images_per_second: float | None
    """Training images over the time spent on training steps."""

    @property
    def config(self) -> RunConfig:
        """The settings. Raises ConfigError when another version of the lab wrote knobs that this
        one does not know; `settings` always works."""
        return _config(self.config_json)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain JSON values, as they were written; knobs that came to the lab after
        the run have their defaults, as in `config`. Empty where the row is damaged."""
        written = _read(self.config_json, dict)
        return {} if written is None else {**_defaults(), **written}

    @property
    def progress_text(self) -> str:
        """The activity in words, such as "Validating epoch 3 · 640 of 2,000 images · 12 s left"."""
        left = self.activity_seconds_left
        progress = Progress(
            self.activity_done, self.activity_total, self.activity, self.activity_unit
        )
        return progress.in_words(progress.units_left / left if left else None)

    @property
    def best_val_accuracy(self) -> float | None:
        """The best epoch's validation accuracy; None before the first epoch has ended."""
        return self.best_val.get("accuracy")

    @property
    def test_accuracy(self) -> float | None:
        """The best weights' test accuracy; None until it is measured."""
        return self.test.get("accuracy")

    @property
    def is_active(self) -> bool:
        """Whether a process works on the run."""
        return self.status in ACTIVE

    @property
    def is_live(self) -> bool:
        """Whether the run may change by itself, so that a page must follow it."""
        return self.status in ACTIVE or self.status == "queued"

    @property
    def has_weights(self) -> bool:
        """Whether the run has a checkpoint: from the end of its first epoch on."""
        return self.best_epoch is not None

    @property
    def can_go_on(self) -> bool:
        """Whether another run can start from it: it has ended, and keeps weights."""
        return self.has_weights and not self.is_live

    @property
    def can_resume(self) -> bool:
        """Whether training can go on from the last checkpoint."""
        return self.status in RESUMABLE

    @classmethod
    def from_database(cls, row: RowMapping) -> RunRow:
        values = {name: row[name] for name in _UNCONVERTED}
        # Written before names were checked, or by another program.
        values |= {name: visible(row[name]) for name in ("name", "tag", "notes")}
        return cls(
            config_json=row["config"],
            class_names=tuple(map(str, _read(row["class_names"], list) or ())),
            rate_changes=_rate_changes(row["rate_changes"]),
            best_val=_metric_values(row, "best_val"),
            test=_metric_values(row, "test"),
            created_at=_time(row["created_at"]) or _UNKNOWN,
            started_at=_time(row["started_at"]),
            ended_at=_time(row["ended_at"]),
            **values,
        )


def _read(text: str, kind: type[T]) -> T | None:
    """Returns the JSON value; None where it is damaged: one run's row must not take the list of all
    runs with it."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return value if isinstance(value, kind) else None


def _rate_changes(text: str) -> tuple[tuple[int, float], ...]:
    try:
        return tuple((int(step), float(rate)) for step, rate in _read(text, list) or ())
    except (TypeError, ValueError):
        return ()


_CONVERTED = (
    "config_json", "class_names", "rate_changes", "created_at", "started_at", "ended_at",
    "best_val", "test",
)  # fmt: skip
_UNCONVERTED = tuple(f.name for f in fields(RunRow) if f.name not in _CONVERTED)


def _metric_values(row: RowMapping, part: str) -> Mapping[str, float]:
    values = {name: row[f"{part}_{name}"] for name in METRICS}
    return {name: value for name, value in values.items() if value is not None}


@functools.lru_cache(maxsize=4096)
def _config(text: str) -> RunConfig:
    return RunConfig.from_json(text)


@functools.cache
def _defaults() -> dict[str, Any]:
    return RunConfig().model_dump(mode="json")


_UNKNOWN = datetime.fromtimestamp(0, UTC)

LATEST = 7e9
"""In the year 2191: pandas and time zones do not go much further."""


def _time(seconds: float | None) -> datetime | None:
    """None for a time that a clock cannot have shown: a damaged row spoils no list of runs."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < LATEST:
        return None
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class StepColumns:
    """Steps of a run in order, one array a column, all of shape (n,). NaN where nothing is known.

    `steps["loss"]` and `steps["loss_smoothed"]` are the columns of a metric.
    """

    step: Ints
    epoch: Ints
    learning_rate: Floats
    seconds: Floats
    metrics: Mapping[str, Floats]

    def __getitem__(self, column: str) -> Floats:
        return self.metrics[column]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class EpochColumns:
    """Epochs of a run in order, one array a column, all of shape (n,). NaN where nothing is known.

    `epochs["train_loss"]` and `epochs["val_loss"]` are the columns of a metric.
    """

    epoch: Ints
    step: Ints
    learning_rate: Floats
    seconds: Floats
    """Training time up to each epoch's end."""
    elapsed: Floats
    """As `RunRow.elapsed`."""
    images_per_second: Floats
    is_best: npt.NDArray[np.bool_]
    """Whether the epoch was the best so far; the last True is the best of all."""
    phase: tuple[str, ...]
    metrics: Mapping[str, Floats]

    def __getitem__(self, column: str) -> Floats:
        return self.metrics[column]

    def __len__(self) -> int:
        return len(self.epoch)


@dataclass(frozen=True, slots=True)
class Curve:
    """One column of one run, in order, arrays of shape (n,). NaN where nothing is known."""

    step: Ints
    seconds: Floats
    """Training time up to each point."""
    value: Floats


@dataclass(frozen=True, slots=True)
class Newest:
    """The metrics of a run's latest step and last finished epoch."""

    step: int | None
    learning_rate: float | None
    epoch: int | None
    metrics: Mapping[str, float]
    """By column, such as "loss_smoothed" and "val_accuracy", those that are measured."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A decision, a change of phase, a warning, an error; `seq` grows along a run's log."""

    seq: int
    at: datetime
    level: str
    text: str
