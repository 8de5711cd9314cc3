"""Tables of pixels, a row an image: Sign-Language MNIST, Fashion-MNIST and their kin.

    label,pixel1,pixel2,...,pixel784        28 x 28 grey pixels, 0..255, row by row
    3,107,118,127,...

Any square size, grey or in three colours; the label first or last or anywhere under its name; with
or without a first line of names; commas, semicolons or tabs; gzip and UTF-16. Classes are called as
the table calls them. Only a set of signs with Sign-MNIST's labels (0..24 without 9, for J and Z are
movements) gets its letters. A row that is wrong is left out and named; the others load.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from lab.data.decode import SUFFIXES, Fit, UnreadableFile
from lab.data.pack import SPLITS, Rejections
from lab.data.sources.archive import READ_ERRORS, Archive
from lab.data.sources.code_pages import TABLE_PAGES, readings, utf_of
from lab.data.sources.source import ClassRule, Question, SourceImage, own_classes
from lab.data.sources.split_words import split_of, words
from lab.data.sources.table_headers import (
    FILE_HEADERS,
    LABEL_HEADERS,
    MAX_LABEL,
    SPLIT_HEADERS,
    columns_called,
    header_key,
    is_blank,
    label_text,
)
from lab.progress import Cancel, check_cancel

LETTERS: tuple[str, ...] = tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
LETTER_LABELS: tuple[int, ...] = tuple(label for label in range(25) if label != 9)
SMALLEST, LARGEST = 8, 512
_FEWEST_PIXELS = 16
"""Numbered columns from which on a table is one of pixels; with fewer it is a table of facts."""
_MAX_TABLE_BYTES = 4_000_000_000
_MAX_LINE_BYTES = 4_000_000
_SAMPLE_ROWS = 200
_VALUES = {str(value).encode(): value for value in range(256)}
"""Turns the text of a pixel into its number several times faster than int(), and checks it too."""
_BLOCK = 256
_SEPARATORS = (b",", b";", b"\t", b"|", b" ")
_SUFFIXES = (".csv", ".tsv", ".txt", ".data")


@dataclass(frozen=True)
class Columns:
    """Where label and pixels stand in a row, and what picture the pixels are.

    `pixels` are positions in the picture's order; or `packed` is the one column that holds them all
    with spaces between. `label` None: the table has no labels. `plain`: every column is a pixel in
    order but the label, which is first or last. `planes`: red, green and blue one after another
    instead of in turn.
    """

    count: int
    label: int | None
    pixels: tuple[int, ...]
    side: int
    channels: int = 1
    packed: int | None = None
    split: int | None = None
    separator: bytes = b","
    header: bool = True
    planes: bool = False
    plain: bool = False
    nameless: bool = False
    """Whether no name tells which column is the label."""
    page: str = "utf-8"
    """The code page of the labels."""

    @property
    def pixel_count(self) -> int:
        return self.side * self.side * self.channels

    @property
    def shape(self) -> tuple[int, int]:
        return self.side, self.channels

    @property
    def shape_text(self) -> str:
        """Such as "28 x 28" or "32 x 32 in colour"."""
        return f"{self.side} x {self.side}" + (" in colour" if self.channels == 3 else "")


@dataclass(frozen=True)
class Table:
    """One file of rows, all of one split unless a column tells it."""

    split: str
    file: str
    columns: Columns
    rows: int = 0


@dataclass(frozen=True)
class Labels:
    """From the text of a label cell to the class; `numbers` is the same for small whole numbers."""

    by_text: Mapping[str, int]
    allowed: str = ""
    numbers: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = np.full(1000, -1, dtype=np.int64)
        for text, label in self.by_text.items():
            if re.fullmatch(r"0|[1-9][0-9]{0,2}", text):
                numbers[int(text)] = label
        object.__setattr__(self, "numbers", numbers)

    def label(self, text: str) -> int:
        """Raises RowError when it is none of the classes."""
        label = self.by_text.get(label_text(text))
        if label is not None:
            return label
        if is_blank(text) and not self.allowed:
            raise RowError("has no label")
        text = text[:40]
        letter = {"9": " (J is a movement)", "25": " (Z is a movement)"}.get(text, "")
        raise RowError(f"has the label {text!r}{letter if self.allowed else ''}{self.allowed}")


def letter_labels() -> Labels:
    """Sign-MNIST's: 0..24 without 9."""
    by_text = {str(number): label for label, number in enumerate(LETTER_LABELS)}
    return Labels(by_text, "; allowed are 0 to 24 without 9")


