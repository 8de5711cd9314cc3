"""A Pack: one data set, decoded once, ready to be cut into batches.

LAB_HOME/packs/<name>/
├── images.npy   (N, H, W, C) uint8, mapped into memory when read
├── labels.npy   (N,) int64
├── split.npy    (N,) uint8, index into SPLITS, or EXCLUDED
├── groups.npy   (N,) int64, only where several images belong together
├── sizes.npy    (N, 2) int32, width and height of each original; packs of older code have none
├── names.json   N texts: where each image came from
├── digests.npy  (N, 16) uint8, a hash of each image; packs of older code have none
├── meta.json    PackMeta; enough for a page, so that listing data sets opens no images
├── checksums.json   of each of these files, sealed; packs of older code have none
└── size-<n>/    the same pack at another image size, made when first needed

In every pack each class has at least one training image and at least two images in all, and there
are at least two classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import mmap
import os
import types
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lab.data.array_file import BROKEN
from lab.data.decode import Fit, ValueRange
from lab.errors import DataError
from lab.home import atomic_folder
from lab.names import visible
from lab.seal import file_digest, read_sealed, seal

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}
EXCLUDED = len(SPLITS)
"""The split code of an image that is kept in the pack but belongs to no split and no count."""
PACK_FORMAT = 1
"""Raise it when packs written by older code can no longer be read."""
CHECKSUMS = "checksums.json"
FACTS = "version.json"
"""Which version of the data set a pack is (`lab.data.version_files`): no part of its content."""
NO_CLASS = -1
"""The label of an excluded image whose class is no longer in the pack."""
LISTED_REJECTIONS = 1000
MAX_RESIDENT_BYTES = 256 << 20
"""Bytes read of a mapped file before its pages are released."""
_HEADER_BYTES = 128
_IMAGES = "images.npy"
_NOT_SUMMED = (CHECKSUMS, FACTS)
_CHUNK = 256
_DIGEST_BYTES = 16

_Number = TypeVar("_Number", np.int64, np.int32)


@dataclass(frozen=True)
class Rejected:
    """A file or row that was left out: `file` as a person knows it, `reason` ends the sentence."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file} {self.reason}"


class Rejections:
    """Files and rows left out of a data set: all are counted, the first thousand are listed."""

    def __init__(self) -> None:
        self.listed: list[Rejected] = []
        self.count = 0

    def add(self, file: str, reason: str) -> None:
        self.count += 1
        if len(self.listed) < LISTED_REJECTIONS:
            # A file name has 255 characters at most; a line of a list may have thousands.
            self.listed.append(Rejected(file[:1000], reason[:1000]))

    def extend(self, others: Rejections) -> None:
        self.listed += others.listed[: LISTED_REJECTIONS - len(self.listed)]
        self.count += others.count

    def take_back(self, files: Collection[str]) -> None:
        """Forgets what was said of files that turned out to be of use."""
        kept = [rejected for rejected in self.listed if rejected.file not in files]
        self.count -= len(self.listed) - len(kept)
        self.listed = kept


