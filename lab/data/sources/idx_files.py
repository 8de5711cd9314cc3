"""IDX files, as MNIST and its kin come: a file of pictures and one of labels for each part.

    train-images-idx3-ubyte.gz    train-labels-idx1-ubyte.gz
    t10k-images-idx3-ubyte.gz     t10k-labels-idx1-ubyte.gz

The format (yann.lecun.com/exdb/mnist): two zero bytes, the type (8: bytes, 12: int32), the number
of dimensions, each dimension as a big-endian int32, the values. EMNIST's pictures lie on their side
and are turned. Where the files of several sets lie together (EMNIST's six), a question says which.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.data.decode import Fit, to_square
from lab.data.pack import SPLITS, Rejections
from lab.data.sources.archive import READ_ERRORS, Archive
from lab.data.sources.class_lists import names_for_numbers
from lab.data.sources.source import ClassRule, Question, SourceImage
from lab.data.sources.split_words import split_of
from lab.progress import Cancel, check_cancel

_NAME = re.compile(r"(?P<before>.*?)(?P<what>images?|labels?)(?P<behind>.*)", re.IGNORECASE)
_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}
_DAMAGE = (*READ_ERRORS, EOFError, ValueError, struct.error)
_LARGEST = 512
_MOST_LABELS = 50_000_000


@dataclass(frozen=True)
class _Part:
    file: str
    split: str
    shape: tuple[int, ...]
    """(n, H, W) or (n, H, W, C)."""
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class IdxFiles:
    """A Source of IDX files."""

    archive: Archive
    parts: tuple[_Part, ...]
    class_names: tuple[str, ...]
    channels: int
    fixed_size: int | None
    sideways: bool
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str = "IDX files of pictures and labels, as MNIST comes"

    @property
    def total(self) -> int:
        return sum(part.shape[0] for part in self.parts)

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """Pictures in the order of the files."""
        for part in self.parts:
            height, width = part.shape[1:3]
            length = height * width * self.channels
            try:
                with _opened(self.archive, part.file) as file:
                    _header(file)
                    for number, label in enumerate(part.labels.tolist(), 1):
                        if number % 1000 == 0:
                            check_cancel(cancel, "Reading the images")
                        data = file.read(length)
                        pixels = np.frombuffer(data, np.uint8).reshape(height, width, -1)
                        if self.sideways:
                            pixels = pixels.transpose(1, 0, 2)
                        name = f"{PurePosixPath(part.file).name} picture {number}"
                        digest = hashlib.blake2b(data, digest_size=16).digest()
                        if pixels.shape[:2] != (image_size, image_size):
                            pixels = _squared(pixels, image_size, fit)
                        yield SourceImage(pixels, part.split, label, name, digest, (width, height))
            except _DAMAGE as error:
                rejections.add(part.file, f"is damaged and cannot be read further ({error})")
                yield None


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> IdxFiles | None:
    """A Source when there are IDX files of pictures with their labels; else None."""
    sets: dict[str, dict[str, dict[str, str]]] = {}  # which set -> part -> images or labels -> file
    for file in archive.files:
        name = PurePosixPath(file).name
        match = _NAME.fullmatch(name)
        if "idx" not in name.casefold() or match is None or classes.names is not None:
            continue
        split = "test" if "t10k" in name.casefold() else split_of(match["before"]) or "train"
        what = match["what"].casefold().rstrip("s")
        which = re.sub(r"(?i)t10k|train(ing)?|test|val(id|idation)?", "", match["before"])
        files = sets.setdefault(which.strip("-_. ") or "", {}).setdefault(split, {})
        files.setdefault(what, file)  # Kaggle's zip holds each twice; the first counts
    whole = {
        which: parts for which, parts in sets.items() if any(len(p) == 2 for p in parts.values())
    }
    if not whole:
        return None
    questions = []
    chosen = next(iter(whole))
    if len(whole) > 1:
        question = Question(
            "set",
            "Which set?",
            tuple((name or "mnist", name or "mnist") for name in whole),
            chosen or "mnist",
            "The files of several sets lie together.",
        )
        questions.append(question)
        answer = question.answer(answers)
        chosen = next(name for name in whole if (name or "mnist") == answer)
    parts = []
    for split in SPLITS:
        files = whole[chosen].get(split, {})
        if len(files) == 1:
            rejections.add(
                next(iter(files.values())), "has no file of labels or of pictures beside it"
            )
        elif files and (part := _part(archive, split, files, rejections)) is not None:
            parts.append(part)
    if not parts:
        return None
    shapes = {part.shape[1:] for part in parts}
    height, width, channels = (*parts[0].shape[1:], 1)[:3]
    if len(shapes) > 1 or channels not in (1, 3):
        rejections.add(parts[0].file, f"has pictures of {sorted(shapes)}; one size is needed")
        return None
    numbers = sorted({int(label) for part in parts for label in np.unique(part.labels)})
    used = [file for files in whole[chosen].values() for file in files.values()]
    names, file = names_for_numbers(archive, [str(n) for n in numbers], used, answers)
    notes = [f"The classes have their names from {file}."] if file else []
    sideways = "emnist" in parts[0].file.casefold()
    if sideways:
        notes.append("EMNIST's pictures lie on their side and are turned upright.")
    place = np.full(max(numbers) + 1, -1, dtype=np.int64)
    place[numbers] = np.arange(len(numbers))
    return IdxFiles(
        archive,
        tuple(_Part(p.file, p.split, p.shape, place[p.labels]) for p in parts),
        tuple(names.get(str(n), str(n)) for n in numbers),
        channels,
        height if height == width <= _LARGEST else None,
        sideways,
        tuple(questions),
        tuple(notes),
    )


def _part(
    archive: Archive, split: str, files: Mapping[str, str], rejections: Rejections
) -> _Part | None:
    """The pictures and labels of one part; None, with the reason, when they do not fit."""
    try:
        with _opened(archive, files["image"]) as file:
            kind, shape = _header(file)
        with _opened(archive, files["label"]) as file:
            label_kind, label_shape = _header(file)
            count = label_shape[0]
            if count > _MOST_LABELS:
                raise ValueError(f"{count:,} labels are too many")
            each = math.prod(label_shape[1:])  # QMNIST has eight numbers a picture
            if not 1 <= each <= 64:
                raise ValueError(f"{each:,} numbers a label are none")
            size = label_kind.itemsize * count * each
            labels = np.frombuffer(file.read(size), label_kind).reshape(count, each)[:, 0]
    except _DAMAGE as error:
        rejections.add(files["image"], f"or its labels are damaged and cannot be read ({error})")
        return None
    if kind.itemsize != 1 or len(shape) not in (3, 4) or not all(shape):
        rejections.add(files["image"], f"holds values of shape {shape}, which are no pictures")
    elif count != shape[0]:
        reason = f"has {shape[0]:,} pictures and {files['label']} has {count:,} labels"
        rejections.add(files["image"], f"{reason}: the two do not belong together")
    elif labels.min() < 0 or labels.max() >= 1000:
        rejections.add(files["label"], "has labels that are not 0 to 999")
    else:
        return _Part(files["image"], split, shape, labels.astype(np.int64))
    return None


@contextlib.contextmanager
def _opened(archive: Archive, file: str) -> Iterator[BinaryIO]:
    with archive.open(file) as stream:
        if file.casefold().endswith(".gz"):
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield stream


def _header(file: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and dimensions; the file then stands at its first value."""
    zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
    if zeros or kind not in _TYPES or not 1 <= dimensions <= 4:
        raise ValueError("it does not begin as an IDX file of bytes does")
    return _TYPES[kind], struct.unpack(f">{dimensions}I", file.read(4 * dimensions))


def _squared(pixels: NDArray[np.uint8], side: int, fit: Fit) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(to_square(image, image_size=side, fit=fit)).reshape(side, side, -1)
