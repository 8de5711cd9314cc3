"""Settings of the lab's own process, one function each. Imports the standard library only.

    spin_briefly            the process    torch's threads do not keep others from a core while idle
    keep_freed_memory       the process    what a training step frees serves the next step
    trim_memory             the process    ... and goes back to the system when the run ends
    share_arenas            the process    what one thread frees serves another one
    switch_threads_often    the process    a page's step and a training step share Python's lock
    freeze_imports          the process    what was imported is left out of garbage collections
    lower_priority          a thread       training waits for others that want the processor

Freed memory: glibc gives every block above a threshold a mapping of its own and unmaps it when it
is freed. A step of a small network allocates and frees the same activations of many megabytes each
time, and the system must hand out zeroed pages for all of them at every step: a third of the step's
time on two cores. Three settings of mallopt(3) end that. Other systems' allocators keep freed
memory by themselves, so there nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import platform
import sys
import threading

SWITCH_SECONDS = 0.0005
"""How long a thread may keep Python's lock while another one waits for it; 5 ms by default. A
training step gives the lock away at each of its operations, so beside a page that runs it waits
that long again and again."""

NICENESS = 5
"""The niceness of training threads: a third of a page's weight, all of the processor when alone."""
BEHIND_TRAINING = 15
"""The niceness of what nobody waits for: a tenth of a training thread's weight."""

SPIN_VARIABLE = "GOMP_SPINCOUNT"
SPIN_COUNT = "10000"
"""How often a thread of libgomp looks for its next piece of work before it sleeps: some 30 µs, the
gap between two operations of a step. Its own 300,000 is a millisecond. `benchmarks.busy` measures
what that costs beside programs that want the cores."""

# From glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8

ARENA_VARIABLE, ARENAS = "MALLOC_ARENA_MAX", 2

_KEEP = {
    _M_MMAP_THRESHOLD: 32 << 20,  # the largest that mallopt takes on 64 bits
    _M_TRIM_THRESHOLD: 2**31 - 1,
    _M_TOP_PAD: 256 << 20,
}
_DEFAULT = {
    # Where glibc's own thresholds end up in a process that frees large blocks; they stop moving by
    # themselves once mallopt has been called.
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_TRIM_THRESHOLD: 64 << 20,
    _M_TOP_PAD: 128 << 10,
}


def spin_briefly() -> None:
    """Let torch's threads sleep soon while they have nothing to do. Call it before torch is loaded.

    A thread that spins on a core while it waits keeps the one that has work from running there, as
    soon as another program, a browser for one, wants a core as well: then steps take many times
    as long. A person's own setting of libgomp stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN_VARIABLE, SPIN_COUNT)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc on 64 bits."""
    if platform.libc_ver()[0] != "glibc" or ctypes.sizeof(ctypes.c_void_p) < 8:
        return None
    try:
        library = ctypes.CDLL(None)
        library.mallopt.restype = library.malloc_trim.restype = ctypes.c_int
        library.malloc_trim.argtypes = (ctypes.c_size_t,)
    except (OSError, AttributeError):  # pragma: no cover  (a Python linked in an unusual way)
        return None
    return library


def can_keep_freed_memory() -> bool:
    """Whether this process's allocator can be set to keep freed memory."""
    return _glibc() is not None


def keep_freed_memory(keep: bool) -> bool:
    """Keep freed memory from now on, or return to the allocator's defaults.

    Returns whether that was possible. For the whole process; may be called from any thread.
    """
    library = _glibc()
    if library is None:
        return False
    settings = _KEEP if keep else _DEFAULT
    return all(library.mallopt(name, value) == 1 for name, value in settings.items())


def trim_memory() -> None:
    """Return memory that is kept but not used to the system. Takes milliseconds."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def share_arenas() -> None:
    """Let all threads of this process, and of those it starts, take memory from two arenas.

    By default there are eight for each core. A page runs in a thread of its own each time, and what
    it frees stays in the arena that it happened to have, full of holes: after 3,600 clicks a third
    of a gigabyte (docs/RELIABILITY.md). Arenas that there are already stay, so a server that is
    started by `epochlab ui` has fewer than one that Streamlit starts, whose first threads come
    before the lab. A person's MALLOC_ARENA_MAX stands.
    """
    library = _glibc()
    if library is not None and ARENA_VARIABLE not in os.environ:
        library.mallopt(_M_ARENA_MAX, ARENAS)
        os.environ[ARENA_VARIABLE] = str(ARENAS)


def switch_threads_often() -> None:
    """Let a thread hold Python's lock for SWITCH_SECONDS at most while another one waits."""
    sys.setswitchinterval(SWITCH_SECONDS)


def freeze_imports() -> None:
    """Exclude all present objects from garbage collections; call it once, after the imports.

    Scanning torch's objects costs a quarter of a second each time, with every thread waiting.
    """
    gc.collect()
    gc.freeze()


def lower_priority(niceness: int = NICENESS) -> None:
    """Lower the priority of this thread, and of those that torch starts from it.

    So a page is drawn at once, and training takes the rest of the processor.

    On Linux a priority belongs to a thread; elsewhere to the whole process, which is left alone.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, max(niceness, os.getpriority(os.PRIO_PROCESS, me)))