@dataclass(frozen=True)
class PackMeta:
    """What is known of a pack without opening its images.

    `counts` is split -> class name -> images. `content_hash` covers pixels, labels, split, groups
    and class names; a pack at another size keeps the hash of the pack it was made from, so two
    packs hold the same arrays when both content_hash and image_size agree. `images_hash` covers
    the pixels alone: what is known of the pictures themselves is kept under it.
    """

    dataset: str
    title: str
    story: str
    class_names: tuple[str, ...]
    drawn: bool
    channels: int
    image_size: int
    fit: Fit
    source: str
    licence: str
    created: str
    """ISO 8601, UTC."""
    rejected: tuple[Rejected, ...] = ()
    rejected_count: int = 0
    original_sizes: dict[str, int] = field(default_factory=dict)
    """"640x480" (width x height) -> images; the 20 most frequent."""
    notes: tuple[str, ...] = ()
    """Decisions taken during the import, as sentences."""
    warnings: tuple[str, ...] = ()
    """What is probably wrong with the data set, as sentences."""
    source_version: int = 0
    """For drawn sets: the version of the drawing code."""
    value_range: ValueRange | None = None
    """The values that are black and white, of files of more than 8 bits a value; None without."""
    content_hash: str = ""
    images_hash: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    format: int = PACK_FORMAT

    def to_json(self) -> str:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["rejected"] = [[r.file, r.reason] for r in self.rejected]
        return json.dumps(values, indent=1)

    @classmethod
    def from_json(cls, text: str) -> PackMeta:
        """Raises ValueError, TypeError or KeyError when the text is not a PackMeta."""
        values: dict[str, Any] = json.loads(text)
        if values["format"] != PACK_FORMAT:
            raise ValueError(f"format {values['format']} instead of {PACK_FORMAT}")
        values["class_names"] = tuple(map(visible, values["class_names"]))
        values["title"] = visible(values["title"])
        values["notes"] = tuple(values["notes"])
        values["warnings"] = tuple(values.get("warnings", ()))
        values.setdefault("images_hash", values["content_hash"])  # packs of older code
        if values.get("value_range") is not None:
            values["value_range"] = tuple(values["value_range"])
        values["rejected"] = tuple(Rejected(file, reason) for file, reason in values["rejected"])
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Pack:
    """A data set in arrays. Read-only, so reading is thread-safe.

    images (N, H, W, C) uint8, read-only and mapped from disk; labels (N,) int64, NO_CLASS only for
    excluded images; split (N,) uint8, index into SPLITS or EXCLUDED; names: N texts such as
    "train/cats/cat.1.jpg" or "sign_mnist_train.csv row 17" (rows count from 1 below the header).
    groups (N,) int64: images with the same number belong together (a burst, a photograph and its
    copies) and no split cuts them apart; None when each image stands for itself. sizes (N, 2)
    int32: width and height that each image had in its file; None where they are not known. `folder`
    is where it lies.
    """

    meta: PackMeta
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: NDArray[np.uint8]
    names: tuple[str, ...]
    folder: Path | None = None
    groups: NDArray[np.int64] | None = None
    sizes: NDArray[np.int32] | None = None
    _residency: _ResidencyLimit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_residency", _ResidencyLimit(self.images))

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str) -> NDArray[np.int64]:
        """The indices of the "train", "val" or "test" images: (n,) int64, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, H, W, C) uint8: a copy of these images. Pages that were read do not stay resident."""
        images: NDArray[np.uint8] = np.take(self.images, rows, axis=0)
        self._residency.count_read(images.nbytes)
        return images


class _ResidencyLimit:
    """Releases the pages of a mapped array once MAX_RESIDENT_BYTES have been read.

    A page of a mapped file counts as resident from its first read on: after an epoch over 10,000
    photographs that is 1.5 GB, and a person sees a process that grows. The file stays in the
    system's cache, so reading a released page again costs a page fault and no disk. Safe from any
    thread: a lost count only delays the release.
    """

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._mapping = _mapping_of(images)
        self._bytes_read = 0

    def count_read(self, byte_count: int) -> None:
        self._bytes_read += byte_count
        if self._bytes_read >= MAX_RESIDENT_BYTES and self._mapping is not None:
            self._bytes_read = 0
            self._mapping.madvise(mmap.MADV_DONTNEED)


def _mapping_of(array: Any) -> mmap.mmap | None:
    """The mapping behind an array; None where there is none or pages cannot be released (Windows).

    Only a read-only one: from others, what was written would be lost.
    """
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    if array is None or array.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    mapping = getattr(array, "_mmap", None)
    return mapping if isinstance(mapping, mmap.mmap) else None


