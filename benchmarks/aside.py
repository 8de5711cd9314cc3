"""The plain script in a process of its own, as somebody would run it.

The lab changes settings that hold for a whole process (how freed memory is kept) and keeps memory
of its own; in one process with it the script would be helped by the one and charged for the other.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from benchmarks.memory import peak_memory
from benchmarks.plain import PlainRun


class Aside:
    """`make(*given)` builds the script in the other process; both must be picklable.

        with Aside(make, ...) as script:
            seconds = script.epoch()

    It works only when asked, so both sides can be measured in turn.
    """

    def __init__(self, make: Callable[..., PlainRun], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ask, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, given), daemon=True)
        self.peak_mb = 0.0
        """The most that its process ever took."""

    def __enter__(self) -> Aside:
        self._process.start()
        self._ask.recv()  # it is ready
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ask.send(None)
        self._process.join(30)

    def epoch(self) -> float:
        """Seconds of training and validating once."""
        return self._do("epoch")

    def evaluate(self) -> float:
        """Seconds of going through the validation set once."""
        return self._do("evaluate")

    def _do(self, what: str) -> float:
        self._ask.send(what)
        seconds, peak = self._ask.recv()
        self.peak_mb = max(self.peak_mb, peak)
        return float(seconds)


def _serve(asked: Connection, make: Callable[..., PlainRun], given: tuple[Any, ...]) -> None:
    """Runs in the other process until it is told to end."""
    script = make(*given)
    asked.send("ready")
    while what := asked.recv():
        with peak_memory() as peak:
            began = time.perf_counter()
            getattr(script, what)()
            seconds = time.perf_counter() - began
        asked.send((seconds, peak.mb))
