"""Which processes live, and which one trains on a device: lock files in LAB_HOME/locks.

owner-<id>.lock     held by a process for as long as it lives; a run that is active names its
                    owner. The system frees the lock however the process ends, so a run whose
                    owner's lock can be taken was interrupted.
device-<place>.lock held by whoever trains on the place (cpu, cuda:1): one active run a place,
                    over all processes that share a LAB_HOME.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from lab.home import home_folder, writing

POLL_SECONDS = 0.05

_owners: dict[Path, tuple[str, FileLock]] = {}  # by folder: tests change LAB_HOME
_owners_guard = threading.Lock()


def owner() -> str:
    """This process's id in the run store, with its lock held from now on."""
    folder = home_folder("locks")
    with _owners_guard:
        if folder not in _owners:
            name = uuid.uuid4().hex[:12]
            path = folder / f"owner-{name}.lock"
            lock = _lock(path)
            with writing(path):
                lock.acquire(timeout=10)  # `remove_dead_owners` of a peer may hold it for a moment
            _owners[folder] = (name, lock)
        return _owners[folder][0]


def release_owners() -> None:
    """Release this process's owner locks, as its end would. For tests."""
    with _owners_guard:
        for folder, (name, lock) in _owners.items():
            with contextlib.suppress(OSError):
                (folder / f"owner-{name}.lock").unlink(missing_ok=True)
            lock.release()
        _owners.clear()


def is_alive(name: str) -> bool:
    """Whether the process with that owner id still lives."""
    return not _remove_if_free(home_folder("locks") / f"owner-{name}.lock")


def remove_dead_owners() -> None:
    """Remove the owner locks that dead processes left behind."""
    for path in home_folder("locks").glob("owner-*.lock"):
        _remove_if_free(path)


def _remove_if_free(path: Path) -> bool:
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
    device: str, *, cancelled_within: Callable[[float], bool], on_wait: Callable[[], None]
) -> Iterator[bool]:
    """Hold the device while the body runs; yields False if it was cancelled before.

    `on_wait` is called once when another process has the device. `cancelled_within(seconds)` may
    sleep for that long, and returns True when the device is not wanted any more.
    """
    path = home_folder("locks") / f"device-{device.replace(':', '-')}.lock"
    lock = _lock(path)
    reported = False
    while True:
        try:
            with writing(path):
                lock.acquire(timeout=0)
            break
        except Timeout:
            if not reported:
                on_wait()
                reported = True
            if cancelled_within(POLL_SECONDS):
                yield False
                return
    try:
        yield True
    finally:
        lock.release()


def waiting_text(device: str) -> str:
    """The activity of a run that waits in `device_turn`."""
    return f"waiting for another process that trains on {device}"


def _lock(path: Path) -> FileLock:
    # Not thread-local: the lock belongs to the process, whichever thread releases it.
    return FileLock(path, thread_local=False)
