"""Folders and zips through one interface. Nothing is ever unpacked to disk.

So no name inside a zip can lead outside, and a bomb is recognised by its declared size before a
byte of it is read: `zipfile` never yields more of an entry than the zip declares.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources.source import natural_key
from lab.errors import DataError

MAX_FILES = 500_000
MAX_DEPTH = 50
MAX_TOTAL_BYTES = 100_000_000_000
MAX_RATIO = 200
"""Images are compressed already and CSV shrinks about tenfold; bombs shrink a thousandfold."""
RATIO_MATTERS_FROM = 5_000_000
"""Bytes; the ratio of smaller files does not matter."""

READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
"""What `zipfile` raises for damaged, encrypted and exotically compressed entries."""


class Archive(Protocol):
    """Files by their path inside, with `/` between folders; hidden files are left out."""

    display_path: str
    """The path that the person typed."""
    files: tuple[str, ...]
    """Every file, in natural order."""
    sizes: dict[str, int]
    """Bytes of every file when unpacked."""
    folders: frozenset[str]
    """Every folder, also the empty ones, without the root."""

    def read(self, name: str, *, limit: int) -> bytes:
        """The whole file; UnreadableFile when it is damaged or larger than `limit` bytes."""

    def open(self, name: str) -> BinaryIO:
        """A stream to read from; UnreadableFile when it cannot be opened, then READ_ERRORS."""


@contextlib.contextmanager
def open_archive(path: Path, rejections: Rejections) -> Iterator[Archive]:
    """The folder or zip at `path`. Unsafe entries are left out and go into `rejections`.

    Raises DataError when `path` is not there, is neither, or is a zip that must not be read.
    """
    display_path = str(path)
    place = path.expanduser()
    try:
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{display_path!r} cannot be looked at: {error}.") from error
    if is_folder:
        yield _Folder(place, display_path)
    elif not is_file:
        raise DataError(f"{display_path} is not there. Give the path of a folder or a zip file.")
    elif not zipfile.is_zipfile(place):
        raise DataError(
            f"{display_path} is not a zip file{_maybe_broken(place)}. Give the path of a folder or "
            "a zip file; unpack other kinds of archives first."
        )
    else:
        try:
            zipped = zipfile.ZipFile(place)
        except READ_ERRORS as error:
            raise DataError(
                f"{display_path} is a damaged zip and cannot be read: {error}."
            ) from error
        with zipped:
            yield _Zip(zipped, display_path, place.stat().st_size, rejections)


class _Folder:
    def __init__(self, root: Path, display_path: str) -> None:
        self.display_path = display_path
        self._root = root
        self.sizes: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        folders: set[str] = set()
        walked: set[str] = set()
        for directory, names, files in os.walk(root, followlinks=True):
            real = os.path.realpath(directory)
            if real in walked:  # a link that leads back up would never end
                names.clear()
                continue
            walked.add(real)
            names[:] = sorted(name for name in names if not _hidden(name))
            below = _clean(Path(directory).relative_to(root).as_posix())
            prefix = "" if below == "." else below + "/"
            folders.update(prefix + _clean(name) for name in names)
            for name in files:
                path = os.path.join(directory, name)
                # Only plain files: reading a pipe or a device would wait for ever.
                if not _hidden(name) and os.path.isfile(path):
                    archive_name = prefix + _clean(name)
                    self._paths[archive_name] = path
                    self.sizes[archive_name] = os.path.getsize(path)
            if len(self._paths) > MAX_FILES:
                raise DataError(
                    f"{display_path} holds more than {MAX_FILES:,} files. "
                    "Give the folder of one data set."
                )
        self.folders = frozenset(folders)
        self.files = tuple(sorted(self._paths, key=natural_key))

    def read(self, name: str, *, limit: int) -> bytes:
        try:
            with open(self._paths[name], "rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise UnreadableFile(name, f"cannot be read ({error.strerror})") from error
        return _check_length(data, name, limit)

    def open(self, name: str) -> BinaryIO:
        try:
            return open(self._paths[name], "rb")
        except OSError as error:
            raise UnreadableFile(name, f"cannot be read ({error.strerror})") from error


class _Zip:
    def __init__(
        self, zipped: zipfile.ZipFile, display_path: str, size_on_disk: int, rejections: Rejections
    ) -> None:
        self.display_path = display_path
        self._zip = zipped
        self._lock = threading.Lock()
        self._entries: dict[str, zipfile.ZipInfo] = {}
        entries = zipped.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_FILES:
            raise DataError(
                f"{display_path} holds {len(entries):,} files; at most {MAX_FILES:,} are read."
            )
        # Entries that share their bytes stay below every ratio of their own; all together do not.
        if total > MAX_TOTAL_BYTES or (
            total > 20 * RATIO_MATTERS_FROM and total > MAX_RATIO * size_on_disk
        ):
            raise DataError(
                f"{display_path} would unfold from {size_on_disk / 1e6:,.1f} MB to "
                f"{total / 1e6:,.0f} MB, which looks like a zip bomb; at most {MAX_RATIO} times "
                f"and {MAX_TOTAL_BYTES / 1e9:.0f} GB are read."
            )
        if any(entry.flag_bits & 1 for entry in entries):
            raise DataError(
                f"{display_path} is locked with a password. Unpack it and give the folder."
            )
        folders: set[str] = set()
        for entry in entries:
            name = _entry_name(entry)
            if any(_hidden(part) for part in name.split("/")):
                continue
            if reason := _unsafe(name):
                rejections.add(name[:200], reason)
                continue
            path = PurePosixPath(name)
            folders.update(str(above) for above in path.parents if str(above) != ".")
            if entry.is_dir():
                folders.add(str(path))
            elif str(path) in self._entries:
                rejections.add(str(path), "is in the zip twice; the first one is used")
            elif (
                entry.file_size > RATIO_MATTERS_FROM
                and entry.file_size > MAX_RATIO * entry.compress_size
            ):
                rejections.add(
                    str(path),
                    f"would unfold to {entry.file_size / 1e6:,.0f} MB, "
                    f"more than {MAX_RATIO} times its size: looks like a zip bomb",
                )
            else:
                self._entries[str(path)] = entry
        self.folders = frozenset(folders)
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}
        self.files = tuple(sorted(self._entries, key=natural_key))

    def read(self, name: str, *, limit: int) -> bytes:
        entry = self._entries[name]
        if entry.file_size > limit:
            raise _too_long(name, limit)
        try:
            with self._lock, self._zip.open(entry) as file:
                data = file.read(limit + 1)
        except READ_ERRORS as error:
            raise UnreadableFile(name, f"is damaged inside the zip ({error})") from error
        return _check_length(data, name, limit)

    def open(self, name: str) -> BinaryIO:
        try:
            return self._zip.open(self._entries[name])  # type: ignore[return-value]
        except READ_ERRORS as error:
            raise UnreadableFile(name, f"is damaged inside the zip ({error})") from error


_LEFT_BY_SYSTEMS = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "picasa.ini",
        "_ds_store",  # what Kaggle makes of .DS_Store
        "__pycache__",
        "system volume information",
        "lost+found",
    }
)
_OF_MACHINES = re.compile(
    r"(\.(?!\.?$).*|@eadir|@__thumb|@tmp|@recycle|@recently-snapshot|@synoresource|@sharesnap"
    r"|#recycle|#snapshot|~snapshot|\$recycle\.bin|synofile_thumb.*|synophoto_thumb.*|icon\r)",
    re.IGNORECASE,
)


def _hidden(name: str) -> bool:
    """Left by operating systems and network storage, never part of a data set."""
    return name.casefold() in _LEFT_BY_SYSTEMS or _OF_MACHINES.fullmatch(name) is not None


def _unsafe(name: str) -> str | None:
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path inside the zip and is left out"
    if ".." in name.split("/"):
        return "has a path that leads out of the zip and is left out"
    if name.count("/") > MAX_DEPTH:
        return f"lies more than {MAX_DEPTH} folders deep and is left out"
    return None


def _entry_name(entry: zipfile.ZipInfo) -> str:
    name = entry.filename
    if not entry.flag_bits & 0x800 and not name.isascii():
        # Without the UTF-8 mark zipfile reads the name as cp437; many tools forget the mark.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return _clean(name.replace("\\", "/"))


def _clean(name: str) -> str:
    """Printable and in the one spelling that Korean and accented names have everywhere else."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _check_length(data: bytes, name: str, limit: int) -> bytes:
    if len(data) > limit:
        raise _too_long(name, limit)
    return data


def _too_long(name: str, limit: int) -> UnreadableFile:
    return UnreadableFile(name, f"is larger than {limit / 1e6:,.0f} MB, the most allowed")


def _maybe_broken(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        return f" that can be read ({error.strerror})"
    return " that is whole (its end is missing: was it cut off?)" if start == b"PK\x03\x04" else ""
