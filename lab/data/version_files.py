"""The versions of a data set on disk: whole packs that share their images.

LAB_HOME/packs/<name>/                     the newest version, a pack
├── version.json                           its number, reason, time and parent; an import has none
LAB_HOME/packs/.versions/<name>/<number>/  the earlier versions, packs as well

A version never changes. Its files are hard links to those of the version before wherever the
content is the same, or copies on disks without links, so a version that leaves pictures out costs a
few bytes a picture. Whoever writes holds the data set's lock; a version appears whole or not at
all, and the newest is kept among the earlier ones before another takes its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.data.pack import (
    CHECKSUMS,
    FACTS,
    PackMeta,
    read_checksums,
    read_meta,
    write_checksums,
)
from lab.errors import DataError
from lab.home import atomic_folder, home_folder, lab_home, require_free_space

VERSIONS = ".versions"
_RELABELLED = ("labels.npy", "split.npy", "meta.json")


@dataclass(frozen=True)
class VersionFacts:
    """What version.json says."""

    number: int
    reason: str
    """In a person's words; "" when nobody gave any."""
    created: str
    """ISO 8601, UTC."""
    parent: int | None = None
    """The number of the version before."""
    changes: str = ""
    """What was changed, in words: "3 pictures left out"."""
    extends: str = ""
    """The images_hash whose images come first in this version, when images were added to them."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    def write(self, folder: Path) -> None:
        (folder / FACTS).write_text(self.to_json(), encoding="utf-8")


@dataclass(frozen=True)
class StoredVersion:
    """A version where it lies."""

    folder: Path
    meta: PackMeta
    facts: VersionFacts
    newest: bool


def stored_versions(name: str) -> list[StoredVersion]:
    """The versions of a data set, the newest first; the first of them is the one that pages show.

    Empty for a set that is not on this machine. Versions that cannot be read are left out.
    """
    for _ in range(3):
        folder = home_folder("packs") / name
        found = {version.facts.number: version for version in _earlier(name)}
        meta = _meta(folder)
        newest = None if meta is None else _newest(folder, meta, found)
        # A version that took the newest's place while we read has moved that one to the earlier
        # ones: look again.
        if meta is None or newest is None or _same(_meta(folder), meta):
            break
    if newest is not None:
        found[newest.facts.number] = newest
    return [found[number] for number in sorted(found, reverse=True)]


def find_version(name: str, content_hash: str) -> StoredVersion | None:
    """The newest version of a data set with this content."""
    same = (v for v in stored_versions(name) if v.meta.content_hash == content_hash)
    return next(same, None)


def keep_newest(name: str) -> StoredVersion | None:
    """Keeps the newest version among the earlier ones, so that another may take its place; the
    caller holds the data set's lock. None when there is no version to keep."""
    stored = next(iter(stored_versions(name)), None)
    if stored is None or not stored.newest:
        return None
    target = _archive(name) / str(stored.facts.number)
    if target.exists():
        if _same(_meta(target), stored.meta):
            return stored  # a writer died after this step
        shutil.rmtree(target)
    target.parent.parent.mkdir(exist_ok=True)
    with atomic_folder(target) as temporary:
        link_pack(stored.folder, temporary)
        stored.facts.write(temporary)
    return dataclasses.replace(stored, folder=target, newest=False)


def link_pack(source: Path, target: Path) -> None:
    """Fills the folder `target` with the files of a pack and of its copies at other sizes, but not
    with the facts of its version."""
    for file in _pack_files(source):
        if file.name != FACTS:
            link(file, target / file.relative_to(source))


def link_relabelled(
    source: Path,
    target: Path,
    meta: PackMeta,
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
) -> None:
    """Fills the folder `target` with the pack at `source` under other labels and splits, and with
    its copies at other image sizes; images are linked, never read."""
    folders = [source, *sorted(source.glob("size-*"))]
    for folder in folders:
        own = read_meta(folder)
        if own is None:
            continue
        into = target / folder.relative_to(source)
        for file in folder.iterdir():
            if file.is_file() and file.name not in (*_RELABELLED, CHECKSUMS, FACTS):
                link(file, into / file.name)
        np.save(into / "labels.npy", labels.astype(np.int64))
        np.save(into / "split.npy", split.astype(np.uint8))
        sized = dataclasses.replace(meta, image_size=own.image_size)
        (into / "meta.json").write_text(sized.to_json(), encoding="utf-8")
        known = read_checksums(folder)
        write_checksums(into, {n: known[n] for n in known if n not in _RELABELLED})


