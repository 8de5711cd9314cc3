"""Every error that a person can meet.

    LabError                 base: its message is shown to the person as it stands
    ├── ConfigError          a knob is unknown, out of range, or does not fit the others
    │   └── StateError       a run's state does not allow what was asked of it
    ├── NotFoundError        a name (data set, architecture, run, checkpoint) is not there
    ├── DataError            a file, folder, zip, CSV or download cannot be used
    ├── NotAllowedError      the person may not do that
    │   └── NotSignedInError nobody knows yet who the person is
    ├── WeightsError         pretrained weights cannot be had
    ├── ResourceError        disk full, out of memory, device missing, lock held
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


class DivergedError(LabError):
    """The loss became NaN or infinite."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not there: the close ones, else all there are."""
    names = list(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Unknown {kind} {name!r}. Did you mean {' or '.join(repr(c) for c in close)}?"
    return f"Unknown {kind} {name!r}. There are: {', '.join(names) or 'none'}."
