"""Who is alive, and who trains: two kinds of lock files in LAB_HOME/locks.

owner-<id>.lock     held by a process for as long as it lives; a run that is active names its
                    owner. The system frees the lock however the process ends, so a run whose
                    owner's lock can be taken was interrupted.
device-<name>.lock  held by whoever trains on the device: one active run a device, over all
                    processes that share a LAB_HOME.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from lab.home import home_folder

POLL_SECONDS = 0.05

_owners: dict[Path, tuple[str, FileLock]] = {}  # by folder: tests change LAB_HOME
_owners_guard = threading.Lock()


def owner() -> str:
    """This process's id in the run store, with its lock held from now on."""
    folder = home_folder("locks")
    with _owners_guard:
        if folder not in _owners:
            name = uuid.uuid4().hex[:12]
            lock = _lock(folder / f"owner-{name}.lock")
            lock.acquire(timeout=10)  # a peer that sweeps may hold it for a moment
            _owners[folder] = (name, lock)
        return _owners[folder][0]


def release_owners() -> None:
    """Let go of this process's owner locks, as its end would. For tests."""
    with _owners_guard:
        for folder, (name, lock) in _owners.items():
            with contextlib.suppress(OSError):
                (folder / f"owner-{name}.lock").unlink(missing_ok=True)
            lock.release()
        _owners.clear()


def is_alive(name: str) -> bool:
    """Whether the process with that owner id still lives."""
    return not _sweep(home_folder("locks") / f"owner-{name}.lock")


def sweep() -> None:
    """Remove the owner locks that dead processes left behind."""
    for path in home_folder("locks").glob("owner-*.lock"):
        _sweep(path)


def _sweep(path: Path) -> bool:
    """Remove the lock file if nobody holds it; True when it is gone.

    The file is removed while it is held, so that a process that just made it cannot take a lock
    that has no name any more: filelock notices and makes the file anew.
    """
    if not path.exists():
        return True
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    with contextlib.suppress(OSError):  # Windows does not remove a file that is open
        path.unlink(missing_ok=True)
    lock.release()
    return True


@contextlib.contextmanager
def device_turn(
    device: str, *, given_up: Callable[[float], bool], waiting: Callable[[], None]
) -> Iterator[bool]:
    """Hold the device while the body runs; yields False when `given_up` said so instead.

    `waiting` is called once when another process has the device. `given_up(seconds)` may sleep for
    that long, and returns True when the device is not wanted any more.
    """
    lock = _lock(home_folder("locks") / f"device-{device.partition(':')[0]}.lock")
    told = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not told:
                waiting()
                told = True
            if given_up(POLL_SECONDS):
                yield False
                return
    try:
        yield True
    finally:
        lock.release()


def waiting_text(device: str) -> str:
    """What a run shows that waits in `device_turn`."""
    return f"waiting for another process that trains on {device}"


def _lock(path: Path) -> FileLock:
    # Not thread-local: the lock belongs to the process, whichever thread lets go of it.
    return FileLock(path, thread_local=False)