class PackWriter:
    """Streams images into a new pack that appears whole at `folder`, or not at all.

        with PackWriter(folder, image_size=28, channels=1) as writer:
            writer.add(images, names)                   # (n, H, W, C) uint8, as often as needed
            meta = writer.finish(meta, labels, split)

    Leaving the block without `finish`, or by an exception, leaves nothing behind; an older pack at
    `folder` stays as it was until the new one takes its place. Holds only names and one digest an
    image in memory. Not thread-safe.
    """

    def __init__(self, folder: Path, *, image_size: int, channels: int) -> None:
        self._shape = (image_size, image_size, channels)
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._digests: list[bytes] = []
        self._names: list[str] = []
        self._finished = False

    def __enter__(self) -> PackWriter:
        self._temporary = self._stack.enter_context(atomic_folder(self._folder))
        self._file: BinaryIO = self._stack.enter_context((self._temporary / _IMAGES).open("w+b"))
        self._file.write(bytes(_HEADER_BYTES))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._finished:
            with contextlib.suppress(_Unfinished), self._stack:
                raise _Unfinished
            return
        self._stack.__exit__(kind, error, trace)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, images: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Append `images` (n, H, W, C) uint8; raises ValueError when the shape does not fit."""
        if images.dtype != np.uint8 or images.shape != (len(names), *self._shape):
            raise ValueError(
                f"images are {images.dtype} {images.shape}, not uint8 {(len(names), *self._shape)}"
            )
        images = np.ascontiguousarray(images)
        self._digests += [image_digest(image) for image in images]
        self._names += names
        self._file.write(images.data)

    def finish(
        self,
        meta: PackMeta,
        labels: NDArray[np.int64],
        split: NDArray[np.uint8],
        *,
        keep: NDArray[np.bool_] | None = None,
        groups: NDArray[np.int64] | None = None,
        sizes: NDArray[np.int32] | None = None,
        hashes: tuple[str, str] | None = None,
        facts: str = "",
    ) -> PackMeta:
        """Write everything beside the images; the pack takes its place when the block is left.

        labels (N,), split (N,), keep (N,), groups (N,) and sizes (N, 2) follow the order of `add`;
        images whose `keep` is False are dropped. Returns `meta` with counts and hashes filled in;
        `hashes`, (content_hash, images_hash), are those of the pack that this one is a copy of.
        `facts` is the text of version.json (see `lab.data.version_files`), which an import has not.
        """
        if keep is None:
            keep = np.ones(len(self._names), dtype=bool)
        columns = (labels, split, keep, groups, sizes)
        if {len(column) for column in columns if column is not None} != {len(self._names)}:
            raise ValueError(
                "labels, split, keep, groups and sizes need an entry for each image added"
            )
        if not keep.all():
            self._drop_images(keep)
            labels, split = labels[keep], split[keep]
            groups = None if groups is None else groups[keep]
            sizes = None if sizes is None else sizes[keep]
            rows = np.flatnonzero(keep).tolist()
            self._names = [self._names[i] for i in rows]
            self._digests = [self._digests[i] for i in rows]
        meta = dataclasses.replace(
            meta,
            counts=split_class_counts(meta.class_names, labels, split),
        )
        meta = dataclasses.replace(
            meta,
            content_hash=hashes[0]
            if hashes
            else content_hash(meta.class_names, self._shape, self._digests, labels, split, groups),
            images_hash=hashes[1] if hashes else self._images_hash(),
        )
        self._file.seek(0)
        self._file.write(_npy_header((len(self._names), *self._shape)))
        self._file.flush()
        os.fsync(self._file.fileno())
        np.save(self._temporary / "labels.npy", labels.astype(np.int64))
        np.save(self._temporary / "split.npy", split.astype(np.uint8))
        if groups is not None:
            np.save(self._temporary / "groups.npy", groups.astype(np.int64))
        if sizes is not None:
            np.save(self._temporary / "sizes.npy", sizes.astype(np.int32))
        if hashes is None:
            np.save(self._temporary / "digests.npy", _as_rows(self._digests))
        (self._temporary / "names.json").write_text(json.dumps(self._names), encoding="utf-8")
        (self._temporary / "meta.json").write_text(meta.to_json(), encoding="utf-8")
        write_checksums(self._temporary)
        if facts:
            (self._temporary / FACTS).write_text(facts, encoding="utf-8")
        self._finished = True
        return meta

    def _drop_images(self, keep: NDArray[np.bool_]) -> None:
        self._file.flush()
        images = np.memmap(
            self._file,
            dtype=np.uint8,
            mode="r+",
            offset=_HEADER_BYTES,
            shape=(len(self._names), *self._shape),
        )
        rows = np.flatnonzero(keep)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            images[start : start + len(part)] = images[part]  # rows only ever move forward
        images.flush()
        del images
        self._file.truncate(_HEADER_BYTES + len(rows) * int(np.prod(self._shape)))

    def _images_hash(self) -> str:
        total = hashlib.blake2b(json.dumps(self._shape).encode(), digest_size=16)
        for digest in self._digests:
            total.update(digest)
        return total.hexdigest()


def write_checksums(folder: Path, known: Mapping[str, str] = types.MappingProxyType({})) -> None:
    """Write the checksum of every file of the pack at `folder`; those in `known` are not read."""
    names = sorted(f.name for f in folder.iterdir() if f.is_file() and f.name not in _NOT_SUMMED)
    checksums = {name: known.get(name) or file_digest(folder / name) for name in names}
    (folder / CHECKSUMS).write_text(json.dumps(seal(checksums), indent=1), encoding="utf-8")


def read_checksums(folder: Path) -> dict[str, str]:
    """By file of the pack at `folder`; empty for a pack of older code. Raises ValueError."""
    try:
        return read_sealed(folder / CHECKSUMS)
    except FileNotFoundError:
        return {}


def verify_images(pack: Pack) -> None:
    """Raise DataError unless the pixels on disk are those that were written.

    The file is read whole, about a second a gigabyte, once a process as long as it is not replaced.
    """
    if pack.folder is None:
        return
    try:
        file = pack.folder / _IMAGES
        status = file.stat()
        checksum = read_checksums(pack.folder).get(_IMAGES)
        if checksum is None or checksum == _images_checksum(
            file, status.st_ino, status.st_mtime_ns, status.st_size
        ):
            return
        if read_checksums(pack.folder).get(_IMAGES) != checksum:
            return  # it is being replaced just now; `pack` has the old one mapped
    except (OSError, ValueError) as error:
        raise _damaged(pack.folder, error) from error
    raise _damaged(pack.folder, ValueError(f"{_IMAGES} has another checksum"))


@functools.lru_cache(maxsize=64)
def _images_checksum(file: Path, *_identity: int) -> str:
    return file_digest(file)


def image_digest(image: NDArray[np.uint8]) -> bytes:
    """Returns the digest of one image's pixels, 16 bytes."""
    pixels = np.ascontiguousarray(image).data
    return hashlib.blake2b(pixels, digest_size=_DIGEST_BYTES).digest()


