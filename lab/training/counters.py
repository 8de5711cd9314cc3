"""The counters of a run: everything besides tensors that decides what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.config import RunConfig
from lab.training.speed.precision import Precision


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
    epoch_seconds: float = 0.0
    """Time spent on training steps of the running epoch."""
    loss_sum: float = 0.0
    """Of the running epoch, over samples, like the two below."""
    correct: int = 0
    samples: int = 0
    best_epoch: int | None = None
    best_val_loss: float | None = None
    best_val_accuracy: float | None = None
    stopping_best: float | None = None
    """The best value so far of the figure that early stopping watches, turned so that higher is
    better."""
    epochs_without_improvement: int = 0
    """Of that figure."""
    plateau_best: float | None = None
    plateau_epochs_without: int = 0
    plateau_drops: int = 0
    early_stopped: bool = False
    precision: Precision = "fp32"
    """Of the training steps: a resumed run goes on in the format in which it began."""
    compiled: bool = False
    """Whether training steps are compiled: a resumed run goes on as it began."""
    loss_scaler: dict[str, Any] | None = None
    """State of the loss scaler, with fp16."""

    @property
    def train_loss(self) -> float:
        """Mean over the samples of the running epoch."""
        return self.loss_sum / max(1, self.samples)

    @property
    def train_accuracy(self) -> float:
        return self.correct / max(1, self.samples)

    @property
    def images_per_second(self) -> float:
        return self.samples / max(1e-9, self.epoch_seconds)

    def validated(self, config: RunConfig, val_loss: float, val_accuracy: float) -> bool:
        """Take in the epoch's validation figures; True when it is the best so far.

        By the chosen figure; ties in accuracy go to the lower loss.
        """
        best_loss, best_accuracy = self.best_val_loss, self.best_val_accuracy
        if best_loss is None or best_accuracy is None:
            is_best = True
        elif config.best_metric == "val_loss":
            is_best = val_loss < best_loss
        else:
            is_best = (val_accuracy, -val_loss) > (best_accuracy, -best_loss)
        if is_best:
            self.best_epoch = self.epoch
            self.best_val_loss, self.best_val_accuracy = val_loss, val_accuracy
        watched = val_accuracy if config.early_stopping_metric == "val_accuracy" else -val_loss
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
        self.loss_sum, self.correct, self.samples = 0.0, 0, 0
        self.epoch_seconds = 0.0
