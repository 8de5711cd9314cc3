"""How long a download waits for a server, and how Cancel cuts the waiting short."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.progress import Cancel, never

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again after a dropped connection."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """Silence between two pieces, not the whole download."""
    attempts: int = 4
    """In a row without a further megabyte arriving."""
    backoff_seconds: float = 1.0
    """Before the second attempt; doubled before each further one."""

    def wait_before(self, attempt: int, cancel: Cancel) -> None:
        """Sleep before the repeated attempt 1, 2, ...; returns early on Cancel."""
        end = time.monotonic() + self.backoff_seconds * 2 ** (attempt - 1)
        while time.monotonic() < end and not cancel():
            time.sleep(min(0.1, self.backoff_seconds))


@contextlib.contextmanager
def cancel_ends_reading(response: requests.Response, cancel: Cancel) -> Iterator[None]:
    """Wake a reader that waits for a silent server as soon as Cancel is asked for.

    Without it a Cancel would be heard only when the next piece arrives or the read times out.
    """
    if cancel is never:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if cancel():
                # urllib3 >= 2.3 has `shutdown`; with an older one the read time-out must do.
                with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError):
                    response.raw.shutdown()
                return

    watcher = threading.Thread(target=watch, name="download-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
