"""What a run's trainer on a cluster is given, and what it sends back.

The driver (`ray_driver`) passes on both; only the server and the trainer read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.config import RunConfig
from lab.progress import Progress
from lab.runs import spill
from lab.runs.executors.folder_sync import Change
from lab.runs.worker import Engine
from lab.training.control import Wanted
from lab.training.events import Event

MOST_PACK_BYTES = 1_000_000_000
"""What is sent of a data set at most, and what of all data sets stays ready to be sent."""


@dataclass(frozen=True)
class PackFiles:
    """A data set's version that the trainer's machine must have."""

    dataset: str
    content_hash: str
    folder: Path
    """On the server's machine, and on the trainer's where both see the same disk."""
    size_bytes: int
    url: str = ""
    """Where it is kept for the machines (`pack_store`); "" for one that is sent, or read from
    `folder`."""


@dataclass(frozen=True)
class Job:
    """One session of a run."""

    run_id: str
    config: RunConfig
    device: str
    engine: Engine
    folder: Path
    """The run's, on the server's machine."""
    begun: bool
    pack: PackFiles | None
    version: str
    """Of the lab."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the server asks of a trainer: the last one counts."""

    number: int
    wanted: Wanted
    rate: float | None = None


NO_MORE = -1
"""The number of a wish behind which none comes: the session has ended."""


@dataclass(frozen=True, slots=True)
class Started:
    """The trainer works."""

    machine: str
    address: str = ""
    """Where the other workers of the run meet it, where there are any."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine raised this error; of one that is a bug, `details` is its traceback."""

    error: Exception
    details: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """The cluster lost the trainer."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more comes."""


Item = Started | Progress | Event | Change | Failed | Lost | Finished
Batch = Sequence[Item]


def files_of(job: Job) -> dict[str, tuple[Path, list[str]]]:
    """The folders of runs that the trainer needs, by run: where each is and its files.

    Of the run itself what it goes on with; of the run from which it starts the weights. Weights of
    kept epochs stay behind.
    """
    if job.begun:
        return {job.run_id: (job.folder, [n for n in _names(job.folder) if is_carried(n)])}
    if start := job.config.start_from:
        folder = job.folder.parent / start
        return {start: (folder, [name for name in _names(folder) if "/" not in name])}
    return {}


def is_carried(name: str) -> bool:
    """Whether a run that goes on needs the file with this name in its folder."""
    return name != spill.NAME and not name.startswith("epoch-")


def _names(folder: Path) -> list[str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files if not path.name.startswith(".")]
