"""Every error that a person can meet.

    LabError                 base: its message is shown to the person as it stands
    ├── ConfigError          a knob is unknown, out of range, or does not fit the others
    │   └── StateError       a run's state does not allow what was asked of it
    │       └── RunLostError another process has the run by now
    ├── NotFoundError        a name (data set, architecture, run, checkpoint) is not there
    ├── DataError            a file, folder, zip, CSV or download cannot be used
    ├── NotAllowedError      the person may not do that
    │   └── NotSignedInError nobody knows yet who the person is
    ├── WeightsError         pretrained weights cannot be had
    ├── ResourceError        out of memory, device missing, lock held
    │   ├── DiskFullError    pauses a run, which goes on when there is room
    │   └── PlaceLostError   where a run trains is gone; the run goes on elsewhere
    └── DivergedError        the loss stopped being a number

One sentence each: what is wrong, the value, what is allowed, what to do next. Pages show the
sentence with `st.error`, the command line prints it and exits with status 2. Anything that is not
a LabError is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LabError(Exception):
    """Something the person can understand and act on."""


class ConfigError(LabError):
    """A knob is unknown, out of range, or does not fit the others."""


class StateError(ConfigError):
    """A run's state does not allow what was asked of it."""


class RunLostError(StateError):
    """The process that trained a run was taken for dead, and another one has the run by now."""


class NotFoundError(LabError):
    """A name is not there."""


class DataError(LabError):
    """A file, folder, zip, CSV or download cannot be used."""


class NotAllowedError(LabError):
    """The person may not do that."""


class NotSignedInError(NotAllowedError):
    """Nobody knows yet who the person is."""


class WeightsError(LabError):
    """Pretrained weights cannot be had; the run does not start."""


class ResourceError(LabError):
    """The machine has too little of something: disk, memory, a device."""


class DiskFullError(ResourceError):
    """A disk has no room left."""


class PlaceLostError(ResourceError):
    """Where a run trains is gone: a machine that died, a cluster out of reach."""


class DivergedError(LabError):
    """The loss became NaN or infinite."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not there: the close ones, else all there are."""
    names = list(known)
    close = get_close_matches(name[:100], names, n=3, cutoff=0.6)
    name = f"{name[:60]}…" if len(name) > 60 else name
    if close:
        return f"Unknown {kind} {name!r}. Did you mean {' or '.join(repr(c) for c in close)}?"
    return f"Unknown {kind} {name!r}. There are: {', '.join(names) or 'none'}."


def unknown_names(kind: str, names: Iterable[str], known: Iterable[str]) -> str:
    """One sentence for each of the first three names that are not there."""
    unknown, there = list(names), list(known)
    more = f" {len(unknown) - 3:,} more are unknown." if len(unknown) > 3 else ""
    return " ".join(unknown_name(kind, name, there) for name in unknown[:3]) + more


def cut(value: object, longest: int = 80) -> str:
    """A value as Python writes it, such as 'pets', for a sentence; of a long one the beginning."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of over 4,300 digits, a list in a list in ...
        return "a value that is too large to show"
    return text if len(text) <= longest else f"{text[:longest]}…"
