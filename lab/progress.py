"""How long work tells how far it is and learns that nobody wants it any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` `unit`s of what `text` says; `total` is 0 when nobody knows it."""

    done: int
    total: int
    text: str
    unit: str = ""

    @property
    def fraction(self) -> float | None:
        """In [0, 1], or None when the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None


Report = Callable[[Progress], None]
"""Called from the working thread, several times a second at most; must return at once."""

Cancel = Callable[[], bool]
"""Asked by the working thread between two small pieces of work; True means give up cleanly."""


class Cancelled(LabError):
    """The person pressed Cancel; nothing half-done is left behind."""


def silent(progress: Progress) -> None:
    """The Report for callers that do not listen."""


def never() -> bool:
    """The Cancel for callers that never give up."""
    return False


def check_cancel(cancel: Cancel, what: str) -> None:
    """Raise Cancelled when the work is no longer wanted."""
    if cancel():
        raise Cancelled(f"{what} was cancelled; nothing was kept.")
