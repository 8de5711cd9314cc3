"""The counters of a run: everything besides tensors that decides what happens next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.config import Precision, RunConfig
from lab.metrics import METRICS


@dataclass
class Counters:
    """Saved with the resume state, so that a resumed run decides as an uninterrupted one would."""

    epoch: int = 1
    """The epoch that is running, from 1."""
    step_in_epoch: int = 0
    """Steps of it that are done."""
    step: int = 0
    """Steps of the whole run that are done."""
    seconds: float = 0.0
    """Training time: of the training steps so far, of a run that it goes on from, too."""
    epoch_seconds: float = 0.0
    """The part of it in the running epoch."""
    elapsed: float = 0.0
    """Seconds of earlier sessions, training and everything else, as of the last save."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of each metric over the samples of the running epoch."""
    samples: int = 0
    best_epoch: int | None = None
    best_val: dict[str, float] = field(default_factory=dict)
    """By metric: of the best epoch."""
    stopping_best: float | None = None
    """The best value so far of the figure that early stopping watches, turned so that higher is
    better."""
    epochs_without_improvement: int = 0
    """Of that figure."""
    plateau_best: float | None = None
    plateau_epochs_without: int = 0
    plateau_drops: int = 0
    early_stopped: bool = False
    rate_factor: float = 1.0
    """Of the learning rate of every further step, since a person changed it by hand."""
    last_rate: float | None = None
    """The learning rate at which a run goes on that starts with "constant"; None for others."""
    tests_before: int = 0
    """How often the runs that it goes on from have looked at its test images."""
    tested: bool = False
    """Whether the run itself has."""
    precision: Precision = "fp32"
    """Of the training steps: a resumed run goes on in the format in which it began."""
    loss_scaler: dict[str, Any] | None = None
    """State of the loss scaler, with fp16."""
    decay_all: bool = False
    """Whether weight decay is for biases and norm layers, too: so in runs that an earlier
    version of the lab began, which go on that way."""

    @classmethod
    def from_json(cls, text: str) -> Counters:
        """As `to_json` wrote them, in this version of the lab or an earlier one."""
        values = json.loads(text)
        if "loss_sum" in values:  # before metrics had names
            loss, correct = values.pop("loss_sum"), values.pop("correct")
            values["sums"] = {"loss": loss, "accuracy": correct} if values["samples"] else {}
            best = {name: values.pop(f"best_val_{name}") for name in ("loss", "accuracy")}
            values["best_val"] = {name: v for name, v in best.items() if v is not None}
        values.setdefault("decay_all", True)
        values.pop("compiled", None)  # now in the config alone
        values.setdefault("elapsed", values.get("seconds", 0.0))  # which once counted everything
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def add(self, sums: dict[str, float], samples: int) -> None:
        """Count a batch: of each metric the sum over its samples.

        A metric that the epoch's first steps lack, because an earlier version of the lab took them,
        has no average of that epoch.
        """
        known = self.sums if self.samples else dict.fromkeys(sums, 0.0)
        self.sums = {name: known[name] + sums[name] for name in sums if name in known}
        self.samples += samples

    def add_training_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.epoch_seconds += seconds

    @property
    def train(self) -> dict[str, float]:
        """By metric: means over the samples of the running epoch."""
        return {name: total / max(1, self.samples) for name, total in self.sums.items()}

    @property
    def stopping_epoch(self) -> int:
        """The epoch with the best value of the metric that early stopping watches, asked when the
        running epoch has been validated."""
        return self.epoch - self.epochs_without_improvement

    @property
    def images_per_second(self) -> float:
        return self.samples / max(1e-9, self.epoch_seconds)

    def validated(self, config: RunConfig, val: dict[str, float]) -> bool:
        """Take in the epoch's validation metrics; True when it is the best so far.

        By the metric that the config chooses; ties go to the lower loss.
        """
        is_best = not self.best_val or _is_better(config.best_metric, val, self.best_val)
        if is_best:
            self.best_epoch, self.best_val = self.epoch, val
        metric = METRICS[config.early_stopping_metric.removeprefix("val_")]
        watched = val[metric.name] if metric.higher_is_better else -val[metric.name]
        if self.stopping_best is None or watched > self.stopping_best:
            self.stopping_best, self.epochs_without_improvement = watched, 0
        else:
            self.epochs_without_improvement += 1
        return is_best

    def plateau(self, val_loss: float, patience: int) -> bool:
        """For the schedule on_plateau: True when validation loss has stalled for `patience` epochs
        and the rate drops now; then the count begins anew."""
        if self.plateau_best is None or val_loss < self.plateau_best:
            self.plateau_best, self.plateau_epochs_without = val_loss, 0
            return False
        self.plateau_epochs_without += 1
        if self.plateau_epochs_without < patience:
            return False
        self.plateau_epochs_without = 0
        self.plateau_drops += 1
        return True

    def next_epoch(self) -> None:
        self.epoch += 1
        self.step_in_epoch = 0
        self.sums, self.samples = {}, 0
        self.epoch_seconds = 0.0


def _is_better(column: str, val: dict[str, float], than: dict[str, float]) -> bool:
    """By `column`, such as "val_accuracy"; ties go to the lower loss."""
    metric = METRICS[column.removeprefix("val_")]
    if val[metric.name] == than[metric.name]:
        return val["loss"] < than["loss"]
    return metric.is_better(val[metric.name], than[metric.name])
