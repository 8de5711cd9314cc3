"""The name of a run that nobody named: "Simple CNN on Drawn cats and dogs, Sigmoid".

What stands after the comma is what differs from the newest run of the same network on the same
data set, so that two runs with different settings have different names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lab.config import KNOBS, Knob, RunConfig
from lab.errors import NotFoundError

LONGEST_NAME = 80

_BARE = ("architecture", "dataset", "activation", "freeze", "optimizer")
"""Knobs whose value says by itself what it is: "Sigmoid", "Head only", "AdamW"."""
_IN_THE_TITLE = ("architecture", "dataset", *(k.name for k in KNOBS.values() if k.group == "start"))


@dataclass(frozen=True)
class NamedRun:
    """A run with the same architecture and data set as the new one."""

    name: str
    settings: Mapping[str, Any]
    """Plain values, also of a run of another version of the lab."""


def run_name(title: str, config: RunConfig, others: Sequence[NamedRun]) -> str:
    """Returns `title` and what differs from the newest of `others` (the newest first).

    A run with the settings of an earlier one has its name, unless a person renamed that one.
    Where the name is that of a run with other settings, what differs from that one is added too.
    """
    settings = config.model_dump(mode="json")
    changed = [knobs_that_differ(settings, other.settings) for other in others]
    for other, knobs in zip(others, changed, strict=True):
        if not knobs and other.name.startswith(title):
            return other.name
    used: dict[str, None] = dict.fromkeys(changed[0] if changed else ())
    name = _joined(title, settings, used)
    for _ in KNOBS:  # each round adds a knob, so this ends
        namesakes = (
            knobs
            for other, knobs in zip(others, changed, strict=True)
            if other.name == name and set(knobs) - set(used)
        )
        more = next(namesakes, None)
        if more is None:
            break
        used |= dict.fromkeys(more)
        name = _joined(title, settings, used)
    return _numbered(name, {o.name for o, knobs in zip(others, changed, strict=True) if knobs})


class _Named(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


def titles(runs: Sequence[_Named]) -> list[str]:
    """Returns the runs' names; where several have one name, with the end of their ids."""
    counts = Counter(run.name for run in runs)
    return [r.name if counts[r.name] == 1 else f"{r.name} · {r.id[-4:]}" for r in runs]


def knobs_that_differ(settings: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the knobs that change the result, do something, and have different values."""
    return [
        name
        for name, knob in KNOBS.items()
        if knob.effect == "result"
        and name not in _IN_THE_TITLE
        and name in other
        and settings[name] != other[name]
        # An image size that is not settled yet becomes the data set's own.
        and not (name == "image_size" and None in (settings[name], other[name]))
        and (knob.is_used(settings, KNOBS) or knob.is_used(other, KNOBS))
    ]


def setting_words(knob: Knob, value: Any) -> str:
    """Returns a knob's value with as much of its title as it needs: "Sigmoid", "20 epochs"."""
    title = knob.title[0].lower() + knob.title[1:]
    if isinstance(value, bool):
        return title if value else f"no {title}"
    text = value_text(knob.name, value)
    if knob.name in _BARE and value != "auto":
        return text
    if knob.name == "epochs":
        return f"{text} epoch" if value == 1 else f"{text} epochs"
    if text == "all":
        return f"all {title}"
    if knob.kind == "choice" and text[1:].islower():  # not "ImageNet", "CPU"
        text = text.lower()
    return f"{title} {text}"


def value_text(name: str, value: Any) -> str:
    """Returns a setting's value for people: the title of a network or a data set, else the knob's
    words. What this lab does not know, such as a removed data set, stands as it is."""
    # Imported here: torch comes with them, and the run store opens without it. Whoever makes a run
    # has checked its settings before, and with that has them.
    if name == "architecture":
        from lab.models.architecture import ARCHITECTURES

        return ARCHITECTURES.get(value).title if value in ARCHITECTURES else str(value)
    if name == "dataset":
        from lab.data import catalog

        if value in catalog.DATASETS:
            return catalog.DATASETS.get(value).title
        try:
            return catalog.describe(value).title
        except NotFoundError:
            return str(value)
    return KNOBS[name].text(value) if name in KNOBS else str(value)


def title_of(config: RunConfig) -> str:
    """Returns "Simple CNN on Drawn cats and dogs"."""
    network = value_text("architecture", config.architecture)
    start = f", from epoch {config.start_epoch} of {config.start_from[-4:]}"
    end = start if config.start_from else ""
    return shortened(f"{network} on {value_text('dataset', config.dataset)}", end)


def shortened(name: str, end: str = "") -> str:
    """Returns the name and its `end` with at most 80 characters together; the end stays whole."""
    room = LONGEST_NAME - len(end)
    return f"{name}{end}" if len(name) <= room else f"{name[: room - 1].rstrip()}…{end}"


def _joined(title: str, settings: Mapping[str, Any], used: Mapping[str, None]) -> str:
    """The title and the words of the knobs; those that do not fit are counted."""
    words = [setting_words(KNOBS[name], settings[name]) for name in KNOBS if name in used]
    whole = ", ".join([title, *words])
    for fitting in range(len(words), -1, -1):
        left = len(words) - fitting
        rest = f" and {left} more" if left else ""
        whole = ", ".join([title, *words[:fitting]]) + rest
        if len(whole) <= LONGEST_NAME:
            return whole
    return shortened(whole)


def _numbered(name: str, taken: set[str]) -> str:
    """The name with the first free number, where runs with other settings have it already."""
    number, free = 1, name
    while free in taken:
        number += 1
        end = f" ({number})"
        free = f"{name[: LONGEST_NAME - len(end)].rstrip()}{end}"
    return free
