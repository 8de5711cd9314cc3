"""Which kinds of device a run may train on: those of this machine, or of where runs train instead.

A server that has its runs trained elsewhere (`lab.runs.executors`) answers for that place, so that
its pages and checks speak of the device that a run will get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.config import RunConfig
from lab.errors import ConfigError

Devices = Callable[[], Mapping[str, bool]]
"""Returns which of cuda, mps and cpu there are, the fastest first."""


def devices_here() -> Mapping[str, bool]:
    import torch  # only when somebody asks: the queue comes up without it

    return {"cuda": torch.cuda.is_available(), "mps": torch.mps.is_available(), "cpu": True}


_devices: Devices = devices_here


def train_on(devices: Devices) -> None:
    """From now on this process's runs train where these devices are."""
    global _devices
    _devices = devices


def resolve_device(config: RunConfig, there: Mapping[str, bool] | None = None) -> str:
    """The device that the run will use: "cuda", "mps" or "cpu", of those that are `there`.

    Raises ConfigError when a device is asked for that is not there.
    """
    place = "this machine" if _devices is devices_here else "the cluster"
    there = _devices() if there is None else there
    if config.device == "auto":
        return next(name for name, available in there.items() if available)
    if not there[config.device]:
        names = ", ".join(name for name, available in there.items() if available)
        raise ConfigError(
            f"device is {config.device!r}, which {place} does not have; "
            f"it has: {names}. Choose auto or one of these."
        )
    return config.device
