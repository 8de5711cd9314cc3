"""Folders, zips and tars through one interface. Nothing is unpacked to a place where it could stay.

So no name inside a zip can lead outside, and a bomb is recognised by its declared size before a
byte of it is read: no more of an entry is ever read than the zip declares. A folder or zip that
holds no picture but zips (cats.zip and dogs.zip, or Kaggle's train.zip) is read as if each were a
folder.
"""

from __future__ import annotations

import bz2
import contextlib
import copy
import gzip
import io
import lzma
import os
import re
import shutil
import struct
import tarfile
import tempfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Protocol, cast

from inflate64 import Inflater

from lab.data.decode import SUFFIXES, UnreadableFile, read_at_most
from lab.data.pack import Rejections
from lab.data.sources.code_pages import CODE_PAGES, ZIP_PAGES, question, readings
from lab.data.sources.source import Question, natural_key
from lab.data.typed_path import expanded
from lab.errors import DataError
from lab.home import lab_home, require_free_space, writing

MAX_FILES = 500_000
MAX_DEPTH = 50
MAX_NAME = 255
"""Characters of a file's or folder's name; no file system holds longer ones."""
MAX_TOTAL_BYTES = 100_000_000_000
MAX_RATIO = 200
"""Images are compressed already and CSV shrinks about tenfold; bombs shrink a thousandfold."""
RATIO_MATTERS_FROM = 5_000_000
"""Bytes; the ratio of smaller files does not matter."""

MAX_INNER_ZIPS = 500
_IN_MEMORY = 64_000_000
"""Bytes of a zip inside a zip that are held in memory; a larger one goes to a nameless file."""

READ_ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, NotImplementedError, UnicodeError),
)
"""What `zipfile` and the decompressors raise for damaged, encrypted and exotic entries."""


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
    questions: tuple[Question, ...]
    """In which code page the names are written, where that is not sure."""
    notes: tuple[str, ...]
    """How the names were read, where they are not Unicode."""

    def read(self, name: str, *, limit: int) -> bytes:
        """The whole file; UnreadableFile when it is damaged or larger than `limit` bytes."""

    def checksum(self, name: str) -> bytes:
        """What all copies of the file share, where that is known without reading it; else b""."""

    def open(self, name: str) -> BinaryIO:
        """A stream to read from; UnreadableFile when it cannot be opened, then READ_ERRORS."""


def without(archive: Archive, files: Collection[str]) -> Archive:
    """Returns the archive as if it did not have these files."""
    smaller = copy.copy(archive)
    gone = frozenset(files)
    smaller.files = tuple(file for file in archive.files if file not in gone)
    return smaller


@contextlib.contextmanager
def open_archive(
    path: Path, rejections: Rejections, answers: Mapping[str, str] | None = None
) -> Iterator[Archive]:
    """The folder, zip or tar at `path`. Unsafe entries are left out and go into `rejections`.

    `answers` holds what a person chose, by the key of the archive's questions. Raises DataError
    when `path` is not there, is neither, or must not be read.
    """
    display_path = str(path)
    place = expanded(display_path)
    answers = answers or {}
    try:
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{display_path!r} cannot be looked at: {error}.") from error
    with contextlib.ExitStack() as stack:
        outer: _Files
        if is_folder:
            outer = _Folder(place, display_path, answers)
        elif not is_file:
            raise DataError(
                f"{display_path} is not there. Give the path of a folder or a zip file."
            )
        elif zipfile.is_zipfile(place):
            file = stack.enter_context(place.open("rb"))
            size = place.stat().st_size
            outer = _Zip(file, display_path, size, rejections, answers, "names")
        elif (tar := _opened_tar(place, display_path, stack)) is not None:
            outer = _Tar(tar, display_path, rejections, answers)
        else:
            raise DataError(f"{display_path} {_other_file(place)}")
        yield _with_inner_zips(outer, rejections, answers, stack)