def image_digests(pack: Pack) -> NDArray[np.uint8]:
    """Returns the digest of each image's pixels, (N, 16) uint8; images with equal rows are equal.

    Read from the pack's folder, or from all its images for a pack of older code.
    """
    if pack.folder is not None:
        with contextlib.suppress(*BROKEN):
            digests = np.load(pack.folder / "digests.npy")
            if digests.shape == (len(pack), _DIGEST_BYTES) and digests.dtype == np.uint8:
                return np.asarray(digests)
    rows = range(0, len(pack), _CHUNK)
    chunks = (pack.take(np.arange(i, min(i + _CHUNK, len(pack)))) for i in rows)
    return _as_rows([image_digest(image) for images in chunks for image in images])


def _as_rows(digests: Sequence[bytes]) -> NDArray[np.uint8]:
    joined = np.frombuffer(bytearray(b"".join(digests)), dtype=np.uint8)
    return joined.reshape(len(digests), _DIGEST_BYTES)


def content_hash(
    class_names: Sequence[str],
    shape: Sequence[int],
    digests: Iterable[bytes],
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    groups: NDArray[np.int64] | None = None,
) -> str:
    """Returns the hash of a pack's content, whose images of `shape` (H, W, C) have `digests`."""
    # Digests of images rather than all pixels, so that images can be dropped again.
    total = hashlib.blake2b(digest_size=16)
    total.update(json.dumps([list(class_names), list(shape)]).encode())
    for digest in digests:
        total.update(digest)
    total.update(labels.astype("<i8").tobytes())
    total.update(split.astype(np.uint8).tobytes())
    if groups is not None:
        total.update(groups.astype("<i8").tobytes())
    return total.hexdigest()


class _Unfinished(Exception):
    """Raised inside `atomic_folder` so that it drops a pack that was never finished."""


