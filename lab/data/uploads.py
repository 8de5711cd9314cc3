"""Files from a browser on their way into the lab: streamed to disk, then imported, then deleted.

LAB_HOME/downloads/
├── upload-<id>.zip     a zip, once it is here whole
├── upload-<id>/        a folder, file by file
├── upload-<id>.*.part  a file that is coming in
└── upload-<id>.owner   the id of the member whose it is; an upload of the operator has none

An id is 32 hexadecimal digits that only its session knows. What nobody has asked for within a day
is deleted at the next upload and at the next start.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType

from lab.data.person_quota import count_use, require_person_quota
from lab.errors import ConfigError, LabError
from lab.home import atomic_file, home_folder, require_free_space, used_bytes, writing
from lab.people import current_person

LIMIT_VARIABLE = "LAB_MAX_UPLOAD_MB"
DEFAULT_LIMIT_MB = 2000
MAX_FILES = 100_000
"""Files of one folder; a zip may hold more."""
KEPT_SECONDS = 24 * 3600
PART_SECONDS = 600
"""A file that is coming in grows all the time."""
_SPACE_EVERY = 64_000_000
"""Bytes between two looks at the free space of the disk."""
_OWNER = ".owner"
_ID = re.compile(r"[0-9a-f]{32}")


class UploadTooLargeError(LabError):
    """An upload is larger than the operator allows."""


def most_bytes() -> int:
    """The largest upload in bytes, all its files together; 0 when there are to be none.

    An operator sets it in megabytes with LAB_MAX_UPLOAD_MB. Raises ConfigError for what is no
    number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT_MB * 1_000_000
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ConfigError(
            f"{LIMIT_VARIABLE} is {text!r}; it must be a whole number of megabytes, such as "
            f"{DEFAULT_LIMIT_MB}, or 0 for no uploads."
        )
    return int(text) * 1_000_000


def uploaded_path(upload: str) -> Path | None:
    """Returns where the upload lies, a zip or a folder; None when nothing of it is here."""
    _check_id(upload)
    folder = home_folder("downloads")
    for path in (folder / f"upload-{upload}.zip", folder / f"upload-{upload}"):
        if path.exists():
            return path
    return None


def discard(upload: str) -> None:
    """Deletes what has come of an upload, whole or not. Files still coming in end with an error."""
    _check_id(upload)
    with _lock:
        _sizes.pop(upload, None)
    for path in home_folder("downloads").glob(f"upload-{upload}*"):
        _delete(path)


def bytes_of(person_id: str) -> int:
    """Returns what the person's uploads take that are not imported yet."""
    owners = home_folder("downloads").glob(f"upload-*{_OWNER}")
    mine = [_id_of(file) for file in owners if _read_owner(file) == person_id]
    return sum(used_bytes(path) for path in map(uploaded_path, mine) if path is not None)


count_use("Uploads", bytes_of)


def sweep(now: float | None = None) -> None:
    """Deletes uploads and collected pictures that nobody has asked for within a day, and what a
    killed server left of a file that was coming in."""
    now = time.time() if now is None else now
    folder = home_folder("downloads")
    for path in [*folder.glob("upload-*"), *folder.glob("collected-*")]:
        with contextlib.suppress(OSError):
            kept = PART_SECONDS if path.suffix == ".part" else KEPT_SECONDS
            if path.suffix == _OWNER and uploaded_path(_id_of(path)) is None:  # it was imported
                kept = PART_SECONDS
            if path.stat().st_mtime < now - kept:
                _delete(path)


