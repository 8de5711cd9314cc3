"""The folder where the lab writes, and atomic writing of files and folders.

LAB_HOME (see `lab.installation.default_home`)
├── lab.sqlite      the run store
├── runs/<run id>/  weights, resume state
├── packs/<name>/   decoded data sets
├── downloads/      archives of data sets, until they are imported
├── collections/    photographs that a class hands in, until they are a data set
├── listeners/      what TensorBoard and others wrote of runs (LAB_LISTENERS)
├── locks/          one file a device, a process, a download
├── home-id         names this folder in a database that several machines share
└── measurements.json   which way of training was faster on this machine

What torch compiles is the exception: it keeps that in the system's folder for temporary files.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from lab.errors import ConfigError, DiskFullError, ResourceError
from lab.installation import default_home

if sys.platform != "win32":
    import fcntl

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""As `tempfile` names them."""
LINK_SECONDS = 60.0


def lab_home() -> Path:
    """The folder that holds everything the lab writes; made when it is not there.

    Read from the environment at each call, so that tests and servers can choose their own.
    Raises ResourceError when the folder cannot be made.
    """
    home = _resolved(os.environ.get("LAB_HOME") or default_home(), os.getcwd())
    _make(home)
    return home


@functools.lru_cache(maxsize=8)
def _resolved(path: str, working_directory: str) -> Path:
    """Resolving costs ten times what the rest does, and a page asks fifty times."""
    try:
        return Path(working_directory, Path(path).expanduser()).resolve()
    except (RuntimeError, OSError, ValueError) as error:  # nobody's home, links in a circle, a NUL
        raise ResourceError(
            f"{path!r:.200} cannot be used ({error!s:.200}). Set LAB_HOME to a folder you can "
            "write to."
        ) from None


def _make(folder: Path) -> None:
    with writing(folder):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)


def home_folder(*parts: str) -> Path:
    """A folder below LAB_HOME, made when it is not there."""
    folder = lab_home().joinpath(*parts)
    _make(folder)
    return folder


def _nowhere(_folder: Path) -> str:
    return ""


files_elsewhere: Callable[[Path], str] = _nowhere
"""(a run's folder without its files) -> a sentence that says on which machine they are, or "";
`lab.runs.store` knows."""


def _from_nobody(_folder: Path) -> bool:
    return False


run_is_hidden: Callable[[Path], bool] = _from_nobody
"""(a run's folder) -> whether the current person may not know of it; `lab.runs.store` knows. Asks
who opens a folder by the id of a run that a person typed, without the store."""


def home_id() -> str:
    """Returns the name of this LAB_HOME, which no other one has unless somebody copied it."""
    return _home_id(lab_home())


@functools.lru_cache(maxsize=8)
def _home_id(home: Path) -> str:
    path = home / "home-id"
    if not path.exists():
        lock = home_folder("locks") / "home-id.lock"
        with writing(lock), FileLock(lock):
            if not path.exists():
                with atomic_file(path) as temporary:
                    temporary.write_text(uuid.uuid4().hex[:16])
    with writing(path):
        return path.read_text().strip()


@contextlib.contextmanager
def writing(target: Path, *, variable: str = "LAB_HOME") -> Iterator[None]:
    """Turn the operating system's refusals to write `target` into a ResourceError.

    `variable` is the environment variable that moves the folder.
    """
    try:
        yield
    except Exception as error:
        if disk_is_full(error):
            raise DiskFullError(
                f"The disk is full: {target} could not be written. Free some space "
                "(the Runs and Data pages show what can be deleted) and try again."
            ) from error
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise ResourceError(
                f"{target} cannot be written ({error.strerror}). "
                f"Set {variable} to a folder you can write to."
            ) from error
        raise


UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


def disk_is_full(error: BaseException) -> bool:
    """Whether the system had no room. Rust's libraries (safetensors) and numpy say so in words."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return bool(re.search(r"os error (28|122)\b|\d+ requested and \d+ written", str(error)))


QUOTA = ("LAB_QUOTA_GB", 100)
"""Of all that LAB_HOME holds."""
_COUNTED_SECONDS = 60.0
_counted: dict[tuple[Path, str], tuple[float, int]] = {}


def quota_bytes(setting: tuple[str, int] = QUOTA) -> int:
    """Returns a quota in bytes; 0 is no limit. `setting`: the environment variable that sets it, in
    gigabytes, and its default. Raises ConfigError for what is no number."""
    variable, default = setting
    value = os.environ.get(variable, "").strip() or str(default)
    try:
        gigabytes = float(value)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e6:
        raise ConfigError(
            f"{variable} is {value!r:.40}; it must be a number of gigabytes, such as "
            f"{default}, or 0 for no limit."
        )
    return int(gigabytes * 1e9)


def used_bytes(path: Path) -> int:
    """Returns what a file or a folder takes on the disk; a file with several names counts once."""
    if not path.is_dir() or path.is_symlink():
        with contextlib.suppress(OSError):
            return path.lstat().st_size
        return 0
    inodes: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # it went meanwhile
                facts = os.lstat(os.path.join(folder, name))
                # A sparse file takes less than its length; without blocks (Windows) the length.
                taken = getattr(facts, "st_blocks", -1) * 512
                size = facts.st_size if taken < 0 else min(taken, facts.st_size)
                inodes[facts.st_dev, facts.st_ino] = size
    return sum(inodes.values())


def counted(what: str, count: Callable[[], int]) -> int:
    """Returns what `count` says of `what` in LAB_HOME, asked once a minute: it walks folders."""
    now, key = time.monotonic(), (lab_home(), what)
    counted_at, used = _counted.get(key, (-_COUNTED_SECONDS, 0))
    if now - counted_at >= _COUNTED_SECONDS:
        used = count()
        _counted[key] = (now, used)
    return used


def require_quota(needed_bytes: int = 0) -> None:
    """Raise ResourceError when LAB_HOME would hold more than its quota; counted once a minute."""
    quota = quota_bytes()
    if not quota:
        return
    used = counted("", lambda: used_bytes(lab_home()))
    if used + needed_bytes > quota:
        more = f", and this needs {needed_bytes / 1e9:,.1f} GB more" if needed_bytes else ""
        raise ResourceError(
            f"The lab's folder holds {used / 1e9:.1f} GB of the {quota / 1e9:g} GB that it may "
            f"({QUOTA[0]}){more}. The Storage page shows what can be cleaned."
        )


def recount() -> None:
    """Have the quotas count anew at their next use: something was deleted."""
    _counted.clear()


def require_free_space(folder: Path, needed_bytes: int, *, variable: str = "LAB_HOME") -> None:
    """Raise ResourceError unless `folder` has room; 200 MB are left to the rest of the system.

    `variable` is the environment variable that moves the folder. Inside LAB_HOME its quota holds,
    too.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes + 200_000_000 > free:
        raise ResourceError(
            f"This needs {needed_bytes / 1e6:,.0f} MB in {folder} and only "
            f"{free / 1e6:,.0f} MB are free. Free some space or set {variable} to a larger disk."
        )
    if folder.is_relative_to(lab_home()):
        require_quota(needed_bytes)