@dataclass(frozen=True)
class PixelTables:
    """A Source of rows of pixels, all of one square size."""

    archive: Archive
    tables: tuple[Table, ...]
    labels: Labels
    class_names: tuple[str, ...]
    channels: int
    fixed_size: int | None
    layout: str
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(table.rows for table in self.tables)

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """Rows in the order of the files; `image_size` is always the pictures' own here."""
        for table in self.tables:
            file_name = PurePosixPath(table.file).name
            columns = table.columns
            with _opened(self.archive, table.file) as file:
                lines = _lines(file, table.file, rejections)
                if columns.header:
                    next(lines, None)
                number = 0
                while block := list(islice(lines, _BLOCK)):
                    check_cancel(cancel, "Reading the images")
                    for row in parse_block(block, columns, self.labels) or _one_by_one(
                        block, columns, self.labels
                    ):
                        number += 1
                        where = f"{file_name} row {number}"
                        if isinstance(row, RowError):
                            rejections.add(where, str(row))
                            yield None
                        elif row is not None:
                            split = table.split if len(row) == 2 else row[2] or table.split
                            yield _image(split, row[0], row[1], where, columns)


def _image(split: str, label: int, row: bytes, where: str, columns: Columns) -> SourceImage:
    values = np.frombuffer(row, dtype=np.uint8)
    side, channels = columns.shape
    if columns.planes:
        pixels = values.reshape(channels, side, side).transpose(1, 2, 0)
    else:
        pixels = values.reshape(side, side, channels)
    digest = hashlib.blake2b(row, digest_size=16).digest()
    return SourceImage(pixels, split, label, where, digest, (side, side))


class RowError(ValueError):
    """What is wrong with a row or table, as the end of a sentence that begins with its name."""


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> PixelTables | None:
    """A Source when there are tables with a label and the pixels of square pictures; else None."""
    registered = classes.names is not None
    own = Rejections()  # passed on if the tables are of pixels, or if nothing else may be read
    questions: list[Question] = []
    notes: list[str] = []
    tables: list[Table] = []
    for file, split in _candidates(archive):
        try:
            columns, sample = _look(archive, file)
            if columns is None:
                if registered:
                    own.add(file, f"has no columns of pixels; {_EXPECTED}")
                continue
            if columns.label is None:
                own.add(
                    file,
                    f"has {columns.shape_text} pixels and no column of labels, so nobody knows "
                    "its classes; it is left out",
                )
                continue
            columns = _decide(columns, sample, file, answers, questions)
            if note := _darkness(columns, sample, file):
                notes.append(note)
        except RowError as error:
            own.add(file, str(error))
        except UnreadableFile as error:
            own.add(file, error.reason)
        except READ_ERRORS as error:
            own.add(file, f"is damaged and cannot be read ({error})")
        else:
            tables.append(Table(split or "", file, columns))
    tables = _of_one_kind(tables, own, registered)
    texts: Counter[tuple[str, str]] = Counter()
    counted: list[Table] = []
    for table in tables:
        found = _count_labels(archive, table)
        page = _page_of(value for _, value in found)
        for (split, value), rows in found.items():
            texts[split, label_text(_text(value, page))] += rows
        columns = replace(table.columns, page=page)
        counted.append(replace(table, columns=columns, rows=sum(found.values())))
    rows = sum(table.rows for table in counted)
    pictures = sum(PurePosixPath(file).suffix.casefold() in SUFFIXES for file in archive.files)
    if counted and pictures >= max(20, rows):  # HAM10000 has both of every picture
        own.add(
            counted[0].file,
            f"is a table of {rows:,} rows of pixels beside {pictures:,} pictures and is not used; "
            "give the folder of the tables alone to read it",
        )
        counted = []
    if own.listed:
        rejections.extend(own)
    if not counted:
        return None
    for table in counted:
        if not table.rows:
            rejections.add(table.file, "has a first line and no row below it")
    columns = counted[0].columns
    files = [table.file for table in counted]
    labels, names, lettered = _classes(archive, classes, texts, columns, files)
    if lettered:
        notes.append(
            "The labels 0 to 24 without 9 are Sign-MNIST's, so the classes are called by their "
            "letters A to Y."
        )
    colour = " colour" if columns.channels == 3 else ""
    layout = (
        "a table with an image in each row"
        if len(counted) == 1
        else "one table for each part, with an image in each row"
    ) + f" ({columns.side} x {columns.side}{colour} pixels)"
    return PixelTables(
        archive,
        tuple(counted),
        labels,
        names,
        columns.channels,
        columns.side,
        layout,
        tuple(questions),
        tuple(dict.fromkeys(notes)),
    )


