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
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.data.pack_lock import pack_lock
from lab.errors import ConfigError, DataError, LabError, ResourceError
from lab.home import writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent, throttled
from lab.runs.executors.ray_job import PackFiles
from lab.seal import new_digest, seal, unseal

VARIABLE = "LAB_PACKS_URL"

PIECE_BYTES = 8_000_000


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
    with _errors("stored"):
        system, folder = _open(files.url, files.content_hash)
        if _listing(system, folder) is not None:
            return
    with pack_lock(files.dataset, progress=progress, cancel=cancel), _errors("stored"):
        if _listing(system, folder) is None:  # no other run was faster
            _upload(system, folder, files, throttled(progress), cancel)


def get_pack(
    files: PackFiles, target: Path, *, progress: Report = silent, cancel: Cancel = never
) -> None:
    """Fill the folder `target` with the pack from its address. Raises DataError where it is damaged
    or gone, ResourceError, Cancelled."""
    with _errors("fetched"):
        system, folder = _open(files.url, files.content_hash)
        listing = _listing(system, folder)
        if listing is None:
            raise DataError(
                f"The data set {files.dataset!r} is not at the address of {VARIABLE} any more: "
                "resume the run, and it is put there anew."
            )
        _download(system, folder, listing, target, files, throttled(progress), cancel)


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


def _upload(system: Any, folder: str, pack: PackFiles, progress: Report, cancel: Cancel) -> None:
    # A folder of its own: two servers may upload the same pack, each with its own meta.json.
    name = os.urandom(8).hex()
    done, listed = 0, {}
    try:
        system.makedirs(f"{folder}/{name}", exist_ok=True)
        for file in sorted(pack.folder.iterdir()):
            if not file.is_file() or file.name.startswith("."):
                continue
            digest, size = new_digest(), 0
            with file.open("rb") as source, system.open(f"{folder}/{name}/{file.name}", "wb") as to:
                while data := source.read(PIECE_BYTES):
                    check_cancel(cancel, "Storing the data set")
                    to.write(data)
                    digest.update(data)
                    size += len(data)
                    text = "Storing the data set for the machines"
                    progress(Progress(done + size, pack.size_bytes, text, "bytes"))
            done += size
            listed[file.name] = (size, digest.hexdigest())
        if _listing(system, folder) is not None:  # another server was faster
            system.rm(f"{folder}/{name}", recursive=True)
            return
        text = json.dumps(seal({"folder": name, "files": listed}))
        system.pipe_file(f"{folder}/pack.json", text.encode())
    except BaseException:
        with contextlib.suppress(Exception):
            system.rm(f"{folder}/{name}", recursive=True)
        raise


def _download(
    system: Any,
    folder: str,
    listing: _Listing,
    target: Path,
    pack: PackFiles,
    progress: Report,
    cancel: Cancel,
) -> None:
    total = sum(size for size, _ in listing.files.values())
    done = 0
    for name, (size, checksum) in listing.files.items():
        digest, read = new_digest(), 0
        with writing(target / name), (target / name).open("wb") as to:
            for data in _pieces(system, f"{folder}/{listing.folder}/{name}"):
                check_cancel(cancel, "Fetching the data set")
                to.write(data)
                digest.update(data)
                read += len(data)
                progress(Progress(done + read, total, "Fetching the data set", "bytes"))
        if (read, digest.hexdigest()) != (size, checksum):
            raise DataError(
                f"The data set {pack.dataset!r} is damaged at the address of {VARIABLE}: {name} "
                f"is not what was stored. Delete {pack.content_hash} there and resume the run."
            )
        done += read


def _pieces(system: Any, path: str) -> Iterator[bytes]:
    """Yields the content of a file; its errors are those of the address, not of our disk."""
    with _errors("fetched"), system.open(path, "rb") as source:
        while data := source.read(PIECE_BYTES):
            yield data


@contextlib.contextmanager
def _errors(done: str) -> Iterator[None]:
    """Turns whatever the library behind an address raises into one sentence."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise ResourceError(
            f"The data set could not be {done} at the address of {VARIABLE} "
            f"({type(error).__name__}: {reason}). Check the address and the access to it."
        ) from error