class _Files:
    """What all archives share: names that are unique, sorted, and read through `_stream`."""

    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, display_path: str) -> None:
        self.display_path = display_path
        self.sizes: dict[str, int] = {}
        self.files: tuple[str, ...] = ()
        self.folders: frozenset[str] = frozenset()
        self._places: dict[str, Any] = {}

    def _add(self, name: str, size: int, place: Any) -> None:
        """Two files whose names become one (café spelled in two ways) both stay."""
        path = PurePosixPath(name)
        number = 1
        while name in self._places:
            number += 1
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        self._places[name] = place
        self.sizes[name] = size

    def _finish(self, folders: set[str]) -> None:
        self.folders = frozenset(folders)
        self.files = tuple(sorted(self._places, key=lambda name: (natural_key(name), name)))

    def _choose_names(self, names: list[bytes], answers: Mapping[str, str], key: str) -> str:
        """Returns the code page of these names, all of them without a mark; asks where in doubt."""
        if not names:
            return "utf-8"
        found = readings(names, ZIP_PAGES)
        examples = list(dict.fromkeys(name.strip(b"/") for name in names))[:3]
        asked = question(
            key, f"Which script are the names in {self.display_path} written in?", found, examples
        )
        if asked is not None:
            self.questions = (*self.questions, asked)
        page = asked.answer(answers) if asked else found[0].code_page
        if page not in ("utf-8", "cp437"):
            example = _clean(examples[0].decode(page, "replace"))
            self.notes = (*self.notes, f"The names were read as {CODE_PAGES[page]}: {example}.")
        return page

    def read(self, name: str, *, limit: int) -> bytes:
        if self.sizes[name] > limit:
            raise _too_long(name, limit)
        try:
            with self.open(name) as file:
                data = read_at_most(file, limit + 1)
        except UnreadableFile:
            raise
        except READ_ERRORS as error:
            raise UnreadableFile(name, self._damage(error)) from error
        if len(data) > limit:
            raise _too_long(name, limit)
        return data

    def checksum(self, name: str) -> bytes:
        return b""

    def open(self, name: str) -> BinaryIO:
        try:
            return self._stream(self._places[name])
        except READ_ERRORS as error:
            raise UnreadableFile(name, self._damage(error)) from error

    def _stream(self, place: Any) -> BinaryIO:
        raise NotImplementedError

    def _damage(self, error: BaseException) -> str:
        return f"is damaged inside the archive ({error})"


class _Folder(_Files):
    def __init__(self, root: Path, display_path: str, answers: Mapping[str, str]) -> None:
        super().__init__(display_path)
        folders: list[bytes] = []
        files: list[tuple[bytes, str]] = []
        walked: set[str] = set()
        for directory, names, file_names in os.walk(root, followlinks=True):
            real = os.path.realpath(directory)
            if real in walked:  # a link that leads back up would never end
                names.clear()
                continue
            walked.add(real)
            names[:] = sorted(name for name in names if not _hidden(name))
            below = Path(directory).relative_to(root).as_posix()
            prefix = "" if below == "." else below + "/"
            folders += (os.fsencode(prefix + name) for name in names)
            for name in sorted(file_names):
                path = os.path.join(directory, name)
                # Only plain files: reading a pipe or a device would wait for ever.
                if not _hidden(name) and os.path.isfile(path):
                    files.append((os.fsencode(prefix + name), path))
            if len(files) > MAX_FILES:
                raise DataError(
                    f"{display_path} holds more than {MAX_FILES:,} files. "
                    "Give the folder of one data set."
                )
        # What a zip program of Linux unpacks from a Korean zip keeps the Korean bytes.
        foreign = [name for name in (*folders, *(name for name, _ in files)) if not _is_utf8(name)]
        page = self._choose_names(foreign, answers, "names") if foreign else "utf-8"
        for raw, path in files:
            self._add(_decoded(raw, page), os.path.getsize(path), path)
        self._finish({_decoded(raw, page) for raw in folders})

    def _stream(self, place: Any) -> BinaryIO:
        return open(place, "rb")

    def _damage(self, error: BaseException) -> str:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"


class _Zip(_Files):
    def __init__(
        self,
        file: IO[bytes],
        display_path: str,
        size_on_disk: int,
        rejections: Rejections,
        answers: Mapping[str, str],
        key: str,
    ) -> None:
        super().__init__(display_path)
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(file)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{display_path} says that its names are UTF-8, and they are not. Unpack it and "
                "give the folder, or make the zip anew."
            ) from error
        except READ_ERRORS as error:
            raise DataError(
                f"{display_path} is a damaged zip and cannot be read: {error}."
            ) from error
        entries = self._zip.infolist()
        _check_entries(entries, display_path, size_on_disk)
        raw_names = [_raw_name(entry) for entry in entries]
        unmarked = [raw for raw in raw_names if isinstance(raw, bytes)]
        page = self._choose_names(unmarked, answers, key)
        folders: set[str] = set()
        seen: set[str | bytes] = set()
        for entry, raw in zip(entries, raw_names, strict=True):
            text = raw if isinstance(raw, str) else raw.decode(page, "replace")
            name = _clean(text.replace("\\", "/"))
            if any(_hidden(part) for part in name.split("/")):
                continue
            if reason := _unsafe(name):
                rejections.add(name[:200], reason)
                continue
            path = PurePosixPath(name)
            folders.update(str(above) for above in path.parents if str(above) != ".")
            if entry.is_dir() or text.endswith("\\"):
                folders.add(str(path))
            elif raw in seen:
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
                seen.add(raw)
                self._add(str(path), entry.file_size, entry)
        self._finish(folders)

    def read(self, name: str, *, limit: int) -> bytes:
        with self._lock:
            return super().read(name, limit=limit)

    def checksum(self, name: str) -> bytes:
        entry = self._places[name]
        return struct.pack("<IQ", entry.CRC, entry.file_size)

    def _stream(self, place: Any) -> BinaryIO:
        if place.compress_type == _DEFLATE64:
            return cast(BinaryIO, io.BufferedReader(_Inflate64(self._zip, place)))
        return cast(BinaryIO, self._zip.open(place))

    def _damage(self, error: BaseException) -> str:
        return f"is damaged inside the zip ({error})"