class IncomingFile:
    """One file of an upload as it comes in; there whole when the block is left, or not at all.

        with IncomingFile(upload, "cats/1.jpg", length=30_000) as file:
            file.write(chunk)                       # as often as needed

    `path` is where it lies inside a folder, "" for a zip. Raises ConfigError for a path that is
    none, UploadTooLargeError, ResourceError when the disk is too full.
    """

    def __init__(self, upload: str, path: str, *, length: int | None = None) -> None:
        _check_id(upload)
        self._upload = upload
        folder = home_folder("downloads")
        if path:
            self.target = folder.joinpath(f"upload-{upload}", *_parts(path))
        else:
            self.target = folder / f"upload-{upload}.zip"
        if self.target.exists():
            raise ConfigError(f"{path or 'The zip'} of this upload is here already.")
        self._person = current_person().id
        self._count(length or 0, final=False)
        require_free_space(folder, length or 0)
        require_person_quota(_coming_in[self._person] + (length or 0))
        _note_owner(upload)
        with writing(self.target):
            handle, name = tempfile.mkstemp(prefix=f"upload-{upload}.", suffix=".part", dir=folder)
        self._file = os.fdopen(handle, "wb")
        self._part = Path(name)
        self._since_look = self._written = self._reserved = 0
        self._length = length or 0

    def __enter__(self) -> IncomingFile:
        self._reserve(self._length)
        return self

    def write(self, data: bytes) -> None:
        """Appends `data`."""
        self._count(len(data))
        self._since_look += len(data)
        self._written += len(data)
        self._reserve(self._written)
        if self._since_look >= _SPACE_EVERY:
            self._since_look = 0
            require_free_space(self._part.parent, 0)
            require_person_quota(_coming_in[self._person])
        with writing(self._part):
            self._file.write(data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with writing(self._part):
                self._file.close()
            if kind is None:
                with writing(self.target):
                    self.target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(self._part, self.target)
        finally:
            self._part.unlink(missing_ok=True)
            self._reserve(0)

    def _reserve(self, byte_count: int) -> None:
        """Counts the file as so large for its person's quota, if it did not as larger already; 0
        when it has come in."""
        with _lock:
            reserved = byte_count and max(byte_count, self._reserved)
            _coming_in[self._person] += reserved - self._reserved
            self._reserved = reserved

    def _count(self, byte_count: int, *, final: bool = True) -> None:
        """Adds to the bytes of the whole upload; without `final` only looks whether they fit."""
        most = most_bytes()
        with _lock:
            count, total = _sizes.get(self._upload) or _size_on_disk(self._upload)
            if total + byte_count > most or count > MAX_FILES:
                raise UploadTooLargeError(
                    f"This upload is larger than {most / 1e6:,.0f} MB or {MAX_FILES:,} files, the "
                    f"most allowed ({LIMIT_VARIABLE}). Give its path on the lab's machine instead."
                )
            if final:
                _sizes[self._upload] = (count, total + byte_count)
            else:
                _sizes[self._upload] = (count + 1, total)


_lock = threading.Lock()
_sizes: dict[str, tuple[int, int]] = {}
"""Upload -> its files and bytes so far; what came before this process began is counted on disk."""

_coming_in: Counter[str] = Counter()
"""Person -> the bytes of all files that are coming in at this moment, which are not counted on disk
yet: many at once would be more than one person may have."""


def _size_on_disk(upload: str) -> tuple[int, int]:
    """Returns the files and bytes of an upload that are here whole."""
    path = uploaded_path(upload)
    if path is None:
        return 0, 0
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


def _note_owner(upload: str) -> None:
    """Writes down whose the upload is, at its first file."""
    person, file = current_person(), home_folder("downloads") / f"upload-{upload}{_OWNER}"
    if not person.is_admin and not file.exists():
        with atomic_file(file, durable=False) as temporary:
            temporary.write_text(person.id, encoding="utf-8")


def _read_owner(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):  # swept meanwhile, or damaged
        return ""


def _id_of(owner_file: Path) -> str:
    return owner_file.name.removeprefix("upload-").removesuffix(_OWNER)


def _check_id(upload: str) -> None:
    if not _ID.fullmatch(upload):
        raise ConfigError(f"{upload!r:.80} is no upload; its name is 32 hexadecimal digits.")


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if (
        len(path) > 1000
        or "\\" in path
        or any(part in ("", ".", "..") or len(part.encode()) > 240 for part in parts)
        or not all(character.isprintable() for character in path)
    ):
        raise ConfigError(
            f"{path!r:.200} is no path inside a folder; expected is one such as cats/1.jpg."
        )
    return parts


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