_EXPECTED = "its first line must be label,pixel1,pixel2,...,pixel784"


def _candidates(archive: Archive) -> list[tuple[str, str | None]]:
    """(file, split by its name) of the tables. Kaggle's zip holds each twice; the outer counts."""
    files: dict[tuple[str, int], str] = {}
    for file in sorted(archive.files, key=lambda file: file.count("/")):
        name = PurePosixPath(file).name.casefold().removesuffix(".gz")
        if name.endswith(_SUFFIXES):
            files.setdefault((name, archive.sizes[file]), file)
    tables = []
    for file in files.values():
        split = split_of(PurePosixPath(file).name.partition(".")[0]) or split_of(
            PurePosixPath(file).parent.name
        )
        tables.append((file, split))
    order = {split: i for i, split in enumerate(SPLITS)}
    return sorted(tables, key=lambda table: order.get(table[1] or "", 0))


def _of_one_kind(tables: list[Table], rejections: Rejections, registered: bool) -> list[Table]:
    """The tables of one size of picture, each with its split."""
    if registered:
        kept = []
        for table in tables:
            if table.columns.shape == (28, 1):
                kept.append(table)
            else:
                rejections.add(
                    table.file,
                    f"has {table.columns.pixel_count:,} pixel columns ({table.columns.shape_text});"
                    " this data set has 784 (28 x 28). Add it under a name of your own",
                )
        tables = kept
    sizes = Counter(table.columns.shape for table in tables)
    if len(sizes) > 1:
        # The size that a training table has.
        first = next((table for table in tables if table.split == "train"), tables[0])
        for table in tables:
            if table.columns.shape != first.columns.shape:
                rejections.add(
                    table.file,
                    f"has pictures of {table.columns.shape_text} and is left out; "
                    f"{first.file} has {first.columns.shape_text}",
                )
        tables = [table for table in tables if table.columns.shape == first.columns.shape]
    if any(table.split == "train" for table in tables):
        for table in tables:
            if not table.split and table.columns.split is None:
                rejections.add(
                    table.file,
                    "lies beside tables for training and test, and its name says neither; it is "
                    "left out. Rename it (train2.csv) if it belongs here",
                )
        tables = [table for table in tables if table.split or table.columns.split is not None]
    return [replace(table, split=table.split or "train") for table in tables]


# --- which column is what -----------------------------------------------------------------------


def _look(archive: Archive, file: str) -> tuple[Columns | None, list[bytes]]:
    """The columns of a table and its first rows; None when it is no table of pixels.

    Raises RowError when it is one and cannot be read.
    """
    if archive.sizes[file] > _MAX_TABLE_BYTES:
        raise RowError(f"is larger than {_MAX_TABLE_BYTES / 1e9:.0f} GB, the most allowed")
    with _opened(archive, file) as stream:
        lines = _lines(stream, file, Rejections())
        first = next(lines, b"")
        sample = [line for line in islice(lines, _SAMPLE_ROWS) if line.strip()]
    if not first.strip():
        return None, []
    columns = parse_header(first, sample)
    if columns is None:
        return None, []
    if not columns.header:
        sample = [first, *sample]
    _check_values(columns, sample)
    return columns, sample