_DEFLATE64 = 9
_METHODS = {
    *(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, _DEFLATE64),
    *([zipfile.ZIP_ZSTANDARD] if hasattr(zipfile, "ZIP_ZSTANDARD") else []),
}
_METHOD_NAMES = {93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd", 6: "Implode"}


def _check_entries(entries: list[zipfile.ZipInfo], display_path: str, size_on_disk: int) -> None:
    """Raises DataError for a zip that must not or cannot be read as a whole."""
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
        raise DataError(f"{display_path} is locked with a password. Unpack it and give the folder.")
    if other := {entry.compress_type for entry in entries} - _METHODS:
        method = min(other)
        raise DataError(
            f"{display_path} is packed with {_METHOD_NAMES.get(method, 'a rare method')} "
            f"(method {method} of zips), which is not read here. Unpack it and give the folder."
        )


class _Inflate64(io.RawIOBase):
    """An entry packed with Deflate64, as Windows packs files of over 2 GB; checked at its end."""

    _STEP = 2048
    """Compressed bytes at a time: each of them can unfold to some thirty thousand."""

    def __init__(self, zipped: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        packed = copy.copy(entry)  # the same bytes, as if they were stored: zipfile finds them
        packed.compress_type, packed.file_size = zipfile.ZIP_STORED, entry.compress_size
        packed.CRC = None  # type: ignore[assignment]
        self._packed = zipped.open(packed)
        self._inflater = Inflater()
        self._pending = b""
        self._left, self._crc, self._wanted_crc = entry.file_size, 0, entry.CRC

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._packed.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._pending and self._left:
            packed = self._packed.read(self._STEP)
            if not packed and self._inflater.eof:
                raise EOFError("its data end too early")
            try:
                self._pending = self._inflater.inflate(packed)[: self._left]
            except ValueError as error:
                raise zipfile.BadZipFile(str(error)) from error
            if not packed and not self._pending:
                raise EOFError("its data end too early")
            self._left -= len(self._pending)
            self._crc = zlib.crc32(self._pending, self._crc)
            if not self._left and self._crc != self._wanted_crc:
                raise zipfile.BadZipFile("its checksum is wrong")
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count


class _Tar(_Files):
    def __init__(
        self,
        file: IO[bytes],
        display_path: str,
        rejections: Rejections,
        answers: Mapping[str, str],
    ) -> None:
        super().__init__(display_path)
        self._file = file
        self._lock = threading.Lock()
        members: list[tuple[bytes, tarfile.TarInfo]] = []
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    members.append((member.name.encode("utf-8", "surrogateescape"), member))
                    if len(members) > MAX_FILES:
                        raise DataError(f"{display_path} holds more than {MAX_FILES:,} files.")
        except READ_ERRORS as error:
            if not members:
                raise DataError(
                    f"{display_path} is a damaged tar and cannot be read: {error}."
                ) from error
            rejections.add(display_path, f"is damaged: it breaks off after {members[-1][1].name}")
        foreign = [raw for raw, _ in members if not _is_utf8(raw)]
        page = self._choose_names(foreign, answers, "names") if foreign else "utf-8"
        folders: set[str] = set()
        for raw, member in members:
            name = _decoded(raw, page).replace("\\", "/").removeprefix("./")
            if any(_hidden(part) for part in name.split("/")) or name in ("", "."):
                continue
            if reason := _unsafe(name):
                rejections.add(name[:200], reason.replace("zip", "tar"))
                continue
            path = PurePosixPath(name)
            folders.update(str(above) for above in path.parents if str(above) != ".")
            if member.isdir():
                folders.add(str(path))
            elif member.isreg() and not member.issparse():
                self._add(str(path), member.size, member)
            else:
                rejections.add(str(path), "is a link or a device in the tar and is left out")
        self._finish(folders)

    def _stream(self, place: Any) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Part(self._file, self._lock, place)))


