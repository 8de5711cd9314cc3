"""Keeps a run's events beside it while the database cannot be written.

<run folder>/waiting-events.jsonl    in order, one line a batch: when it happened, and its events

Each line has reached the operating system before the run goes on, so what waits outlives the
process: `lab.runs.worker.recover` writes it for a process that died.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from lab.home import writing
from lab.training.events import (
    ActivityProgressed,
    EpochDone,
    Event,
    ProbeTaken,
    RunEnded,
    SaveReached,
    StepDone,
)

logger = logging.getLogger(__name__)

NAME = "waiting-events.jsonl"

MOST_BYTES = 64_000_000
"""Some 300,000 steps. Beyond that training waits."""

Batch = tuple[float, list[Event]]
"""When it happened, in seconds since 1970, and the events."""

PASSING = (ActivityProgressed, ProbeTaken, SaveReached)
"""Events of which nothing is recorded."""

_EVENTS = {kind.__name__: kind for kind in get_args(Event)}


class Spill:
    """The waiting events of one run. `lock` is held by whoever writes the run's events, here or to
    the database: so they stay in order, whichever thread writes."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self.path = folder / NAME
        self.bytes = self.path.stat().st_size if self.path.is_file() else 0
        self.ending: RunEnded | None = None
        """Of this process's run, if that waits, too."""
        self.last_step: StepDone | None = None
        self.last_epoch: EpochDone | None = None
        self.best: EpochDone | None = None
        self._in_memory: list[Batch] = []  # the ending that the disk had no room for

    @property
    def is_empty(self) -> bool:
        return not self.bytes and not self._in_memory

    @property
    def is_full(self) -> bool:
        return self.bytes > MOST_BYTES

    def append(self, at: float, events: Sequence[Event]) -> None:
        """Add a batch. Raises ResourceError, and adds nothing, when that cannot be written."""
        values = [[type(e).__name__, _values(e)] for e in events if not isinstance(e, PASSING)]
        line = json.dumps({"at": at, "events": values}).encode() + b"\n"
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                try:
                    if file.write(line) != len(line):  # the disk took a part of it
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(self.bytes)
                    raise
        self.bytes += len(line)
        for event in events:
            self._note(event)

    def keep_in_memory(self, at: float, ending: RunEnded) -> None:
        """Add the ending of a run where neither the database nor the disk has room for it."""
        self._in_memory.append((at, [ending]))
        self._note(ending)

    def batches(self) -> Iterator[Batch]:
        """Yields what waits, in order, up to a line that is cut off or damaged."""
        if self.bytes:
            with self.path.open("rb") as file:
                for line in file:
                    try:
                        values = json.loads(line)
                        batch = values["at"], [_event(*pair) for pair in values["events"]]
                    except (ValueError, TypeError, KeyError) as error:
                        logger.warning("%s ends in a damaged line: %s", self.path, error)
                        break
                    yield batch
        yield from self._in_memory

    def clear(self) -> None:
        """Remove what has been written to the database."""
        with contextlib.suppress(OSError):  # what stays is known as written by the run's status
            self.path.unlink(missing_ok=True)
        self.bytes = 0
        self._in_memory.clear()
        self.ending = self.last_step = self.last_epoch = self.best = None

    def _note(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self.last_step = event
        elif isinstance(event, EpochDone):
            self.last_epoch = event
            self.best = event if event.is_best else self.best
        elif isinstance(event, RunEnded):
            self.ending = event


def _values(event: Event) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in fields(event)}


def _event(name: str, values: dict[str, Any]) -> Event:
    pairs = values.items()
    event: Event = _EVENTS[name](
        **{key: tuple(value) if isinstance(value, list) else value for key, value in pairs}
    )
    return event
