"""Which listeners there are, and which ones this process's runs have.

LAB_LISTENERS=tensorboard,mlflow
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import ConfigError, NotFoundError
from lab.installation import how_to_install_extra
from lab.registry import Registry
from lab.runs.listeners import Listener
from lab.runs.rows import RunRow

VARIABLE = "LAB_LISTENERS"
NOTIFY_VARIABLE = "LAB_NOTIFY"


@dataclass(frozen=True)
class ListenerKind:
    """A program that can follow runs."""

    name: str
    """In LAB_LISTENERS, of its requirements file and of the extra."""
    title: str
    packages: tuple[str, ...]
    """What must be installed for it."""
    make: Callable[[RunRow], Listener]
    takes_steps: bool = True
    """Whether it is sent every step, or only begin, epochs and end."""


KINDS: Registry[ListenerKind] = Registry("listener")


def _late(module: str, class_name: str) -> Callable[[RunRow], Listener]:
    """Returns the class of a module that is imported, with its library, in the listener's
    thread."""

    def make(run: RunRow) -> Listener:
        imported = importlib.import_module(f"lab.runs.listeners.{module}")
        listener: Listener = getattr(imported, class_name)(run)
        return listener

    return make


for _kind in (
    ListenerKind(
        "tensorboard", "TensorBoard", ("tensorboard",), _late("tensorboard", "TensorBoard")
    ),
    ListenerKind("mlflow", "MLflow", ("mlflow",), _late("mlflow", "MLflow")),
    ListenerKind("wandb", "Weights & Biases", ("wandb",), _late("wandb", "WandB")),
    ListenerKind("trackio", "trackio", ("trackio",), _late("trackio", "Trackio")),
):
    KINDS.add(_kind.name, _kind)


NOTIFY = ListenerKind("notify", "Notify", (), _late("notify", "Notifier"), takes_steps=False)
"""Follows runs where LAB_NOTIFY has an address."""


def chosen() -> tuple[ListenerKind, ...]:
    """Returns what LAB_LISTENERS names, each once, and NOTIFY where it has an address. Raises
    ConfigError for a name or an address that is none, and for a library that is not installed."""
    names = os.environ.get(VARIABLE, "").replace(",", " ").split()
    try:
        kinds = [KINDS.get(name) for name in dict.fromkeys(names)]
    except NotFoundError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from None
    for kind in kinds:
        missing = [name for name in kind.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"{VARIABLE} names {kind.name}, and {missing[0]} is not installed. Run "
                f"{how_to_install_extra(kind.name)}, or take it out of {VARIABLE}."
            )
    if os.environ.get(NOTIFY_VARIABLE, "").strip():
        importlib.import_module("lab.runs.listeners.notify").addresses()
        kinds.append(NOTIFY)
    return tuple(kinds)
