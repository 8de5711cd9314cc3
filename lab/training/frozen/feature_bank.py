"""Features on disk: one row an image, filled in as images are first asked for.

LAB_HOME/features/<key>/
├── features.npy   (N, ...) float32, mapped into memory; its room on the disk is reserved first:
│                  a write through the map that finds none kills the process (SIGBUS)
├── filled.npy     (N,) uint32: the checksum of each row that is there, 0 of the others; bool, and
│                  only whether it is there, in banks of older versions
└── lock           held by the process that uses the bank

The key names everything that the numbers depend on (see `lab.training.frozen.features`), so a
bank that is there is right, whichever run made it. Rows count as filled on disk only after their
numbers have been written: a process that dies loses at most what it computed since the last
`flush`. Rows that are not what was written count as missing when a bank is opened.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from lab.data.array_file import BROKEN
from lab.errors import ResourceError
from lab.home import atomic_file, home_folder, require_free_space, writing

LARGEST_BYTES = 4_000_000_000
"""A bank above this is not made: reading it back would cost what it saves."""

KEPT_BYTES = 12_000_000_000
"""All banks together; those used longest ago go first."""

_HEADER = 4096
"""No header of a .npy file is longer; what of it is in these bytes stays."""
_PIECE = 1 << 20

logger = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]


class FeatureBank:
    """Rows of features of `count` images, each of `shape`. One thread of one process uses it.

    Raises ResourceError when it is too large, the disk is too full, or another process uses it.
    """

    def __init__(self, key: str, *, count: int, shape: tuple[int, ...]) -> None:
        needed = count * int(np.prod(shape)) * 4
        if needed > LARGEST_BYTES:
            raise ResourceError(
                f"The features would take {needed / 1e9:.1f} GB; up to "
                f"{LARGEST_BYTES / 1e9:.0f} GB are kept."
            )
        self._folder = home_folder("features", key)
        self._lock = FileLock(self._folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ResourceError("Another process uses the same features just now.") from None
        try:
            self._open((count, *shape), needed)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, shape: tuple[int, ...], needed: int) -> None:
        data, flags = self._folder / "features.npy", self._folder / "filled.npy"
        self._flags = flags
        with writing(data):
            if not self._fits(data, flags, shape):
                flags.unlink(missing_ok=True)
                data.unlink(missing_ok=True)
                _make_room(needed, keep=self._folder)
                require_free_space(self._folder, needed)
                np.lib.format.open_memmap(data, mode="w+", dtype=np.float32, shape=shape)
                _reserve(data)
                self._filled = np.zeros(shape[0], dtype=np.uint32)
            self._data = np.load(data, mmap_mode="r+")
            self._drop_damaged()
            os.utime(self._folder)  # used now; see _make_room

    def _fits(self, data: Path, flags: Path, shape: tuple[int, ...]) -> bool:
        try:
            filled = np.load(flags)
            if np.load(data, mmap_mode="r").shape != shape or filled.shape != shape[:1]:
                return False
        except BROKEN:
            return False  # none yet, or cut short: it is made anew
        self._filled = filled
        return True

    def _drop_damaged(self) -> None:
        """A second or less a gigabyte, once a run."""
        rows = np.flatnonzero(self._filled)
        checksums = _checksums(self._data[row] for row in rows)
        if self._filled.dtype == bool:
            self._filled = np.zeros(len(self._filled), dtype=np.uint32)
        elif damaged := np.count_nonzero(self._filled[rows] != checksums):
            logger.warning("%s: %s rows are damaged and made anew", self._folder, damaged)
            checksums[self._filled[rows] != checksums] = 0
        self._filled[rows] = checksums

    @property
    def filled(self) -> int:
        """How many images are there."""
        return int(np.count_nonzero(self._filled))

    def missing(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """(n,) which of `rows` have no features yet."""
        missing: npt.NDArray[np.bool_] = self._filled[rows] == 0
        return missing

    def read(self, rows: Rows) -> npt.NDArray[np.float32]:
        """(n, ...) a copy of the features of `rows`."""
        return np.asarray(np.take(self._data, rows, axis=0))

    def write(self, rows: Rows, features: npt.NDArray[np.float32]) -> None:
        """Keep the features (n, ...) of `rows`."""
        self._data[rows] = features
        self._filled[rows] = _checksums(self._data[row] for row in rows)

    def flush(self) -> None:
        """Put on disk what is new."""
        with writing(self._flags):
            self._data.flush()
            with atomic_file(self._flags) as temporary, temporary.open("wb") as file:
                np.save(file, self._filled)

    def close(self) -> None:
        """Flush and let others use it."""
        try:
            self.flush()
        finally:
            self._lock.release()


def _reserve(file: Path) -> None:
    """Has the disk keep room for all of a new file, whose end is all zeros; deletes it where there
    is none."""
    size = file.stat().st_size
    try:
        with file.open("r+b") as opened:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, size)
            else:
                opened.seek(_HEADER)
                for start in range(_HEADER, size, _PIECE):
                    opened.write(bytes(min(_PIECE, size - start)))
    except OSError:
        file.unlink(missing_ok=True)
        raise


def _checksums(rows: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.uint32]:
    """CRC-32 of each row; 1 where that is 0, which says that there is none."""
    return np.array(
        [zlib.crc32(np.ascontiguousarray(row).data) or 1 for row in rows], dtype=np.uint32
    )


def _make_room(needed: int, *, keep: Path) -> None:
    """Delete the banks used longest ago until `needed` bytes more fit into KEPT_BYTES."""
    others = [folder for folder in keep.parent.iterdir() if folder != keep and folder.is_dir()]
    others.sort(key=lambda folder: folder.stat().st_mtime)
    total = needed + sum(map(_bytes_of, others))
    for folder in others:
        if total <= KEPT_BYTES:
            return
        lock = FileLock(folder / "lock")
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            total -= _bytes_of(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _bytes_of(folder: Path) -> int:
    # As allocated, not as announced: a bank of an older version that is half filled takes half.
    return sum(file.stat().st_blocks * 512 for file in folder.glob("*") if file.is_file())
