"""How a run can fail in a way that the person can act on, in words. Imports no torch."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from lab.errors import DiskFullError, DivergedError, ResourceError


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
    """By its words: torch's own class for it is a RuntimeError that says so, and is not imported
    here because the queue, which must come up without torch, asks too."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )


@contextlib.contextmanager
def out_of_memory_as(sentence: str) -> Iterator[None]:
    """Within it want of memory is a ResourceError with this sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(sentence) from error


def out_of_memory(batch_size: int | None, image_size: int | None, *, where: str = "") -> str:
    """The sentence for it; `where` is such as " on cpu at step 5"."""
    size = f"{image_size} x {image_size} pixels" if image_size else "the data set's size"
    return (
        f"Out of memory{where} with batch size {batch_size} and images of {size}. Halve the batch "
        "size, or choose smaller images or a smaller architecture."
    )


NO_ROOM = "The disk is full: "
"""How those of a full disk begin."""


def no_room(error: DiskFullError) -> str:
    """The closing sentences of a run that found no room on the disk."""
    return f"{error} With the lab open it goes on by itself when there is room; Resume does so now."


def is_divergence(message: str) -> bool:
    """Whether a run's closing sentence is the one above."""
    return re.match(r"The \w+ loss became ", message) is not None