def parse_header(line: bytes, sample: list[bytes]) -> Columns | None:
    """What the first line says of the columns; None when the table is none of pixels.

    Raises RowError when the pixels are no square picture. Without names (or with numbers for
    names) the sample has to tell which column is the label.
    """
    separator = max(_SEPARATORS, key=line.count)
    names = [_text(name) for name in _fields(line, separator)]
    numbers = [name for name in names if _is_number(name)]
    counting = _counts_up(numbers)
    if len(numbers) >= _FEWEST_PIXELS and len(names) - len(numbers) <= 1 and not counting:
        return _without_names(names, separator, header=False)
    if counting and len(numbers) == len(names):
        return _without_names(names, separator, header=True)
    return _with_names(names, separator, sample)


def _without_names(names: list[str], separator: bytes, *, header: bool) -> Columns | None:
    """Label first until the values tell otherwise."""
    count = len(names)
    labelled, bare = _square(count - 1), _square(count)
    if labelled is None and bare is None:
        if count < 65:
            return None  # a small table of numbers, such as measurements
        raise RowError(
            f"has {count:,} numbers in a row: neither these nor one less (a label and pixels) are "
            f"the pixels of a square picture, {_near(count - 1)}"
        )
    side, channels = labelled or bare or (0, 0)
    label = None if labelled is None else 0
    pixels = tuple(range(0 if label is None else 1, count))
    return Columns(
        count,
        label,
        pixels,
        side,
        channels,
        separator=separator,
        header=header,
        plain=label is not None,
        nameless=label is not None,
    )


def _with_names(names: list[str], separator: bytes, sample: list[bytes]) -> Columns | None:
    label = next(iter(columns_called(names, LABEL_HEADERS)), None)
    split = next((i for i in columns_called(names, SPLIT_HEADERS) if i != label), None)
    packed = _packed_column(names, separator, sample)
    if packed is not None:
        column, count = packed
        if (shape := _square(count)) is None:
            raise RowError(f"has {count:,} pixels in a row: no square picture, {_near(count)}")
        return Columns(
            len(names), label, (), *shape, packed=column, split=split, separator=separator
        )
    stems: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if i not in (label, split) and re.search(r"\d", name):
            stems.setdefault(re.sub(r"\d+", "#", name.casefold()), []).append(i)
    if not stems:
        return None
    largest = max(stems.values(), key=len)
    if len(largest) < _FEWEST_PIXELS:
        return None
    ordered = sorted(largest, key=lambda i: tuple(map(_small_int, re.findall(r"\d+", names[i]))))
    used = {label, split, *largest}
    others = [i for i in range(len(names)) if i not in used]
    if label is None and len(others) == 1 and not _is_index(names[others[0]]):
        label, others = others[0], []
    if len(others) > 8:
        raise RowError(
            f"has {len(largest):,} columns like {names[ordered[0]]} and {len(others):,} others "
            f"({names[others[0]]}, ...); expected are a label and the pixels of one picture"
        )
    if (shape := _square(len(ordered))) is None:
        raise RowError(
            f"has {len(ordered):,} pixel columns ({names[ordered[0]]} to {names[ordered[-1]]})"
            f"{_gap([names[i] for i in ordered])}: no square picture, {_near(len(ordered))}"
        )
    count = len(names)
    plain = (label == 0 and ordered == list(range(1, count))) or (
        label == count - 1 and ordered == list(range(count - 1))
    )
    return Columns(
        count, label, tuple(ordered), *shape, split=split, separator=separator, plain=plain
    )


def _is_index(name: str) -> bool:
    """Whether a column numbers or names the rows: no class."""
    return header_key(name) in {"", "index", "unnamed0", "row", "no", *FILE_HEADERS}


