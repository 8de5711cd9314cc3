"""Loss and accuracy: of training steps as they come, and of a whole set in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.data.batches import Batch
from lab.models.staged import StagedNet


@dataclass(frozen=True, slots=True)
class StepFigures:
    """Of one training step; `loss` and `correct` are scalars that may still be on the device."""

    step: int
    loss: Tensor
    correct: Tensor
    samples: int
    learning_rate: float


def read(steps: list[StepFigures]) -> list[tuple[StepFigures, float, int]]:
    """Each step with its loss and count of correct answers as numbers: two waits for the device,
    however many steps there are."""
    losses = torch.stack([s.loss for s in steps]).tolist()
    corrects = torch.stack([s.correct for s in steps]).tolist()
    return list(zip(steps, losses, corrects, strict=True))


def evaluate(
    network: StagedNet,
    logits_of: Callable[[Tensor], Tensor],
    batches: Iterable[Batch],
    *,
    between: Callable[[], None],
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all samples of `batches`, unweighted, in eval mode.

    `logits_of` turns a batch's images into logits by `network`, or by the part of it that is left
    to do. `between` is called before each batch and may raise to break off. Leaves the network in
    eval mode.
    """
    network.eval()
    loss, correct, samples = 0.0, 0, 0
    with torch.inference_mode():
        for batch in batches:
            between()
            logits = logits_of(batch.images)
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += int((logits.argmax(1) == batch.labels).sum())
            samples += len(batch.labels)
    return loss / max(1, samples), correct / max(1, samples)
