"""The one clock of a run, and what goes on beside its training steps.

    training time    the laps of training steps: drawing up a batch, forward, backward, update,
                     reading the metrics
    elapsed          everything since the run's first session began, pauses left out

Each lap is taken when a piece of work is over and counted where it belongs, so that nothing has to
be subtracted from anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from lab.training.events import ActivityKind, ActivityProgressed

REPORT_SECONDS = 0.25
"""Between two events of an activity."""

Clock = Callable[[], float]


class Stopwatch:
    """Runs from its making on."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._began = self._mark = clock()

    def lap(self) -> float:
        """Returns the seconds since the last lap and begins another."""
        before, self._mark = self._mark, self._clock()
        return self._mark - before

    @property
    def lap_so_far(self) -> float:
        return self._clock() - self._mark

    @property
    def elapsed(self) -> float:
        return self._clock() - self._began


class Activity:
    """Work beside training steps, piece by piece, and its events."""

    def __init__(
        self,
        watch: Stopwatch,
        kind: ActivityKind,
        text: str,
        *,
        total: int,
        unit: str = "images",
        later: int = 0,
    ) -> None:
        self._watch = watch
        self._kind = kind
        self._text = text
        self._total = total
        self._unit = unit
        self._later = later
        self._done = 0
        self._seconds = 0.0
        self._next_report = 0.0

    @property
    def is_over(self) -> bool:
        return self._done >= self._total

    def begin(self) -> Iterator[ActivityProgressed]:
        """The first event; time from here on belongs to the activity."""
        yield self._progressed()
        self._watch.lap()

    def add(self, done: int) -> Iterator[ActivityProgressed]:
        """`done` units of it are done by now; the last lap was spent on it."""
        self._done = done
        self._seconds += self._watch.lap()
        if self.is_over or self._watch.elapsed >= self._next_report:
            yield self._progressed()
            self._watch.lap()

    def _progressed(self) -> ActivityProgressed:
        self._next_report = self._watch.elapsed + REPORT_SECONDS
        return ActivityProgressed(
            kind=self._kind,
            activity=self._text,
            done=self._done,
            total=self._total,
            unit=self._unit,
            seconds=self._seconds,
            later=self._later,
        )