def link(source: Path, target: Path) -> None:
    """Makes `target` the same file as `source`, or a copy where the disk knows no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        require_free_space(target.parent, source.stat().st_size)
        shutil.copyfile(source, target)


def drop_version(name: str, number: int) -> None:
    """Deletes an earlier version; the caller holds the data set's lock."""
    folder = _archive(name) / str(number)
    # Renamed first, so that no half-deleted version can be opened.
    gone = folder.with_name(f".{number}.gone")
    os.replace(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def drop_versions(name: str) -> None:
    """Deletes all earlier versions; the caller holds the data set's lock."""
    shutil.rmtree(_archive(name), ignore_errors=True)


def remove_leftovers(name: str) -> None:
    """Deletes what a dead writer left; the caller holds the data set's lock."""
    for leftover in _archive(name).glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in _archive(name).glob("*/.size-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def bytes_of(name: str) -> int:
    """What a data set takes on disk with all its versions; shared files count once."""
    return sum(_inodes(home_folder("packs") / name, _archive(name)).values())


def freed_by(name: str, numbers: set[int]) -> int:
    """The bytes that deleting these earlier versions would free."""
    gone = [v.folder for v in stored_versions(name) if v.facts.number in numbers and not v.newest]
    stay = [v.folder for v in stored_versions(name) if v.folder not in gone]
    kept = _inodes(*stay)
    return sum(count for inode, count in _inodes(*gone).items() if inode not in kept)


def trained_hashes() -> set[str]:
    """The content hashes of the data sets that the runs on this machine were trained on."""
    hashes: set[str] = set()
    for file in lab_home().glob("runs/*/network.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            hashes.add(json.loads(file.read_text(encoding="utf-8"))["dataset_hash"])
    return hashes


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _archive(name: str) -> Path:
    return home_folder("packs") / VERSIONS / name


def _earlier(name: str) -> Iterator[StoredVersion]:
    folder = _archive(name)
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        meta = _meta(entry) if entry.name.isdecimal() else None
        if meta is not None:
            facts = _facts(entry) or VersionFacts(int(entry.name), "", meta.created)
            facts = dataclasses.replace(facts, number=int(entry.name))
            yield StoredVersion(entry, meta, facts, newest=False)


def _newest(folder: Path, meta: PackMeta, earlier: dict[int, StoredVersion]) -> StoredVersion:
    facts = _facts(folder)
    last = earlier.get(max(earlier, default=0))
    if facts is None and last is None:
        facts = VersionFacts(1, "", meta.created, changes="Imported")
    elif facts is None and last is not None:
        if last.meta == meta:  # it was kept, and then nothing took its place
            facts = last.facts
        else:
            changes = "Imported anew, in place of the version before"
            facts = VersionFacts(
                last.facts.number + 1, "", meta.created, last.facts.number, changes
            )
    assert facts is not None
    return StoredVersion(folder, meta, facts, newest=True)


def _same(one: PackMeta | None, other: PackMeta) -> bool:
    return one == other


def _meta(folder: Path) -> PackMeta | None:
    try:
        return read_meta(folder)
    except DataError:
        return None


def _facts(folder: Path) -> VersionFacts | None:
    try:
        return VersionFacts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _pack_files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_file():
            yield entry
        elif entry.name.startswith("size-"):
            yield from (file for file in sorted(entry.iterdir()) if file.is_file())


def _inodes(*folders: Path) -> dict[tuple[int, int], int]:
    """Bytes of each file below these folders, by device and inode."""
    sizes: dict[tuple[int, int], int] = {}
    for folder in folders:
        for directory, _, files in os.walk(folder):
            for file in files:
                with contextlib.suppress(OSError):  # it went while we counted
                    status = os.stat(os.path.join(directory, file))
                    sizes[status.st_dev, status.st_ino] = status.st_size
    return sizes
