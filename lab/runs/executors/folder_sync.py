"""Carries a run's folder from one machine to another, as it changes.

A file that was appended to is sent from where it grew, one that has a second name once, and any
other as a whole, in pieces; it appears there as it did here, whole or not at all. Temporary files
stay where they are.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lab.data.version_files import link
from lab.home import atomic_file, writing

PIECE_BYTES = 4_000_000

Keep = Callable[[str], bool]
"""(name) -> whether the file with this name in the folder is carried."""


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of a file, or what else happened to it. Files of a folder come one after another."""

    name: str
    """Of the file, below the folder, with slashes."""
    data: bytes = b""
    offset: int = 0
    """Where `data` begins; a file that is sent as a whole begins at 0."""
    is_last: bool = True
    """Whether the file is whole with this piece."""
    same_as: str = ""
    """The name of the file of which it is another name."""
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class _State:
    inode: int
    size: int
    changed: int


class FolderReader:
    """What has changed in a folder since it was last asked; for the thread that writes it."""

    def __init__(self, folder: Path, keep: Keep = lambda name: True) -> None:
        self._folder = folder
        self._keep = keep
        self._sent: dict[str, _State] = {}
        self._checksums: dict[str, int] = {}  # of what was sent

    def mark_sent(self) -> None:
        """From now on only what changes counts."""
        self._sent = self._states()

    def changes(self) -> Iterator[Change]:
        """Yields what has changed; all of it must be taken."""
        now = self._states()
        for name in [name for name in self._sent if name not in now]:
            del self._sent[name]
            self._checksums.pop(name, None)
            yield Change(name, is_gone=True)
        for name, state in now.items():
            before = self._sent.get(name)
            if state == before:
                continue
            twins = (n for n, s in self._sent.items() if s == state and n != name)
            if (twin := next(twins, None)) is not None:
                self._checksums.pop(name, None)
                yield Change(name, same_as=twin)
            else:
                start = before.size if before and self._grew(name, before, state) else 0
                yield from self._pieces(name, start, state.size)
            self._sent[name] = state

    def _grew(self, name: str, before: _State, now: _State) -> bool:
        """Whether the file begins with what was sent. The system may give its number to another
        file, so that alone says nothing."""
        if before.inode != now.inode or before.size > now.size or name not in self._checksums:
            return False
        pieces = self._read(name, 0, before.size)
        return functools.reduce(lambda c, p: zlib.crc32(p, c), pieces, 0) == self._checksums[name]

    def _read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        with (self._folder / name).open("rb") as file:
            file.seek(start)
            while start < end and (data := file.read(min(PIECE_BYTES, end - start))):
                start += len(data)
                yield data

    def _pieces(self, name: str, start: int, end: int) -> Iterator[Change]:
        checksum = self._checksums.get(name, 0) if start else 0
        pieces = self._read(name, start, end)
        data = next(pieces, b"")
        while True:
            following = next(pieces, b"")
            checksum = zlib.crc32(data, checksum)
            yield Change(name, data, start, is_last=not following)
            start, data = start + len(data), following
            if not data:
                self._checksums[name] = checksum
                return

    def _states(self) -> dict[str, _State]:
        states = {}
        for parent, folders, files in os.walk(self._folder):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            for file in sorted(files):
                path = Path(parent, file)
                name = path.relative_to(self._folder).as_posix()
                if not file.startswith(".") and self._keep(name):
                    facts = path.stat()
                    states[name] = _State(facts.st_ino, facts.st_size, facts.st_mtime_ns)
        return states


class FolderWriter:
    """Repeats in another folder what a `FolderReader` tells."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._file: BinaryIO | None = None

    def apply(self, change: Change) -> None:
        """Raises ResourceError when it cannot be written."""
        target = self._path(change.name)
        if change.is_gone:
            target.unlink(missing_ok=True)
        elif change.same_as:
            with atomic_file(target, durable=False) as temporary:
                temporary.unlink()
                link(self._path(change.same_as), temporary)
        elif change.offset and self._file is None:
            with writing(target), target.open("r+b") as file:
                file.truncate(change.offset)  # what a piece that was sent before left there
                file.seek(change.offset)
                file.write(change.data)
        else:
            self._write_piece(target, change)

    def _write_piece(self, target: Path, change: Change) -> None:
        if self._file is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._open.enter_context(atomic_file(target))
            self._file = self._open.enter_context(temporary.open("wb"))
        with writing(target):
            self._file.write(change.data)
        if change.is_last:
            self._file = None
            self._open.close()

    def close(self) -> None:
        """Drop a file of which only a part came."""
        if self._file is not None:
            self._file = None
            with_error = self._open.pop_all()
            with_error.__exit__(_Unfinished, _Unfinished(), None)

    def _path(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name!r} lies outside of the folder")
        return self._folder / path


class _Unfinished(Exception):
    """Raised inside `atomic_file` so that it drops a file that never was whole."""
