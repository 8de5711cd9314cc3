"""What the lab's folder holds on the disk, and what of it can be cleaned without losing a result.

Nothing here deletes a run's weights, history or results, or a data set in its newest version.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lab.data import version_files, versions
from lab.data.person_quota import use_of
from lab.errors import LabError, NotFoundError
from lab.home import is_being_written, lab_home, move_away, recount, temporaries, used_bytes
from lab.people import require_admin
from lab.runs.members import members
from lab.runs.store import Store
from lab.training.checkpoint import END, drop_end

OLD_SECONDS = 24 * 3600
"""A temporary file that nobody has written to for so long is a dead process's."""


@dataclass(frozen=True)
class Part:
    """One kind of files, in bytes."""

    name: str
    title: str
    bytes: int
    clearable: int
    """Of them, what `clean` would free now."""
    help: str
    """What cleaning takes away; "" where there is nothing to clean."""


@dataclass(frozen=True)
class _Kind:
    title: str
    folder: str
    help: str = ""
    files: Callable[[Store], Iterable[Path]] | None = None
    """Files and folders that may go."""


def _states(store: Store) -> Iterable[Path]:
    """What completed runs keep beside their weights, so that others can go on exactly, and what
    was made of runs to be taken away."""
    runs = lab_home() / "runs"
    states = [
        file for row in store.runs(status="completed") if (file := runs / row.id / END).is_file()
    ]
    return [*states, *runs.glob("*/exports/")]


def _features(store: Store) -> Iterable[Path]:
    for folder in (lab_home() / "features").glob("*/"):
        try:
            with FileLock(folder / "lock", timeout=0):
                pass
        except (Timeout, OSError):  # a run uses them now
            continue
        yield folder


def _packs(store: Store) -> Iterable[Path]:
    """Earlier versions that no run was trained on."""
    used = version_files.trained_hashes()
    archive = lab_home() / "packs" / version_files.VERSIONS
    for folder in archive.glob("*/"):
        with contextlib.suppress(LabError):
            for version in versions.unused(folder.name, used):
                yield folder / str(version.number)


def _downloads(store: Store) -> Iterable[Path]:
    return [path for path in (lab_home() / "downloads").glob("*") if _is_old(path)]


def _temporary(store: Store) -> Iterable[Path]:
    """Files and folders of `lab.home.atomic_file` and `atomic_folder` whose process died."""
    for path in temporaries(lab_home(), leave=frozenset({"packs"})):
        if _is_old(path) and not is_being_written(path):  # nor is a folder younger for its files
            yield path


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False


KINDS = {
    "runs": _Kind(
        "Runs", "runs",
        "Optimizer states of completed runs: another run can then go on from the weights alone. "
        "Exports, which are made again when asked for. Weights, curves and results stay.",
        _states,
    ),
    "features": _Kind(
        "Features of frozen layers", "features",
        "All that no run uses now. They are calculated again when a run needs them.",
        _features,
    ),
    "packs": _Kind(
        "Data sets", "packs", "Earlier versions that no run was trained on.", _packs
    ),
    "downloads": _Kind(
        "Downloads and uploads", "downloads",
        "Archives and uploads of more than a day ago. Data sets that were made of them stay.",
        _downloads,
    ),
    "collections": _Kind("Pictures for the class", "collections"),
    "listeners": _Kind("What listeners wrote (TensorBoard, ...)", "listeners"),
    "temporary": _Kind(
        "Temporary files", "", "What processes that died have left, of more than a day ago.",
        _temporary,
    ),
}  # fmt: skip


def usage(store: Store) -> list[Part]:
    """Returns what each kind takes, the rest last. Walks through the folder: seconds for a large
    one."""
    home = lab_home()
    parts, counted = [], 0
    for name, kind in KINDS.items():
        files = list(kind.files(store)) if kind.files else []
        clearable = sum(used_bytes(file) for file in files)
        total = used_bytes(home / kind.folder) if kind.folder else clearable
        counted += total if kind.folder else 0
        parts.append(Part(name, kind.title, total, clearable, kind.help))
    rest = max(0, used_bytes(home) - counted)
    parts.append(Part("rest", "The run store and measurements", rest, 0, ""))
    return parts


def use_of_all(store: Store) -> dict[str, dict[str, int]]:
    """Returns name -> bytes of each kind, of all members who take any, the most first."""
    people = {each.person.id: each.person.name for each in members(store)}
    for row in store.runs():  # who was removed, but whose runs are still here
        if row.person:
            people.setdefault(row.person, row.person_name)
    uses = [(name, use_of(person_id)) for person_id, name in people.items()]
    uses = [each for each in uses if sum(each[1].values())]
    return dict(sorted(uses, key=lambda each: -sum(each[1].values())))


def clean(store: Store, name: str) -> int:
    """Deletes what of this kind can go, for an admin; returns the bytes that were freed."""
    require_admin("Cleaning up the lab's folder")
    kind = KINDS.get(name)
    if kind is None or kind.files is None:
        raise NotFoundError(f"There is no part {name!r} to clean; there are: {', '.join(KINDS)}.")
    freed = 0
    for path in list(kind.files(store)):
        size = used_bytes(path)
        with contextlib.suppress(OSError):
            if path.name == END:
                drop_end(path.parent, test_looks=store.run(path.parent.name).test_looks)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(move_away(path), ignore_errors=True)
            else:
                path.unlink()
            freed += size
    recount()
    return freed
