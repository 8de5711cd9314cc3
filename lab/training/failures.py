"""How a run can fail in a way that the person can act on, in words."""

from __future__ import annotations

import torch

from lab.config import RunConfig
from lab.errors import DivergedError


def diverged(
    what: str, value: float, *, step: int, epoch: int, learning_rate: float
) -> DivergedError:
    """For a loss that is NaN or infinite."""
    return DivergedError(
        f"The {what} became {value} at step {step:,} (epoch {epoch}) with a learning rate of "
        f"{learning_rate:g}. Try a rate ten times smaller, gradient clipping of 1, or pixel "
        "scaling 'standard'."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether any of torch's ways to say so, or Python's own, is `error`."""
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "out of memory" in text or "can't allocate memory" in text
    )


def out_of_memory(config: RunConfig, *, device: str, step: int) -> str:
    """The sentence for it; `step` is the one that did not fit."""
    return (
        f"Out of memory on {device} at step {step:,} with batch size {config.batch_size} and "
        f"images of {config.image_size} pixels. Halve the batch size, or choose smaller images or "
        "a smaller architecture."
    )
