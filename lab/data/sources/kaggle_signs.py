"""Sign-Language MNIST as Kaggle has it: sign_mnist_train.csv and sign_mnist_test.csv.

    label,pixel1,pixel2,...,pixel784        28 x 28 grey pixels, 0..255, row by row
    3,107,118,127,...                       label 0..24 without 9: A..Y without J

J and Z are movements, so 9 and 25 do not occur; the 24 letters become classes 0..23 and keep their
names. A row that is wrong is left out and named; the others load.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from lab.data.decode import Fit, UnreadableFile
from lab.data.pack import SPLITS, Rejections
from lab.data.sources.archive import READ_ERRORS, Archive
from lab.data.sources.source import ClassRule, Question, SourceImage
from lab.progress import Cancel, check_cancel

SIDE = 28
PIXELS = SIDE * SIDE
LETTERS: tuple[str, ...] = tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
_MAX_CSV_BYTES = 2_000_000_000
_MAX_LINE_BYTES = 100_000
_VALUES = {str(value).encode(): value for value in range(256)}
"""Turns the text of a pixel into its number several times faster than int(), and checks it too."""
_BLOCK = 256


@dataclass(frozen=True)
class Columns:
    """The positions of label and pixels in a row; `plain` when they are in the usual order."""

    count: int
    label: int
    pixels: tuple[int, ...]
    plain: bool


@dataclass(frozen=True)
class SignTables:
    """A Source of CSV rows; 28 x 28, one channel."""

    archive: Archive
    tables: tuple[tuple[str, str, Columns], ...]
    """split, file, columns"""
    total: int
    layout: str = "one CSV file for each part, with an image in each row"
    class_names: tuple[str, ...] = LETTERS
    channels: int = 1
    fixed_size: int | None = SIDE
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """Rows in the order of the files; `image_size` is always 28 here."""
        for split, table, columns in self.tables:
            file_name = PurePosixPath(table).name
            with self.archive.open(table) as file:
                lines = _lines(file, table, rejections)
                next(lines, None)  # the header
                number = 0
                while block := list(islice(lines, _BLOCK)):
                    check_cancel(cancel, "Reading the images")
                    for row in parse_block(block, columns) or _one_by_one(block, columns):
                        number += 1
                        where = f"{file_name} row {number}"
                        if isinstance(row, RowError):
                            rejections.add(where, str(row))
                            yield None
                        elif row is not None:
                            yield _image(split, *row, where)


def _image(split: str, label: int, row: bytes, where: str) -> SourceImage:
    pixels = np.frombuffer(row, dtype=np.uint8).reshape(SIDE, SIDE, 1)
    digest = hashlib.blake2b(row, digest_size=16).digest()
    return SourceImage(pixels, split, label, where, digest, (SIDE, SIDE))


class RowError(ValueError):
    """What is wrong with one row, as the end of a sentence that begins with the row's name."""


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> SignTables | None:
    """A Source when there are CSV files with a label and 784 pixel columns; else None."""
    tables: list[tuple[str, str, Columns]] = []
    total = 0
    for split, table in _split_files(archive).items():
        if archive.sizes[table] > _MAX_CSV_BYTES:
            rejections.add(table, f"is larger than {_MAX_CSV_BYTES / 1e9:.0f} GB, the most allowed")
            continue
        try:
            with archive.open(table) as file:
                columns = parse_header(file.readline(_MAX_LINE_BYTES))
                total += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        except RowError as error:
            # A CSV of something else is no mistake when any layout will do.
            if classes.names is not None:
                rejections.add(table, str(error))
        except UnreadableFile as error:
            rejections.add(table, error.reason)
        except READ_ERRORS as error:
            rejections.add(table, f"is damaged and cannot be read ({error})")
        else:
            tables.append((split, table, columns))
    return SignTables(archive, tuple(tables), total + len(tables)) if tables else None


def _split_files(archive: Archive) -> dict[str, str]:
    """split -> CSV file. Kaggle's zip holds each file twice; the one less deep counts."""
    files: dict[str, str] = {}
    for file in sorted(archive.files, key=lambda file: file.count("/")):
        name = PurePosixPath(file).name.casefold()
        if not name.endswith(".csv"):
            continue
        for split in SPLITS:
            if split in name:
                files.setdefault(split, file)
                break
    return {split: files[split] for split in SPLITS if split in files}


