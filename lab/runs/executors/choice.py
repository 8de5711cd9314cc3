"""The executor of this process, as LAB_EXECUTOR says."""

from __future__ import annotations

import atexit
import importlib.util
import os
import threading

from lab.errors import ConfigError, PlaceLostError
from lab.installation import how_to_install_extra
from lab.runs.executors import Executor
from lab.runs.executors.local import LocalExecutor
from lab.runs.executors.ray_cluster import RayExecutor
from lab.runs.rows import RunRow
from lab.training import devices

VARIABLE = "LAB_EXECUTOR"

_executors: dict[str, Executor] = {}
_guard = threading.Lock()


def executor() -> Executor:
    """Where this process has its runs trained. Raises ConfigError for a setting that is none."""
    setting = os.environ.get(VARIABLE, "").strip() or "local"
    with _guard:
        if setting not in _executors:
            made = _executors[setting] = _make(setting)
            if isinstance(made, RayExecutor):
                devices.train_on(made.devices, elsewhere=True)
        return _executors[setting]


def trains_on_cluster() -> bool:
    """Whether this process's runs train on a Ray cluster, where several workers may share one."""
    return isinstance(executor(), RayExecutor)


def device_for(where: Executor, row: RunRow) -> tuple[str, str]:
    """Returns the kind of device that a run will use, and what its log must say about that.

    A run that goes on keeps the kind that it has trained on, as long as there is one: on another
    kind numbers are rounded differently. Raises ConfigError, PlaceLostError.
    """
    if not keeps_device(row):
        return where.resolve(row.config), ""
    try:
        return where.resolve(row.config.changed(device=row.device)), ""
    except ConfigError:
        device = where.resolve(row.config)
    return device, (
        f"Goes on with {device} instead of {row.device}, for which there is no place any more. "
        "From here on its figures differ a little from those of an uninterrupted run."
    )


def keeps_device(row: RunRow) -> bool:
    """Whether the device of a queued run is the one that it has trained on, which need not be there
    any more."""
    return bool(row.step and row.device) and row.settings.get("device", "auto") == "auto"


def places_of(where: Executor, device: str) -> int:
    """Returns how many places of this kind there are; 1 while nobody can say, or knows the kind."""
    try:
        return max(1, len(where.places(device)))
    except PlaceLostError:
        return 1


def close_executors() -> None:
    """Leave all clusters; for the end of the process, and for tests."""
    with _guard:
        for each in _executors.values():
            each.close()
        _executors.clear()
        devices.train_on(devices.devices_here)


atexit.register(close_executors)  # before the queue's own, so it comes after


def _make(setting: str) -> Executor:
    if setting == "local":
        return LocalExecutor()
    address = setting.removeprefix("ray://")
    if setting != "ray" and (address == setting or not address):
        raise ConfigError(
            f"{VARIABLE} is {setting!r:.80}; it must be local, ray, or ray:// and the address of "
            "a cluster's head, such as ray://10.0.0.5:6379."
        )
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            f"{VARIABLE} is {setting!r:.80}, and Ray is not installed. Run "
            f"{how_to_install_extra('ray')}, or set it to local."
        )
    return RayExecutor("" if setting == "ray" else address)