class _Part(io.RawIOBase):
    """The bytes of one file of a tar; several may be read in turns."""

    def __init__(self, file: IO[bytes], lock: threading.Lock, member: tarfile.TarInfo) -> None:
        self._file, self._lock = file, lock
        self._place, self._left = member.offset_data, member.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._lock:
            self._file.seek(self._place)
            data = self._file.read(min(len(buffer), self._left))
        if not data and self._left:
            raise EOFError("the tar ends too early")
        buffer[: len(data)] = data
        self._place += len(data)
        self._left -= len(data)
        return len(data)


_PACKED_TARS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


def _opened_tar(place: Path, display_path: str, stack: contextlib.ExitStack) -> IO[bytes] | None:
    """The tar at `place` as a file that can be read anywhere, or None when it is none.

    A packed one can only be read from front to back, so it is unfolded into a file without a name.
    """
    try:
        file = stack.enter_context(place.open("rb"))
        beginning = file.read(512)
        file.seek(0)
        unpack = next((f for mark, f in _PACKED_TARS.items() if beginning.startswith(mark)), None)
        if unpack is None:
            return file if _is_tar(beginning) else None
        packed = stack.enter_context(unpack(file))
        if not _is_tar(packed.read(512)):
            return None
        packed.seek(0)
    except READ_ERRORS:
        return None
    size_on_disk = place.stat().st_size
    with writing(lab_home()):
        plain = stack.enter_context(_nameless_file())
        total = 0
        while True:
            try:
                block = packed.read(1 << 20)
            except READ_ERRORS as error:
                raise DataError(
                    f"{display_path} is a damaged tar and cannot be read: {error}."
                ) from error
            if not block:
                break
            total += len(block)
            if total > MAX_TOTAL_BYTES or (
                total > 20 * RATIO_MATTERS_FROM and total > MAX_RATIO * size_on_disk
            ):
                raise DataError(
                    f"{display_path} unfolds to more than {total / 1e6:,.0f} MB, which looks like "
                    f"a bomb; at most {MAX_RATIO} times its size is read."
                )
            if total % (256 << 20) < len(block):
                require_free_space(lab_home(), 256 << 20)
            plain.write(block)
    plain.seek(0)
    return plain


def _is_tar(beginning: bytes) -> bool:
    return beginning[257:262] == b"ustar"


def _nameless_file(in_memory: int = 0) -> IO[bytes]:
    """A file that is gone when it is closed, or when the process is killed."""
    folder = str(lab_home())
    if in_memory:
        return cast(IO[bytes], tempfile.SpooledTemporaryFile(in_memory, dir=folder))
    return cast(IO[bytes], tempfile.TemporaryFile(dir=folder))


def _with_inner_zips(
    outer: _Files, rejections: Rejections, answers: Mapping[str, str], stack: contextlib.ExitStack
) -> _Files:
    """`outer`, or where its only pictures are in zips, `outer` with each zip as a folder."""
    zips = [name for name in outer.files if name.casefold().endswith(".zip")]
    if not zips:
        return outer
    if any(PurePosixPath(name).suffix.casefold() in SUFFIXES for name in outer.files):
        for name in zips:
            if "/" not in name:
                rejections.add(
                    name, "is a zip beside pictures and is not opened; unpack it if it belongs here"
                )
        return outer
    if len(zips) > MAX_INNER_ZIPS:
        raise DataError(
            f"{outer.display_path} holds {len(zips):,} zips; at most {MAX_INNER_ZIPS} are opened. "
            "Unpack them and give the folder."
        )
    inner: dict[str, _Files] = {}
    total = 0
    for name in zips:
        try:
            size = outer.sizes[name]
            file: IO[bytes] = stack.enter_context(outer.open(name))
            if not isinstance(outer, _Folder):
                with writing(lab_home()):
                    if size > _IN_MEMORY:
                        require_free_space(lab_home(), size)
                    seekable = stack.enter_context(_nameless_file(_IN_MEMORY))
                    shutil.copyfileobj(file, seekable, 1 << 20)
                    seekable.seek(0)
                    file = seekable
            if not zipfile.is_zipfile(file):
                rejections.add(name, "is not a zip, or its end is missing")
                continue
            inner[name] = _Zip(
                file,
                f"{outer.display_path}/{name}",
                size,
                rejections,
                answers,
                f"names:{name}",
            )
            total += len(inner[name].files)
        except UnreadableFile as error:
            rejections.add(name, error.reason)
        except DataError as error:
            rejections.add(name, str(error).removeprefix(f"{outer.display_path}/{name} "))
        except READ_ERRORS as error:
            rejections.add(name, outer._damage(error))
        if total > MAX_FILES:
            raise DataError(
                f"{outer.display_path} holds more than {MAX_FILES:,} files in its zips."
            )
    return _Mounted(outer, inner) if inner else outer


