"""Keeps data sets that are too large to be sent at an address that server and machines reach.

    LAB_PACKS_URL, such as s3://bucket/lab or file:///mnt/lab
    └── <content hash>/
        ├── <random>/     the pack's files
        └── pack.json     which of these folders, and each file's size and checksum; written last

What no pack.json names is not there, so an upload that broke off does no harm. Whole packs are
never deleted by the lab (docs/SCALE.md).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lab.data.pack_lock import pack_lock
from lab.errors import ConfigError, DataError, LabError, ResourceError
from lab.home import writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent, throttled
from lab.runs.executors.ray_job import PackFiles
from lab.seal import new_digest, seal, unseal

VARIABLE = "LAB_PACKS_URL"

PIECE_BYTES = 8_000_000

WAITS = (1.0, 4.0, 15.0, 60.0)
"""Seconds before each further try of what a network error broke off."""

REFUSALS = (
    FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError,
    ValueError, TypeError, LookupError, AttributeError, ImportError, NotImplementedError,
)  # fmt: skip
"""Errors that another try would meet again; whichever else a library has are tried again."""

T = TypeVar("T")


def packs_url() -> str:
    """The address of LAB_PACKS_URL; "" without. Raises ConfigError for one that cannot be used."""
    url = os.environ.get(VARIABLE, "").strip()
    if not url:
        return ""
    reason = "it does not begin with one such as file:// or s3://"
    if "://" in url:
        try:
            _open(url)
            return url
        except Exception as error:  # of whichever library is behind the address
            reason = str(error).strip().partition("\n")[0][:200]
    # Without the address itself, which may hold a password.
    raise ConfigError(
        f"{VARIABLE} is no address where large data sets can be kept: {reason}. It must be one "
        "that fsspec knows, such as s3://bucket/lab or file:///mnt/lab."
    )


def put_pack(files: PackFiles, *, progress: Report = silent, cancel: Cancel = never) -> None:
    """Upload the pack to its address, unless it is there. Raises ResourceError, Cancelled."""
    tries = _Tries("Storing the data set for the machines", progress, cancel)
    with _errors("stored"):
        system, folder = _open(files.url, files.content_hash)
        if tries.of(partial(_listing, system, folder)) is not None:
            return
    with pack_lock(files.dataset, progress=progress, cancel=cancel), _errors("stored"):
        if tries.of(partial(_listing, system, folder)) is None:  # no other run was faster
            _upload(system, folder, files, tries)


def get_pack(
    files: PackFiles, target: Path, *, progress: Report = silent, cancel: Cancel = never
) -> None:
    """Fill the folder `target` with the pack from its address. Raises DataError where it is damaged
    or gone, ResourceError, Cancelled."""
    tries = _Tries("Fetching the data set", progress, cancel)
    with _errors("fetched"):
        system, folder = _open(files.url, files.content_hash)
        listing = tries.of(partial(_listing, system, folder))
        if listing is None:
            raise DataError(
                f"The data set {files.dataset!r} is not at the address of {VARIABLE} any more: "
                "resume the run, and it is put there anew."
            )
        _download(system, folder, listing, target, files, tries)


class _Tries:
    """Does work with an address again, after growing waits, when a network error breaks it off."""

    def __init__(self, text: str, progress: Report, cancel: Cancel) -> None:
        self._text = text
        self._progress = throttled(progress)
        self._cancel = cancel
        self._failures = 0

    def report(self, done: int, total: int) -> None:
        """Tell how many bytes have gone through. Raises Cancelled."""
        check_cancel(self._cancel, self._text)
        self._progress(Progress(done, total, self._text, "bytes"))

    def restart(self) -> None:
        """What comes now has all tries before it."""
        self._failures = 0

    def of(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns, which may be called several times. Raises its last error;
        Cancelled."""
        self.restart()
        while True:
            try:
                return work()
            except Exception as error:
                self.wait_after(error)

    def wait_after(self, error: Exception) -> None:
        """Returns when it is time for another try; raises `error` where that is of no use."""
        if isinstance(error, LabError) or _is_refusal(error) or self._failures == len(WAITS):
            raise error
        until = time.monotonic() + WAITS[self._failures]
        self._failures += 1
        while (left := until - time.monotonic()) > 0:
            check_cancel(self._cancel, self._text)
            text = f"{self._text}: trying again in {math.ceil(left)} s ({_reason(error)})"
            self._progress(Progress(0, 0, text))
            time.sleep(min(left, 0.1))


