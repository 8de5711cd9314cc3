"""Progress of long work, and its cancelling."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import LabError
from lab.words import duration, size


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` `unit`s of the work that `text` names; `total` is 0 when unknown."""

    done: int
    total: int
    text: str
    unit: str = ""

    @property
    def fraction(self) -> float | None:
        """In [0, 1], or None when the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def units_left(self) -> int:
        """0 when the total is unknown."""
        return max(0, self.total - self.done)

    def seconds_left(self, per_second: float | None) -> float | None:
        """Seconds left at so many units a second; None when that or the total is unknown."""
        return self.units_left / per_second if per_second and self.total else None

    def in_words(self, per_second: float | None = None) -> str:
        """Such as "Downloading Pets · 12.3 MB of 46.8 MB · 3.1 MB/s · 11 s left"."""
        parts = [self.text]
        if self.unit == "bytes":
            parts.append(
                f"{size(self.done)} of {size(self.total)}" if self.total else size(self.done)
            )
            if per_second:
                parts.append(f"{size(per_second)}/s")
        elif self.total:
            parts.append(f"{self.done:,} of {self.total:,} {self.unit}".rstrip())
        left = self.seconds_left(per_second)
        if left is not None and left >= 2:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)


Report = Callable[[Progress], None]
"""Called from the working thread, several times a second at most; must return at once."""

Cancel = Callable[[], bool]
"""Called by the working thread between two small pieces of work; True means stop cleanly."""


class Cancelled(LabError):
    """The work was cancelled; nothing half-done is left behind."""


def silent(progress: Progress) -> None:
    """The Report that does nothing."""


def never() -> bool:
    """The Cancel that never cancels."""
    return False


def check_cancel(cancel: Cancel, what: str) -> None:
    """Raise Cancelled when `cancel` says so; `what` begins the sentence."""
    if cancel():
        raise Cancelled(f"{what} was cancelled; nothing was kept.")


def throttled(report: Report, *, per_second: float = 10.0) -> Report:
    """`report`, called at most `per_second` times a second; the first and the last always pass.

    The last is the one whose `done` reaches its `total`.
    """
    interval = 1.0 / per_second
    next_time = 0.0

    def throttled_report(progress: Progress) -> None:
        nonlocal next_time
        now = time.monotonic()
        if now >= next_time or (progress.total and progress.done >= progress.total):
            next_time = now + interval
            report(progress)

    return throttled_report


class Rate:
    """Units a second over the last seconds of one activity (one text and unit).

    Not thread-safe: its owner locks. Times are of one monotonic clock, in seconds.
    """

    def __init__(self, window_seconds: float = 10.0) -> None:
        self._window = window_seconds
        self._activity: tuple[str, str] | None = None
        self._marks: deque[tuple[float, int]] = deque()
        self._done = 0

    def add(self, progress: Progress, *, now: float) -> None:
        activity = (progress.text, progress.unit)
        if activity != self._activity or progress.done < self._done:
            self._activity = activity
            self._marks.clear()
        self._done = progress.done
        # A quarter of a second between marks bounds the memory, however often the work reports.
        if not self._marks or now - self._marks[-1][0] >= 0.25:
            self._marks.append((now, progress.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > self._window:
            self._marks.popleft()

    def per_second(self, *, now: float) -> float | None:
        """The rate up to `now`, so that a stall lowers it; None in the first half second."""
        if not self._marks:
            return None
        since, before = self._marks[0]
        if now - since < 0.5:
            return None
        return (self._done - before) / (now - since)
