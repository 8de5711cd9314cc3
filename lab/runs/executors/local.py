"""Runs train in threads of this process: one on the CPU, one on each graphics card."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from lab.config import RunConfig
from lab.progress import Report
from lab.runs import locks
from lab.runs.executors import Place
from lab.runs.worker import Engine, Resolve, lab_device, lab_engine
from lab.training.control import Control
from lab.training.devices import devices_here, on_device
from lab.training.events import Event


class LocalExecutor:
    """The places of this machine, which its processes share by lock files (`lab.runs.locks`)."""

    def __init__(self, engine: Engine = lab_engine, resolve: Resolve = lab_device) -> None:
        self._engine = engine
        self._resolve = resolve

    def places(self, device: str) -> tuple[Place, ...]:
        cards = _cards() if device == "cuda" else 0
        if cards < 2:
            return (Place(device, device),)
        return tuple(Place(f"cuda:{index}", device) for index in range(cards))

    def all_places(self) -> tuple[Place, ...]:
        devices = [device for device, is_there in devices_here().items() if is_there]
        return tuple(place for device in devices for place in self.places(device))

    def resolve(self, config: RunConfig) -> str:
        return self._resolve(config)

    def engine(self, place: Place) -> Engine:
        engine = functools.partial(_on_device, self._engine, place.device)
        if place.name == place.device:
            return engine
        return functools.partial(_on_card, engine, int(place.name.partition(":")[2]))

    def turn(
        self,
        place: Place,
        *,
        cancelled_within: Callable[[float], bool],
        on_wait: Callable[[], None],
    ) -> AbstractContextManager[bool]:
        return locks.device_turn(place.name, cancelled_within=cancelled_within, on_wait=on_wait)

    def trouble(self) -> str:
        return ""

    def close(self) -> None:
        return None


def _cards() -> int:
    import torch  # only where a run waits for a card: the queue comes up without it

    return torch.cuda.device_count()


def _on_device(
    engine: Engine, device: str, config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """The engine, in a thread that trains on this kind of device: a run that goes on keeps its own,
    also where there is a faster one by now."""
    with on_device(device):
        yield from engine(config, folder, control, report)


def _on_card(
    engine: Engine, index: int, config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """The engine, in a thread whose "cuda" is the card with this index."""
    import torch

    with torch.cuda.device(index):
        yield from engine(config, folder, control, report)