@contextlib.contextmanager
def atomic_file(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `target`: it replaces `target` on success, else is deleted.

    With `durable` the file is on the disk when the block is left, else only soon afterwards.
    """
    with temporary_file(target) as temporary, writing(target):
        yield temporary
        if durable:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, target)


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `target`, for this user alone; deleted after the block if it
    still is there."""
    temporary, lock = _make_temporary(target, folder=False)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        _unlock(lock)


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`: it replaces it on success, else is deleted."""
    with writing(target):
        target.parent.mkdir(exist_ok=True)  # not its parents: a deleted run stays deleted
    with temporary_folder(target) as temporary, writing(target):
        yield temporary
        # A reader that has the old files mapped keeps them; the name moves on.
        old = _move_away(target, "old.", "was") if target.exists() else None
        os.replace(temporary, target)
        if old:
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `target`; deleted after the block if it still is there."""
    temporary, lock = _make_temporary(target, folder=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _unlock(lock)


def move_away(path: Path) -> Path:
    """Moves a file or folder, in one step, into a new temporary folder beside it and returns that,
    to be deleted: nothing half-deleted can be opened, and what a killed process leaves is swept."""
    return _move_away(path, "removed.", "gone")


def _move_away(path: Path, label: str, name: str) -> Path:
    """By label and name `lab.data` knows a pack that was about to be replaced."""
    trash, lock = _make_temporary(path, label, folder=True)
    try:
        with writing(path):
            os.replace(path, trash / name)
    finally:
        _unlock(lock)
    return trash


def _make_temporary(target: Path, label: str = "", *, folder: bool) -> tuple[Path, int | None]:
    """Makes an empty temporary file or folder beside `target`; returns it with its lock.

    Another process that sweeps may see it before it is locked: then it is made anew.
    """
    prefix, parent = f".{target.name}.{label}", target.parent
    while True:
        with writing(target):
            if folder:
                temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            else:
                handle, name = tempfile.mkstemp(prefix=prefix, dir=parent)  # mode 0600
                os.close(handle)
                temporary = Path(name)
        lock = _lock(temporary, wait=True)
        if temporary.exists():
            return temporary, lock
        _unlock(lock)


def _lock(temporary: Path, *, wait: bool = False) -> int | None:
    """Hold the lock of a temporary file or folder until `_unlock`, or the process's death.

    None where somebody else holds it and we do not `wait`, where it is gone, and where disk or
    system has no such locks.
    """
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(temporary, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def is_being_written(temporary: Path) -> bool:
    """Whether a living process writes this temporary file or folder, as far as the system tells."""
    lock = _lock(temporary)
    _unlock(lock)
    return lock is None and sys.platform != "win32"


def sweep_temporaries(folder: Path, *, leave: frozenset[str] = frozenset()) -> int:
    """Delete what dead processes were writing below `folder`, but not in its folders `leave`;
    returns how many.

    What a living process writes is locked and stays, in whichever container it lives.
    """
    return sum(_delete_dead(path) for path in temporaries(folder, leave=leave))


def temporaries(folder: Path, *, leave: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yields the temporary files and folders below `folder`, but not in its folders `leave`."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, n) for n in (*folders, *files) if _TEMPORARY.fullmatch(n))
        kept = leave if Path(parent) == folder else ()
        folders[:] = [name for name in folders if name[0] != "." and name not in kept]


def _delete_dead(temporary: Path) -> bool:
    lock = _lock(temporary)
    if lock is None:
        return False
    try:
        status = os.fstat(lock)
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(temporary, ignore_errors=True)
        elif status.st_nlink > 1 and time.time() - status.st_ctime < LINK_SECONDS:
            return False  # a second name of a file is never locked, and lasts for a moment
        else:
            temporary.unlink(missing_ok=True)
    finally:
        _unlock(lock)
    return True
