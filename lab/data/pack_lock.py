"""The lock of a data set: one writer at a time, across threads and processes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from filelock import FileLock, Timeout

from lab.data.version_files import remove_leftovers
from lab.home import home_folder
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent


@contextlib.contextmanager
def pack_lock(name: str, *, progress: Report = silent, cancel: Cancel = never) -> Iterator[None]:
    """Hold the only right to write LAB_HOME/packs/<name>; waits while another holds it.

    The system frees it when a process dies. Not reentrant. Only the holder writes, so anything
    half-written is left from a dead process and removed here.
    """
    lock = FileLock(home_folder("locks") / f"pack-{name}.lock")
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            check_cancel(cancel, "Waiting for the data set")
            progress(Progress(0, 0, "Waiting: another page or run is preparing this data set"))
    try:
        _remove_leftovers(name)
        yield
    finally:
        lock.release()


def sweep_packs() -> None:
    """Remove what dead processes left of every data set; those that are being written stay."""
    packs = home_folder("packs")
    names = {p.name.split(".")[1] for p in packs.glob(".*.*")}
    names |= {p.parent.name for pattern in ("*/.size-*",) for p in packs.glob(pattern)}
    names |= {p.parent.name for p in packs.glob(".versions/*/.*")}
    for name in filter(None, names):
        lock = FileLock(home_folder("locks") / f"pack-{name}.lock")
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            _remove_leftovers(name)


def _remove_leftovers(name: str) -> None:
    packs = home_folder("packs")
    target = packs / name
    for leftover in packs.glob(f".{name}.*"):  # names have no dots, so no other set matches
        replaced = leftover / "was"
        if replaced.is_dir() and not target.exists():
            # The process died in the moment between taking the old pack away and placing the new.
            os.replace(replaced, target)
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in target.glob(".size-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    remove_leftovers(name)
