"""The formulas of the metrics: of training steps as they come, and of a whole set in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.data.batches import Batch
from lab.metrics import Metric

Formula = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K) and labels (N,) -> values (N,), one a sample."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the logarithm of the true class's probability, in nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def is_right(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 where the true class has the largest logit, else 0.0."""
    return (logits.argmax(1) == labels).float()


def is_in_top_5(logits: Tensor, labels: Tensor) -> Tensor:
    """1.0 where fewer than five classes have a larger logit than the true one, else 0.0."""
    own = logits.gather(1, labels[:, None])
    larger = ~(logits <= own)  # NaN counts as larger: what is no number is no right answer
    return (larger.sum(1) < 5).float()


FORMULAS: dict[str, Formula] = {
    "loss": cross_entropy,
    "accuracy": is_right,
    "top5_accuracy": is_in_top_5,
    "macro_recall": is_right,  # averaged within each class first
}
"""By the names of `lab.metrics.METRICS`."""


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One training step's numbers, which may still be on the device."""

    step: int
    numbers: Tensor
    """As `of_batch` returns them."""
    samples: int
    learning_rate: float


def of_batch(metrics: Sequence[Metric], loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss (), as it was minimised, and the sums of the other `metrics` over the batch:
    (1 + M,) on the device of `logits` (N, K) and `labels` (N,)."""
    logits = logits.detach()
    others = (FORMULAS[m.name](logits, labels).sum() for m in metrics if m.name != "loss")
    return torch.stack([loss.detach(), *others])


def read(metrics: Sequence[Metric], steps: Sequence[StepMetrics]) -> list[dict[str, float]]:
    """The sums of each step over its samples, by name: one wait for the device, however many steps
    there are."""
    names = [metric.name for metric in metrics if metric.name != "loss"]
    numbers = torch.stack([step.numbers for step in steps]).tolist()
    return [
        {"loss": loss * step.samples, **dict(zip(names, sums, strict=True))}
        for step, (loss, *sums) in zip(steps, numbers, strict=True)
    ]


class Tally:
    """Each of `metrics` over the batches that are added, unweighted."""

    def __init__(self, metrics: Sequence[Metric], *, classes: int) -> None:
        self._metrics = metrics
        self._classes = classes
        # Sums a class, because a metric may average within each class first.
        self._sums = torch.zeros(len(metrics), classes, dtype=torch.float64)
        self._counts = torch.zeros(classes, dtype=torch.float64)

    @property
    def samples(self) -> int:
        return int(self._counts.sum())

    @torch.inference_mode()
    def add(self, logits_of: Callable[[Tensor], Tensor], batch: Batch) -> None:
        """`logits_of` turns the batch's images into logits (N, K); what it runs is in eval mode."""
        logits = logits_of(batch.images)
        values = torch.stack([FORMULAS[m.name](logits, batch.labels) for m in self._metrics])
        labels = batch.labels.cpu()
        self._sums.index_add_(1, labels, values.double().cpu())
        self._counts += torch.bincount(labels, minlength=self._classes)

    def values(self) -> dict[str, float]:
        """By metric; 0 with no samples at all."""
        return {
            metric.name: _averaged(metric, total, self._counts)
            for metric, total in zip(self._metrics, self._sums, strict=True)
        }


def _averaged(metric: Metric, sums: Tensor, samples: Tensor) -> float:
    """From sums (K,) and counts (K,) of the classes; classes without a sample do not count."""
    if metric.average == "samples":
        return float(sums.sum() / samples.sum().clamp(min=1))
    seen = samples > 0
    return float((sums[seen] / samples[seen]).mean()) if seen.any() else 0.0
