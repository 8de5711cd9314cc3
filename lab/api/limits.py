"""Who asks, and how often they may: a bucket of tokens each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from lab.limits import limit
from lab.people import Person


def visitor(request: HTTPConnection, person: Person | None) -> str:
    """Returns the member's id, without one the address."""
    if person is not None and person.id:
        return person.id
    return request.client.host if request.client else ""


class Buckets:
    """A bucket of tokens for each visitor: full at first, a minute fills it."""

    def __init__(
        self, setting: tuple[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._setting = setting
        self._clock = clock
        self._guard = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}
        """Visitor -> tokens, and when that was."""

    def take(self, visitor: str) -> float:
        """Takes one token; returns 0.0, or the seconds until there is one."""
        most = limit(self._setting)
        with self._guard:
            now = self._clock()
            tokens, since = self._levels.get(visitor, (float(most), now))
            tokens = min(float(most), tokens + (now - since) * most / 60)
            if tokens < 1:
                return (1 - tokens) * 60 / most
            self._levels[visitor] = tokens - 1, now
            if len(self._levels) > 10_000:  # those that a minute has filled
                self._levels = {v: (t, at) for v, (t, at) in self._levels.items() if now - at < 60}
            return 0.0