def _is_refusal(error: Exception) -> bool:
    """Whether the error is an answer rather than a break of the network."""
    if isinstance(error, REFUSALS):
        return True
    statuses = (getattr(error, name, None) for name in ("status", "status_code", "code"))  # of HTTP
    status = next((value for value in statuses if isinstance(value, int)), 0)
    return 400 <= status < 500 and status not in (408, 429)  # but "too slow" and "too often"


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0][:200]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@dataclass(frozen=True)
class _Listing:
    folder: str
    files: Mapping[str, tuple[int, str]]
    """By name: size and checksum."""


def _open(url: str, *parts: str) -> tuple[Any, str]:
    """Returns the file system of an address, and the path of what is below it."""
    from fsspec.core import url_to_fs  # only where such an address is used

    system, path = url_to_fs(url)
    return system, "/".join((str(path).rstrip("/"), *parts))


def _listing(system: Any, folder: str) -> _Listing | None:
    """What pack.json says; None where there is none, or one of which only a part was written."""
    try:
        values = unseal(json.loads(system.cat_file(f"{folder}/pack.json")))
        files = {str(n): (int(size), str(digest)) for n, (size, digest) in values["files"].items()}
        names = [values["folder"], *files]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    if any(name in ("", "..") or Path(name).name != name for name in names):
        return None  # it would lead out of the folder
    return _Listing(values["folder"], files)


def _upload(system: Any, folder: str, pack: PackFiles, tries: _Tries) -> None:
    # A folder of its own: two servers may upload the same pack, each with its own meta.json.
    name = os.urandom(8).hex()
    done, listed = 0, {}
    try:
        tries.of(partial(system.makedirs, f"{folder}/{name}", exist_ok=True))
        for file in sorted(pack.folder.iterdir()):
            if not file.is_file() or file.name.startswith("."):
                continue
            path = f"{folder}/{name}/{file.name}"
            listed[file.name] = tries.of(
                partial(_upload_file, system, file, path, tries, done, pack.size_bytes)
            )
            done += listed[file.name][0]
        if tries.of(partial(_listing, system, folder)) is not None:  # another server was faster
            system.rm(f"{folder}/{name}", recursive=True)
            return
        text = json.dumps(seal({"folder": name, "files": listed})).encode()
        tries.of(partial(system.pipe_file, f"{folder}/pack.json", text))
    except BaseException:
        with contextlib.suppress(Exception):
            system.rm(f"{folder}/{name}", recursive=True)
        raise


def _upload_file(
    system: Any, file: Path, path: str, tries: _Tries, before: int, total: int
) -> tuple[int, str]:
    """Returns the file's size and checksum; `before` bytes of `total` went up before it."""
    digest, size = new_digest(), 0
    with file.open("rb") as source, system.open(path, "wb") as to:
        while data := source.read(PIECE_BYTES):
            to.write(data)
            digest.update(data)
            size += len(data)
            tries.report(before + size, total)
    return size, digest.hexdigest()


def _download(
    system: Any, folder: str, listing: _Listing, target: Path, pack: PackFiles, tries: _Tries
) -> None:
    total = sum(size for size, _ in listing.files.values())
    done = 0
    for name, (size, checksum) in listing.files.items():
        digest, read = new_digest(), 0
        with writing(target / name), (target / name).open("wb") as to:
            for data in _pieces(system, f"{folder}/{listing.folder}/{name}", tries):
                to.write(data)
                digest.update(data)
                read += len(data)
                tries.report(done + read, total)
        if (read, digest.hexdigest()) != (size, checksum):
            raise DataError(
                f"The data set {pack.dataset!r} is damaged at the address of {VARIABLE}: {name} "
                f"is not what was stored. Delete {pack.content_hash} there and resume the run."
            )
        done += read


def _pieces(system: Any, path: str, tries: _Tries) -> Iterator[bytes]:
    """Yields the content of a file; its errors are those of the address, not of our disk."""
    position = 0
    tries.restart()
    with _errors("fetched"):
        while True:
            try:
                with system.open(path, "rb") as source:
                    source.seek(position)
                    while data := source.read(PIECE_BYTES):
                        position += len(data)
                        tries.restart()
                        yield data
                    return
            except Exception as error:
                tries.wait_after(error)


@contextlib.contextmanager
def _errors(done: str) -> Iterator[None]:
    """Turns whatever the library behind an address raises into one sentence."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        raise ResourceError(
            f"The data set could not be {done} at the address of {VARIABLE} ({_reason(error)}). "
            "Check the address and the access to it."
        ) from error