def parse_header(line: bytes) -> Columns:
    """Raises RowError when label or pixel columns are missing."""
    text = line.decode("utf-8-sig", "replace").strip()
    names = [name.strip().strip("\"'").casefold() for name in text.split(",")]
    where = {name: i for i, name in enumerate(names)}
    expected = ["label", *(f"pixel{i}" for i in range(1, PIXELS + 1))]
    missing = [name for name in expected if name not in where]
    if missing:
        first = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
        raise RowError(
            f"lacks columns: {first}; its first line must be label,pixel1,pixel2,...,pixel784"
        )
    pixels = tuple(where[name] for name in expected[1:])
    plain = names == expected
    return Columns(len(names), where["label"], pixels, plain)


def parse_block(lines: list[bytes], columns: Columns) -> list[tuple[int, bytes]] | None:
    """Rows in Kaggle's own spelling, all at once: each as `parse_row` would give it, in a third of
    the time. None as soon as anything is unusual; then `parse_row` finds out what.
    """
    if not columns.plain:
        return None
    text = np.frombuffer(b"".join(lines).replace(b"\r\n", b"\n"), dtype=np.uint8)
    ends = np.flatnonzero(text < ord("0"))
    if len(ends) != len(lines) * columns.count or text.max() > ord("9"):
        return None
    marks = text[ends].reshape(len(lines), columns.count)
    digits = np.diff(ends, prepend=-1) - 1
    if (
        (marks[:, :-1] != ord(",")).any()
        or (marks[:, -1] != ord("\n")).any()
        or not 1 <= digits.min() <= digits.max() <= 3
    ):
        return None
    values = text[ends - 1].astype(np.int16) - ord("0")
    for place, worth in ((2, 10), (3, 100)):
        values += np.where(digits >= place, (text[ends - place] - ord("0")) * np.int16(worth), 0)
    table = values.reshape(marks.shape)
    labels, pixels = table[:, 0], table[:, 1:]
    if pixels.max() > 255 or labels.max() > 24 or (labels == 9).any():
        return None
    rows = pixels.astype(np.uint8)
    return [
        (label, row.tobytes())
        for label, row in zip((labels - (labels > 9)).tolist(), rows, strict=True)
    ]


def _one_by_one(
    lines: list[bytes], columns: Columns
) -> Iterator[tuple[int, bytes] | RowError | None]:
    """The rows, the errors of the bad ones, None for empty lines."""
    for line in lines:
        try:
            yield parse_row(line, columns) if line.strip() else None
        except RowError as error:
            yield error


def parse_row(line: bytes, columns: Columns) -> tuple[int, bytes]:
    """(label 0..23, 784 bytes of pixels); raises RowError with what is wrong."""
    fields = line.rstrip(b"\r\n").split(b",")
    if len(fields) != columns.count:
        extra = columns.count - PIXELS
        raise RowError(f"has {max(0, len(fields) - extra)} pixels instead of {PIXELS}")
    label = _label(fields[columns.label])
    values = fields[1:] if columns.plain else [fields[i] for i in columns.pixels]
    try:
        return label, bytes(map(_VALUES.__getitem__, values))
    except KeyError:
        return label, bytes(_pixel(value, i) for i, value in enumerate(values, 1))


def _label(field: bytes) -> int:
    text = _text(field)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number not in range(25) or number == 9:
        letter = {"9": " (J is a movement)", "25": " (Z is a movement)"}.get(text, "")
        raise RowError(f"has the label {text!r}{letter}; allowed are 0 to 24 without 9")
    return int(number) - (number > 9)


def _pixel(field: bytes, position: int) -> int:
    """The slow way, for `" 12"`, `"12"` and `12.0`."""
    text = _text(field)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number <= 255 and number == int(number)):
        raise RowError(f"has {text!r} as pixel{position}; allowed are whole numbers from 0 to 255")
    return int(number)


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace").strip().strip("\"'").strip()[:40]


def _lines(file: BinaryIO, table: str, rejections: Rejections) -> Iterator[bytes]:
    """Lines of bounded length; a file that breaks off in the middle gives the lines before that."""
    buffered = io.BufferedReader(file, 1 << 20)  # type: ignore[type-var]
    number = 0
    try:
        while line := buffered.readline(_MAX_LINE_BYTES):
            yield line
            number += 1
    except READ_ERRORS as error:
        rejections.add(table, f"is damaged and breaks off after row {max(0, number - 1)} ({error})")
    finally:
        buffered.detach()