def _packed_column(
    names: list[str], separator: bytes, sample: list[bytes]
) -> tuple[int, int] | None:
    """(position, pixels) of a column that holds all pixels of a picture, as in FER2013."""
    if separator == b" " or not sample:
        return None
    fields = _fields(sample[0], separator)
    for i, value in enumerate(fields[: len(names)]):
        numbers = value.strip(b" \"'[]\r\n").split()
        if len(numbers) >= SMALLEST * SMALLEST and all(number in _VALUES for number in numbers):
            return i, len(numbers)
    return None


def _square(count: int) -> tuple[int, int] | None:
    """(side, channels) of a square picture with this many values."""
    for channels in (1, 3):
        side = math.isqrt(max(0, count) // channels)
        if side * side * channels == count and SMALLEST <= side <= LARGEST:
            return side, channels
    return None


def _near(count: int) -> str:
    side = round(math.sqrt(count))
    return f"such as {side} x {side} = {side * side:,} or three times that in colour"


def _gap(names: list[str]) -> str:
    """ " without pixel5" where one of the numbers is missing."""
    numbers = [int(found[0]) for name in names if len(found := re.findall(r"\d{1,9}", name)) == 1]
    if len(numbers) != len(names) or numbers[-1] - numbers[0] > 2 * len(numbers):
        return ""
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    if not missing:
        return ""
    more = f" and {len(missing) - 1:,} more" if missing[1:] else ""
    return f" without {re.sub(r'[0-9]+', str(missing[0]), names[0])}{more}"


def _counts_up(numbers: list[str]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ...: pandas' names for columns without any."""
    if len(numbers) < _FEWEST_PIXELS or not all(n.isascii() and n.isdigit() for n in numbers):
        return False
    first = _small_int(numbers[0])
    return first in (0, 1) and numbers == [str(first + i) for i in range(len(numbers))]


def _check_values(columns: Columns, sample: list[bytes]) -> None:
    """Raises RowError when no row at all is whole numbers from 0 to 255."""
    errors: list[RowError] = []
    for line in sample:
        try:
            _pixels(_fields(line, columns.separator), columns)
            return
        except RowError as error:
            errors.append(error)
    if not errors:
        return
    cells = _pixel_cells(_fields(sample[0], columns.separator), columns)
    numbers = [float(text) for cell in cells if _is_number(text := _text(cell))]
    if len(numbers) == len(cells) and numbers and max(map(abs, numbers)) <= 1:
        example = next((_text(cell) for cell in cells if b"." in cell), "0.5")
        raise RowError(
            f"has pixels that are fractions (such as {example}); multiply them by 255 and save "
            "them as whole numbers from 0 to 255"
        )
    raise RowError(f"cannot be read: its first row {errors[0]}")


def _decide(
    columns: Columns,
    sample: list[bytes],
    file: str,
    answers: Mapping[str, str],
    questions: list[Question],
) -> Columns:
    """What only the values can tell: a label without a name, the order of the colours."""
    rows = [
        fields
        for line in sample
        if len(fields := _fields(line, columns.separator)) == columns.count
    ]
    if columns.nameless and rows:
        first, last = (_like_labels([_text(row[i]) for row in rows]) for i in (0, -1))
        label = 0 if first >= last else columns.count - 1
        if first and last and abs(first - last) < 0.5:
            asked = Question(
                f"label-column:{file}",
                f"Which column of {file} is the class?",
                (
                    ("first", f"the first: {_values(rows, 0)}"),
                    ("last", f"the last: {_values(rows, -1)}"),
                ),
                "first" if label == 0 else "last",
                "The columns have no names, and both could be.",
            )
            questions.append(asked)
            label = 0 if asked.answer(answers) == "first" else columns.count - 1
        if label:
            columns = replace(columns, label=label, pixels=tuple(range(columns.count - 1)))
    if columns.channels == 3:
        pictures = []
        for fields in rows[:50]:
            try:
                pictures.append(np.frombuffer(_pixels(fields, columns), dtype=np.uint8))
            except RowError:
                continue
        if pictures:
            columns = _colours(columns, np.stack(pictures), file, answers, questions)
    return columns


def _like_labels(values: list[str]) -> float:
    """How much a column looks like classes: 0 not at all, 3 as much as can be."""
    distinct = set(values)
    if len(distinct) < 2 or len(distinct) > max(2, 0.6 * len(values)):
        return 0.0
    if not all(value.isascii() and value.isdigit() for value in distinct):
        return 3.0  # words
    numbers = sorted(map(_small_int, distinct))
    dense = len(numbers) / (numbers[-1] - min(numbers[0], 1) + 1)
    return 1.0 + dense


def _values(rows: list[list[bytes]], column: int) -> str:
    return ", ".join(list(dict.fromkeys(_text(row[column]) for row in rows))[:6])


def _colours(
    columns: Columns,
    pictures: NDArray[np.uint8],
    file: str,
    answers: Mapping[str, str],
    questions: list[Question],
) -> Columns:
    """Red, green and blue in turn, or one after another: in the true order neighbours are alike."""
    side = columns.side
    values = pictures.astype(np.int16)

    def roughness(planes: NDArray[np.int16]) -> float:
        """(n, 3, side, side) -> mean step from pixel to pixel."""
        return float(sum(np.abs(np.diff(planes, axis=axis)).mean() for axis in (2, 3)))

    in_turn = roughness(values.reshape(-1, side, side, 3).transpose(0, 3, 1, 2))
    one_by_one = roughness(values.reshape(-1, 3, side, side))
    planes = one_by_one < in_turn
    if max(in_turn, one_by_one) < 1.1 * min(in_turn, one_by_one):
        asked = Question(
            f"colours:{file}",
            f"In which order are the colours in {file}?",
            (
                ("in-turn", "red, green, blue of each pixel in turn"),
                ("planes", "all red values, then all green, then all blue"),
            ),
            "planes" if planes else "in-turn",
            "Both orders give about equally smooth pictures.",
        )
        questions.append(asked)
        planes = asked.answer(answers) == "planes"
    return replace(columns, planes=planes)


def _darkness(columns: Columns, sample: list[bytes], file: str) -> str:
    """A sentence when the first pictures use only a few of the 256 values."""
    brightest = 0
    for line in sample:
        try:
            brightest = max(brightest, *_pixels(_fields(line, columns.separator), columns))
        except RowError:
            continue
    if not 0 < brightest < 32:
        return ""
    return (
        f"The brightest pixel in the first rows of {file} is {brightest} of 255, so the pictures "
        f"are nearly black; multiply the pixels by {255 // brightest} to see them."
    )


# --- classes --------------------------------------------------------------------------------------


def _count_labels(archive: Archive, table: Table) -> Counter[tuple[str, bytes]]:
    """(split, label as it stands there) -> rows, by a quick look at the label column alone."""
    columns, separator = table.columns, table.columns.separator
    found: Counter[bytes] = Counter()
    by_split: Counter[tuple[str, bytes]] = Counter()
    with _opened(archive, table.file) as file:
        lines = _lines(file, table.file, Rejections())
        if columns.header:
            next(lines, None)
        if columns.split is None and columns.label == 0:
            found.update(line[: line.find(separator)] for line in lines if line.strip())
        elif columns.split is None and columns.label == columns.count - 1:
            found.update(line[line.rfind(separator) + 1 :] for line in lines if line.strip())
        else:
            for line in lines:
                fields = _fields(line, separator)
                if len(fields) == columns.count:
                    split = _row_split(fields, columns) or table.split
                    by_split[split, fields[columns.label or 0]] += 1
    for value, rows in found.items():
        by_split[table.split, value] += rows
    return by_split


def _page_of(values: Iterable[bytes]) -> str:
    foreign = [value for value in values if not value.isascii()]
    try:
        b"\n".join(foreign).decode("utf-8")
    except UnicodeDecodeError:
        found = readings(foreign, TABLE_PAGES)
        return found[0].code_page if found else "utf-8"
    return "utf-8"


def _classes(
    archive: Archive,
    classes: ClassRule,
    texts: Counter[tuple[str, str]],
    columns: Columns,
    files: list[str],
) -> tuple[Labels, tuple[str, ...], bool]:
    """The labels, the class names, and whether labels became letters."""
    values = {text for _, text in texts if not is_blank(text) and len(text) <= MAX_LABEL}
    if classes.names is not None:
        return letter_labels(), classes.names, False
    if (
        values
        and columns.shape == (28, 1)
        and values <= set(map(str, LETTER_LABELS))
        and _says_signs(archive, classes, files)
    ):
        present = [label for label in LETTER_LABELS if str(label) in values]
        names = tuple(LETTERS[LETTER_LABELS.index(label)] for label in present)
        return Labels({str(label): i for i, label in enumerate(present)}), names, True
    rule = own_classes((split, text) for split, text in texts if text in values)
    by_text = {text: label for text in values if (label := rule.label(text)) is not None}
    return Labels(by_text), rule.names or (), False


def _says_signs(archive: Archive, classes: ClassRule, files: list[str]) -> bool:
    names = [PurePosixPath(archive.display_path).name, *files, classes.title]
    said = {word.casefold() for name in names for word in words(name)}
    return bool(said & {"sign", "signs", "asl", "手話", "수어", "수화", "手语"})


# --- rows -----------------------------------------------------------------------------------------

Row = tuple[int, bytes] | tuple[int, bytes, str]
"""Label and pixels; with the split where a column tells it ("" where its cell does not)."""


def parse_block(
    lines: list[bytes], columns: Columns, labels: Labels
) -> list[tuple[int, bytes]] | None:
    """Rows of plain numbers, all at once: each as `parse_row` would give it, in a third of the
    time. None as soon as anything is unusual; then `parse_row` finds out what.
    """
    if not columns.plain or columns.label is None:
        return None
    joined = b"".join(lines).replace(b"\r\n", b"\n")
    if columns.separator != b",":
        if b"," in joined:
            return None
        joined = joined.replace(columns.separator, b",")
    text = np.frombuffer(joined, dtype=np.uint8)
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
    pixels = table[:, 1:] if columns.label == 0 else table[:, :-1]
    found = labels.numbers[table[:, columns.label]]
    # "007" is no spelling of 7 that the class names know.
    label_digits = digits.reshape(marks.shape)[:, columns.label]
    padded = (label_digits > 1) & (table[:, columns.label] < 10 ** (label_digits - 1))
    if pixels.max() > 255 or found.min() < 0 or padded.any():
        return None
    rows = pixels.astype(np.uint8)
    return [(label, row.tobytes()) for label, row in zip(found.tolist(), rows, strict=True)]


def _one_by_one(
    lines: list[bytes], columns: Columns, labels: Labels
) -> Iterator[Row | RowError | None]:
    """The rows, the errors of the bad ones, None for empty lines."""
    for line in lines:
        try:
            yield parse_row(line, columns, labels) if line.strip() else None
        except RowError as error:
            yield error


def parse_row(line: bytes, columns: Columns, labels: Labels) -> Row:
    """Label, pixels and where a column tells it the split; raises RowError with what is wrong."""
    fields = _fields(line, columns.separator)
    pixels = _pixels(fields, columns)
    label = labels.label(_text(fields[columns.label or 0], columns.page))
    if columns.split is None:
        return label, pixels
    return label, pixels, _row_split(fields, columns)


def _row_split(fields: list[bytes], columns: Columns) -> str:
    text = _text(fields[columns.split or 0])
    if header_key(text) in ("publictest", "privatetest"):  # FER2013
        return "val" if header_key(text) == "publictest" else "test"
    return split_of(text) or ""


def _pixel_cells(fields: list[bytes], columns: Columns) -> list[bytes]:
    if columns.packed is not None:
        if len(fields) < columns.count:
            raise RowError(f"has {len(fields)} of {columns.count} columns")
        return fields[columns.packed].strip(b" \"'[]\r\n").split()
    if len(fields) != columns.count:
        extra = columns.count - columns.pixel_count
        raise RowError(
            f"has {max(0, len(fields) - extra):,} pixels instead of {columns.pixel_count:,}"
        )
    if columns.plain:
        return fields[1:] if columns.label == 0 else fields[:-1]
    return [fields[i] for i in columns.pixels]


def _pixels(fields: list[bytes], columns: Columns) -> bytes:
    cells = _pixel_cells(fields, columns)
    if len(cells) != columns.pixel_count:
        raise RowError(f"has {len(cells):,} pixels instead of {columns.pixel_count:,}")
    try:
        return bytes(map(_VALUES.__getitem__, cells))
    except KeyError:
        return bytes(_pixel(value, i) for i, value in enumerate(cells, 1))


def _pixel(field: bytes, position: int) -> int:
    """The slow way, for `" 12"`, `"12"` and `12.0`."""
    text = _text(field)[:40]
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number <= 255 and number == int(number)):
        raise RowError(f"has {text!r} as pixel{position}; allowed are whole numbers from 0 to 255")
    return int(number)


def _fields(line: bytes, separator: bytes) -> list[bytes]:
    line = line.rstrip(b"\r\n")
    if b'"' in line and separator != b" ":  # a class "cat, grey"
        text = line.decode("utf-8", "surrogateescape")
        try:
            cells = next(csv.reader([text], delimiter=separator.decode(), skipinitialspace=True))
        except (csv.Error, StopIteration):
            return line.split(separator)
        return [cell.encode("utf-8", "surrogateescape") for cell in cells]
    if separator == b" ":
        return line.split()
    return line.split(separator)


def _text(field: bytes, encoding: str = "utf-8") -> str:
    text = field.decode(encoding, "replace").strip().strip("\ufeff\"'").strip()
    return text[: MAX_LABEL + 1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _small_int(digits: str) -> int:
    return int(digits[-18:])


# --- bytes ----------------------------------------------------------------------------------------


def _opened(archive: Archive, file: str) -> BinaryIO:
    """The table as a stream of UTF-8, whatever it is packed in and encoded as."""
    stream: BinaryIO = archive.open(file)
    if file.casefold().endswith(".gz"):
        unpacked = gzip.GzipFile(fileobj=stream)
        unpacked.myfileobj = cast(Any, stream)  # closed with it
        stream = cast(BinaryIO, unpacked)
    buffered = io.BufferedReader(stream, 1 << 20)  # type: ignore[type-var]
    utf = utf_of(buffered.peek(400)[:400])
    if utf is not None:
        codec, skip, _ = utf
        buffered.read(skip)
        if codec != "utf-8":
            return cast(
                BinaryIO, io.BufferedReader(_Transcoded(cast(BinaryIO, buffered), codec), 1 << 20)
            )
    return cast(BinaryIO, buffered)


class _Transcoded(io.RawIOBase):
    """A stream of another encoding as UTF-8."""

    def __init__(self, stream: BinaryIO, codec: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(codec)("replace")
        self._pending = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            data = self._stream.read(1 << 18)
            self._pending = self._decoder.decode(data, final=not data).encode()
            if not data and not self._pending:
                return 0
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count


def _lines(file: BinaryIO, table: str, rejections: Rejections) -> Iterator[bytes]:
    """Lines of bounded length; a file that breaks off in the middle gives the lines before that."""
    number, total = 0, 0
    try:
        while line := file.readline(_MAX_LINE_BYTES):
            total += len(line)
            if total > _MAX_TABLE_BYTES:
                rejections.add(
                    table, f"unfolds to more than {_MAX_TABLE_BYTES / 1e9:.0f} GB; the rest is left"
                )
                return
            yield line
            number += 1
    except READ_ERRORS as error:
        rejections.add(table, f"is damaged and breaks off after row {max(0, number - 1)} ({error})")
