"""Images that are mapped from disk, without keeping them all in this process's memory.

A page of a mapped file counts as resident from when it is first read until the mapping lets go of
it; after one epoch over 10,000 photographs that is 1.5 GB. The system would take them back under
pressure, but a person who looks at the process sees a lab that grows. So every now and then the
mapping lets go of what was read. The file stays in the system's cache: reading it again costs a
few page faults and no disk.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_RESIDENT = 256 << 20
"""Bytes read before the mapping lets go."""


class LettingGo:
    """Counts what is read of a mapping. Safe from any thread: a lost count only delays."""

    def __init__(self, mapped: NDArray[np.uint8]) -> None:
        self._mapping: mmap.mmap | None = _mapping(mapped)
        self._read = 0

    def after_reading(self, bytes_: int) -> None:
        """Lets go of all pages of the mapping once MOST_RESIDENT bytes have been read."""
        self._read += bytes_
        if self._read >= MOST_RESIDENT and self._mapping is not None:
            self._read = 0
            self._mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: Any) -> mmap.mmap | None:
    """The mapping behind an array; None where there is none or the system cannot let go of pages
    (Windows). Only of a read-only one: of others, what was written would be lost."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    if array is None or array.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    found = getattr(array, "_mmap", None)
    return found if isinstance(found, mmap.mmap) else None
