"""What a check of a data set finds, and the registry of checks.

    CHECKS.get("duplicates").run(pack, progress, cancel)  ->  CheckResult

A check looks and never changes anything. Rows are rows of the pack, which mean the same picture in
every version of one import; excluded images are in no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.data.pack import EXCLUDED, Pack
from lab.progress import Cancel, Report
from lab.registry import Registry

Figure = float | int | str


@dataclass(frozen=True)
class Finding:
    """One thing that a check found: an image, and the others that it concerns."""

    kind: str
    """One of the check's `kinds`."""
    row: int
    others: tuple[int, ...] = ()
    """The images beside it, such as its copies or its nearest neighbours; the closest first."""
    score: float = 0.0
    """How sure or how bad, by the check's own scale; findings come with the highest first."""
    suggestion: str | None = None
    """The class that the image seems to be of; None where the check has no opinion."""

    @property
    def rows(self) -> tuple[int, ...]:
        return (self.row, *self.others)


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What one check found in one version of a data set."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, Figure]
    """Counts and shares by name, as the command line prints them and the API returns them."""
    notes: tuple[str, ...]
    """Sentences: the first one says what was found, the others what it means and its limits."""
    seconds: float
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What later work reads, such as each image's duplicate group."""

    def count(self, kind: str | None = None) -> int:
        """How many findings there are, of one kind or in all."""
        return sum(kind in (None, finding.kind) for finding in self.findings)


RunCheck = Callable[[Pack, Report, Cancel], CheckResult]


@dataclass(frozen=True)
class Check:
    """A kind of fault that a data set can have, and how it is looked for."""

    name: str
    title: str
    explain: str
    """What is looked for, how, and why it matters."""
    kinds: Mapping[str, str]
    """Kind of finding -> its title for people."""
    run: RunCheck
    version: int = 1
    """Raise it when results of older code no longer hold: they are then not read."""


CHECKS: Registry[Check] = Registry("check", filled_by=("lab.data.quality.duplicates",))
"""All checks, in the order in which they run and are shown."""


def rows_in_use(pack: Pack) -> npt.NDArray[np.int64]:
    """Returns the rows that are in some split: (n,) int64, ascending."""
    return np.flatnonzero(pack.split != EXCLUDED).astype(np.int64)
