"""Let the C library keep the memory that a training step frees.

glibc gives every large buffer back to the system when it is freed and asks for fresh pages when the
next step wants it again; each fresh page costs a page fault and a page of zeros. A step frees and
asks for all its activations, so small networks spend a third of their time there.
"""

from __future__ import annotations

import ctypes
import functools
import sys

# From glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MMAP_THRESHOLD = 32 * 2**20
"""glibc's largest: buffers up to this size come from the heap, which is kept."""
_TRIM_THRESHOLD = 2**31 - 1
_TOP_PAD = 64 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """Set it for the whole process, once; True when the C library is glibc and took it.

    The process then holds on to the most memory that it ever used. Safe from any thread.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no mallopt
        return False
    options = {
        _M_MMAP_THRESHOLD: _MMAP_THRESHOLD,
        _M_TRIM_THRESHOLD: _TRIM_THRESHOLD,
        _M_TOP_PAD: _TOP_PAD,
    }
    return all([mallopt(option, value) == 1 for option, value in options.items()])
