"""Which kinds of device a run may train on: those of this machine, or of where runs train instead.

A server that has its runs trained elsewhere (`lab.runs.executors`) answers for that place, so that
its pages and checks speak of the device that a run will get.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from lab.config import RunConfig
from lab.errors import ConfigError

Devices = Callable[[], Mapping[str, int]]
"""Returns how many workers of one run can train on cuda, mps and cpu, the fastest first."""


def devices_here() -> Mapping[str, int]:
    import torch  # only when somebody asks: the queue comes up without it

    return {"cuda": torch.cuda.is_available(), "mps": torch.mps.is_available(), "cpu": True}


_devices: Devices = devices_here
_elsewhere = False


def train_on(devices: Devices, *, elsewhere: bool = False) -> None:
    """From now on this process's runs train on these devices, which may be those of `elsewhere`."""
    global _devices, _elsewhere
    _devices, _elsewhere = devices, elsewhere


def trains_elsewhere() -> bool:
    """Whether this process only submits runs: what else a run needs (a compiler, weights) is asked
    on the machine that trains it."""
    return _elsewhere and not getattr(_thread, "is_here", False)


_thread = threading.local()


@contextlib.contextmanager
def here() -> Iterator[None]:
    """While the body runs, this thread trains on this machine, wherever runs train."""
    before = getattr(_thread, "is_here", False)
    _thread.is_here = True
    try:
        yield
    finally:
        _thread.is_here = before


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """While the body runs, this thread trains on this kind of device, whatever else is there."""
    before = getattr(_thread, "device", "")
    _thread.device = device
    try:
        yield
    finally:
        _thread.device = before


def resolve_device(config: RunConfig, there: Mapping[str, int] | None = None) -> str:
    """The device that the run will use: "cuda", "mps" or "cpu", of those that are `there`.

    Raises ConfigError when a device is asked for that is not there, or more workers than it has
    room for.
    """
    devices = devices_here if getattr(_thread, "is_here", False) else _devices
    is_here = there is None and devices is devices_here
    place = "this machine" if is_here else "the cluster"
    own = getattr(_thread, "device", "") if there is None else ""
    there = devices() if there is None else there
    if config.device == "auto" and own:
        device = own
    elif config.device == "auto":
        device = next(name for name, available in there.items() if available)
    else:
        device = config.device
    if not there[device]:
        names = ", ".join(name for name, available in there.items() if available)
        raise ConfigError(
            f"device is {config.device!r}, which {place} does not have; "
            f"it has: {names}. Choose auto or one of these."
        )
    if config.workers > there[device]:
        room = int(there[device])
        raise ConfigError(
            f"workers is {config.workers}, and this lab trains a run in one process. Set workers "
            "to 1, or have runs trained on a Ray cluster (LAB_EXECUTOR, docs/SCALE.md)."
            if is_here
            else f"workers is {config.workers}, and the cluster has {room} "
            f"place{'s' * (room != 1)} for {device}. Set workers to {room} or less, or choose "
            "another device."
        )
    return device