def read_meta(folder: Path) -> PackMeta | None:
    """The meta of the pack at `folder`; None without a pack, DataError when it is damaged."""
    file = folder / "meta.json"
    try:
        status = file.stat()
        return _read_meta(file, status.st_ino, status.st_mtime_ns, status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(folder, error) from error


@functools.lru_cache(maxsize=64)
def _read_meta(file: Path, *_identity: int) -> PackMeta:
    """A page asks a dozen times for the same few; a file that was replaced has another identity."""
    return PackMeta.from_json(file.read_text(encoding="utf-8"))


def load_pack(folder: Path) -> Pack:
    """The pack at `folder`, mapped into memory; cheap, as no image is read (see `verify_images`).

    Raises DataError when there is none or when its files are not those that were written.
    """
    for _ in range(3):
        before = _identity(folder)
        try:
            pack = _load(folder)
        except DataError:
            if _identity(folder) == before:
                raise
            continue
        if _identity(folder) == before:
            return pack
        # It was replaced between two of its files: read the new one.
    raise DataError(f"The data set at {folder} keeps changing. Try again in a moment.")


def _load(folder: Path) -> Pack:
    meta = read_meta(folder)
    if meta is None:
        raise DataError(f"There is no data set at {folder}. Add it first.")
    try:
        for name, checksum in read_checksums(folder).items():
            if name != _IMAGES and file_digest(folder / name) != checksum:
                raise ValueError(f"{name} has another checksum")
        mapped = np.load(folder / _IMAGES, mmap_mode="r")
        images = mapped.view(np.ndarray)  # np.memmap costs microseconds at each slice
        labels = np.load(folder / "labels.npy").astype(np.int64)
        split = np.load(folder / "split.npy").astype(np.uint8)
        names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
        shape = (len(labels), meta.image_size, meta.image_size, meta.channels)
        if images.dtype != np.uint8 or images.shape != shape:
            raise ValueError(f"images are {images.dtype} {images.shape}, not uint8 {shape}")
        if not len(split) == len(names) == len(labels):
            raise ValueError("there are not as many labels as images")
        lowest = np.where(split == EXCLUDED, NO_CLASS, 0)
        if not ((labels >= lowest) & (labels < len(meta.class_names))).all():
            raise ValueError("a label has no class")
        groups = _load_column(folder / "groups.npy", np.int64, (len(labels),))
        sizes = _load_column(folder / "sizes.npy", np.int32, (len(labels), 2))
    except BROKEN as error:
        raise _damaged(folder, error) from error
    labels.flags.writeable = False
    split.flags.writeable = False
    return Pack(meta, images, labels, split, names, folder, groups, sizes)


def _load_column(
    file: Path, kind: type[_Number], shape: tuple[int, ...]
) -> NDArray[_Number] | None:
    """Of `shape` (N, ...); None for a pack that has no such column."""
    try:
        column = np.asarray(np.load(file), dtype=kind)
    except FileNotFoundError:
        return None
    if column.shape != shape:
        raise ValueError(f"{file.name} is {column.shape} and not {shape}, an entry for each image")
    column.flags.writeable = False
    return column


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, which change when it is replaced."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _damaged(folder: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(
        f"The data set {folder.name!r} on disk is damaged ({reason}). Remove it and add it again."
    )


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """The start of a .npy file, always equally long, so that N can be filled in at the end."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    text_bytes = _HEADER_BYTES - npy.MAGIC_LEN - 2 - 1
    if len(text) > text_bytes:
        raise ValueError(f"shape {shape} does not fit the header")
    return (
        npy.magic(1, 0)
        + (text_bytes + 1).to_bytes(2, "little")
        + text.ljust(text_bytes).encode()
        + b"\n"
    )


def split_class_counts(
    class_names: Sequence[str], labels: NDArray[np.int64], split: NDArray[np.uint8]
) -> dict[str, dict[str, int]]:
    """Returns split -> class name -> images; excluded images count nowhere."""
    counts = Counter(zip(split.tolist(), labels.tolist(), strict=True))
    return {
        name: {class_name: counts[code, label] for label, class_name in enumerate(class_names)}
        for code, name in enumerate(SPLITS)
    }
