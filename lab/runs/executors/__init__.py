"""Where runs train: the places of this machine, or those of a Ray cluster.

A place takes one run at a time. The queue has a worker thread for each of them; an executor says
which places there are, which kind of device a run waits for, and how a run trains on a place.

    LAB_EXECUTOR   local (default)    `local`: in threads of this process
                   ray                `ray_cluster`: Ray, started on this machine
                   ray://host:6379    the same on the cluster of that head
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from lab.config import RunConfig
from lab.runs.worker import Engine


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run at a time trains."""

    name: str
    """Such as cpu, cuda:1 or "cluster cuda 3"."""
    device: str
    """The kind of device: a run waits for any place of its kind."""


class Executor(Protocol):
    """What the queue asks of the place where runs train. Methods may be called by any thread."""

    def places(self, device: str) -> tuple[Place, ...]:
        """The places of one kind of device as there are now."""
        ...

    def all_places(self) -> tuple[Place, ...]:
        """All places that there are now."""
        ...

    def resolve(self, config: RunConfig) -> str:
        """The kind of device that the run will use; raises ConfigError where there is none."""
        ...

    def engine(self, place: Place) -> Engine:
        """What trains a run on this place."""
        ...

    def turn(
        self,
        place: Place,
        *,
        cancelled_within: Callable[[float], bool],
        on_wait: Callable[[], None],
    ) -> AbstractContextManager[bool]:
        """Hold the place while the body runs, as `lab.runs.locks.device_turn` does."""
        ...

    def trouble(self) -> str:
        """Why the place where runs train is out of reach now, in a sentence; "" while it is not.
        Runs may train on for a while."""
        ...

    def close(self) -> None:
        """Leave the place where runs train; those that still train there are interrupted."""
        ...