class _Mounted(_Files):
    """An archive whose zips are folders of their name."""

    def __init__(self, outer: _Files, inner: Mapping[str, _Files]) -> None:
        super().__init__(outer.display_path)
        folders = set(outer.folders)
        for name in outer.files:
            if name not in inner:
                self._add(name, outer.sizes[name], (outer, name))
        for name, archive in inner.items():
            folder = name[: -len(".zip")]
            folders |= {folder, *(f"{folder}/{below}" for below in archive.folders)}
            for file in archive.files:
                self._add(f"{folder}/{file}", archive.sizes[file], (archive, file))
        self.questions = tuple(q for each in (outer, *inner.values()) for q in each.questions)
        self.notes = tuple(note for each in (outer, *inner.values()) for note in each.notes)
        self._finish(folders)

    def read(self, name: str, *, limit: int) -> bytes:
        archive, inner_name = self._places[name]
        try:
            data: bytes = archive.read(inner_name, limit=limit)
        except UnreadableFile as error:
            raise UnreadableFile(name, error.reason) from error
        return data

    def checksum(self, name: str) -> bytes:
        archive, inner_name = self._places[name]
        checksum: bytes = archive.checksum(inner_name)
        return checksum

    def _stream(self, place: Any) -> BinaryIO:
        archive, name = place
        file: BinaryIO = archive.open(name)
        return file


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
    if max(map(len, name.split("/"))) > MAX_NAME:
        return f"... has a name of more than {MAX_NAME} characters and is left out"
    return None


def _raw_name(entry: zipfile.ZipInfo) -> str | bytes:
    """The name as text, or as bytes where the zip does not say what they mean."""
    name = entry.orig_filename.partition("\0")[0]
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    raw = name.encode("cp437")  # what zipfile takes names without a mark for
    return _unicode_path(entry.extra, raw) or raw


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's extra field for Unicode names, when it belongs to this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        value, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind != 0x7075 or len(value) < 6 or value[0] != 1:
            continue
        if struct.unpack_from("<I", value, 1)[0] == zlib.crc32(raw):
            with contextlib.suppress(UnicodeDecodeError):
                return value[5:].decode("utf-8")
    return None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(raw: bytes, page: str) -> str:
    """A name of the disk: UTF-8, else in the code page of those that are not."""
    if _is_utf8(raw):
        return _clean(raw.decode("utf-8"))
    return _clean(raw.decode(page, "backslashreplace"))


def _clean(name: str) -> str:
    """Printable and in the one spelling that Korean and accented names have everywhere else."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _too_long(name: str, limit: int) -> UnreadableFile:
    return UnreadableFile(name, f"is larger than {limit / 1e6:,.0f} MB, the most allowed")


_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"ALZ\x01": "an ALZip archive",
    b"EGGA": "an ALZip archive (EGG)",
}
_TABLES = (".csv", ".tsv", ".jsonl", ".txt", ".csv.gz")


def _other_file(path: Path) -> str:
    """What the file at `path` is instead of a folder or a zip, and what to do with it."""
    unpack = "Unpack it and give the folder."
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        return f"is a file that cannot be read ({error.strerror})."
    if start.startswith(b"PK\x03\x04"):
        return "is not a zip file that is whole (its end is missing: was it cut off?)."
    if kind := next((kind for mark, kind in _OTHER_ARCHIVES.items() if start.startswith(mark)), ""):
        return f"is {kind}, which is not read here. {unpack}"
    name = path.name.casefold()
    if name.endswith(_TABLES):
        return f"is a table, not a zip file. Give the folder that holds it: {path.parent}."
    if path.suffix.casefold() in SUFFIXES:
        return (
            "is a single picture, not a zip file. Give the folder that holds the folders of the "
            "classes."
        )
    return (
        "is not a zip file. Give the path of a folder or a zip file; unpack other kinds of "
        "archives first."
    )
