"""How much one visitor may ask for: a bucket of tokens each, and the numbers that operators set."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from lab.errors import ConfigError

REQUESTS_A_MINUTE = ("LAB_MAX_REQUESTS", 1200)
"""Of the API, by one member."""
UPLOADS_A_MINUTE = ("LAB_MAX_UPLOADS", 6000)
"""Files, by one member: a folder comes file by file."""
SIGN_INS_A_MINUTE = ("LAB_MAX_SIGN_INS", 120)
"""From one address: a class may sit behind one."""
MEMORY_MEGABYTES = ("LAB_MAX_SESSION_MB", 200)
"""Of pictures to classify, which stay in memory, by one visitor."""
MEMORY_FILES = ("LAB_MAX_SESSION_FILES", 500)

_ALL = (REQUESTS_A_MINUTE, UPLOADS_A_MINUTE, SIGN_INS_A_MINUTE, MEMORY_MEGABYTES, MEMORY_FILES)


def limit(setting: tuple[str, int]) -> int:
    """Returns the number that the operator set, else the default. Raises ConfigError."""
    variable, default = setting
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:10]) < 10**9:
        raise ConfigError(f"{variable} is {text!r:.40}; allowed are whole numbers from 1.")
    return int(text)


def check_limits() -> None:
    """Raises ConfigError for a limit that is no number: told at the start, not to a visitor."""
    for setting in _ALL:
        limit(setting)


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
