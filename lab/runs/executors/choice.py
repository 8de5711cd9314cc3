"""The executor of this process, as LAB_EXECUTOR says."""

from __future__ import annotations

import os
import threading

from lab.errors import ConfigError, PlaceLostError
from lab.runs.executors import Executor
from lab.runs.executors.local import LocalExecutor

VARIABLE = "LAB_EXECUTOR"

_executors: dict[str, Executor] = {}
_guard = threading.Lock()


def executor() -> Executor:
    """Where this process has its runs trained. Raises ConfigError for a setting that is none."""
    setting = os.environ.get(VARIABLE, "").strip() or "local"
    with _guard:
        if setting not in _executors:
            _executors[setting] = _make(setting)
        return _executors[setting]


def places_of(where: Executor, device: str) -> int:
    """Returns how many places of this kind there are; 1 while nobody can say."""
    try:
        return len(where.places(device))
    except PlaceLostError:
        return 1


def close_executors() -> None:
    """Leave all clusters; for the end of the process, and for tests."""
    with _guard:
        for each in _executors.values():
            each.close()
        _executors.clear()


def _make(setting: str) -> Executor:
    if setting == "local":
        return LocalExecutor()
    raise ConfigError(f"{VARIABLE} is {setting!r:.80}; it must be local.")
