"""Image sets as Parquet files, as the Hugging Face Hub keeps them.

    data/train-00000-of-00002.parquet    image: {bytes, path}    label: 0
    data/test-00000-of-00001.parquet     image: {bytes, path}    label: 1

A column holds each picture as a whole file (JPEG, PNG ...), another its class: a number whose names
the file's own description holds, or a text. The parts are told by the file's name or folder.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lab.data.decode import (
    Fit,
    UnreadableFile,
    ValueRange,
    begins_like_a_picture,
    common_range,
    could_be_wide,
    wide_limits,
)
from lab.data.pack import SPLITS, Rejections
from lab.data.sources.archive import READ_ERRORS, Archive
from lab.data.sources.folder_tree import last
from lab.data.sources.photographs import LabelledFile, photograph
from lab.data.sources.source import ClassRule, Question, SourceImage, natural_key
from lab.data.sources.split_words import split_of
from lab.data.sources.table_headers import LABEL_HEADERS, header_key, is_blank, label_text
from lab.errors import DataError
from lab.progress import Cancel, check_cancel

_MAX_BYTES = 4_000_000_000
_ROWS = 64


@dataclass(frozen=True)
class ParquetSet:
    """A Source of Parquet files."""

    archive: Archive
    files: tuple[tuple[str, str], ...]
    """(file, split)"""
    image: str
    label: str
    """The columns."""
    by_value: Mapping[str, int]
    class_names: tuple[str, ...]
    total: int
    channels: int = 3
    fixed_size: int | None = None
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str = "Parquet files with a picture and its class in each row"

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """Rows in the order of the files, decoded in a few threads."""
        value_range = self._value_range(cancel)

        def read(row: _Row) -> SourceImage | UnreadableFile:
            label = self.by_value.get(_text(row.value))
            if label is None:
                reason = "has no label" if _is_none(row.value) else "has no known class"
                return UnreadableFile(row.name, reason)
            file = LabelledFile(row.name, row.split, label)
            try:
                return photograph(
                    row.data, file, image_size=image_size, fit=fit, value_range=value_range
                )
            except UnreadableFile as error:
                return error

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode") as pool:
            for rows in self._batches(cancel):
                for result in pool.map(read, rows):
                    if isinstance(result, UnreadableFile):
                        rejections.add(result.name, result.reason)
                        yield None
                    else:
                        yield result

    def _batches(self, cancel: Cancel) -> Iterator[list[_Row]]:
        for file, split in self.files:
            numbers = itertools.count(1)
            try:
                with _opened(self.archive, file) as table:
                    for batch in table.iter_batches(_ROWS, columns=[self.image, self.label]):
                        check_cancel(cancel, "Reading the images")
                        cells = batch.to_pydict()
                        yield [
                            _Row(f"{last(file)} row {next(numbers)}", split, _bytes(cell), value)
                            for cell, value in zip(
                                cells[self.image], cells[self.label], strict=True
                            )
                        ]
            except (*READ_ERRORS, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())[:200]
                raise DataError(
                    f"{file} is damaged and cannot be read further: {reason}."
                ) from error

    def _value_range(self, cancel: Cancel) -> ValueRange | None:
        """The range of the pictures of more than 8 bits a value, which are decoded twice; None when
        there are none."""
        limits = []
        for row in itertools.chain.from_iterable(self._batches(cancel)):
            if could_be_wide(row.data[:32]):
                with contextlib.suppress(UnreadableFile):  # it is refused when its turn comes
                    limits.append(wide_limits(row.data, name=row.name))
        return common_range(limits)


class _Row(NamedTuple):
    name: str
    split: str
    data: bytes
    value: Any
    """Of the class."""


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> ParquetSet | None:
    """A Source when there are Parquet files with pictures and classes; else None."""
    files = [file for file in archive.files if file.casefold().endswith(".parquet")]
    if not files or classes.names is not None:
        return None
    image, labels, names = "", [], {}
    used: list[tuple[str, str]] = []
    total = 0
    for file in files:
        try:
            with _opened(archive, file) as table:
                found, columns = _image_column(table), _label_columns(table)
                rows, names_of_columns = table.metadata.num_rows, table.schema_arrow.names
        except (*READ_ERRORS, UnreadableFile, ValueError) as error:
            rejections.add(
                file, f"cannot be read as Parquet ({' '.join(str(error).split())[:200]})"
            )
            continue
        if not found or not columns:
            what = "pictures" if not found else "classes"
            rejections.add(file, f"has no column of {what}: {', '.join(names_of_columns)}")
            continue
        if not used:
            image, labels, names = found, list(columns), columns
        split = split_of(PurePosixPath(file).name.partition("-")[0]) or split_of(
            PurePosixPath(file).parent.name
        )
        used.append((file, split or "train"))
        total += rows
    if not used:
        return None
    questions = []
    label = labels[0]
    if len(labels) > 1:
        choices = tuple((name, name) for name in labels)
        question = Question("label", "Which column is the class?", choices, label)
        questions.append(question)
        label = question.answer(answers)
    values: set[str] = set()
    for pair in tuple(used):
        try:
            values |= {_text(value) for value in _values(archive, pair[0], label)}
        except (*READ_ERRORS, UnreadableFile, ValueError, KeyError) as error:
            used.remove(pair)
            reason = " ".join(str(error).split())[:200]
            rejections.add(pair[0], f"has no classes that can be read ({reason})")
    if not used:
        return None
    values = {value for value in values if not is_blank(value)}
    named = names[label] or ()
    # -1 is the Hub's mark for a test set whose labels are kept back.
    values -= {"-1"} if named else set()
    ordered = sorted(values, key=lambda value: (natural_key(value), value))
    by_value = {value: place for place, value in enumerate(ordered)}
    spelled = [
        named[int(value)]
        if value.isdecimal() and len(value) < 10 and int(value) < len(named)
        else value
        for value in ordered
    ]
    order = {split: place for place, split in enumerate(SPLITS)}
    return ParquetSet(
        archive,
        tuple(sorted(used, key=lambda pair: (order[pair[1]], natural_key(pair[0])))),
        image,
        label,
        by_value,
        tuple(map(label_text, spelled)),
        total,
        questions=tuple(questions),
    )


@contextlib.contextmanager
def _opened(archive: Archive, file: str) -> Iterator[Any]:
    import pyarrow.parquet  # a third of a second that only those pay who have such a file

    stream: Any = archive.open(file)
    if not isinstance(stream, io.BufferedReader):  # going back in a zip would unpack it anew
        stream.close()
        stream = io.BytesIO(archive.read(file, limit=_MAX_BYTES))
    with stream, pyarrow.parquet.ParquetFile(stream) as table:
        yield table


def _values(archive: Archive, file: str, label: str) -> list[Any]:
    with _opened(archive, file) as table:
        values: list[Any] = table.read([label])[label].unique().to_pylist()
    return values


def _image_column(table: Any) -> str:
    """The column whose first cells are picture files; "" without one."""
    for field in table.schema_arrow:
        struct = str(field.type).startswith("struct") and "bytes" in [f.name for f in field.type]
        if not struct and str(field.type) not in ("binary", "large_binary"):
            continue
        for batch in table.iter_batches(batch_size=8, columns=[field.name]):
            cells = [_bytes(cell) for cell in batch.to_pydict()[field.name]]
            if any(begins_like_a_picture(cell[:32]) for cell in cells):
                return str(field.name)
            break
    return ""


def _label_columns(table: Any) -> dict[str, tuple[str, ...] | None]:
    """Column -> the names of its numbers, those first that the file calls classes itself."""
    described: dict[str, tuple[str, ...] | None] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        text = (table.schema_arrow.metadata or {})[b"huggingface"]
        for name, feature in json.loads(text)["info"]["features"].items():
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                described[name] = tuple(map(str, feature.get("names") or ())) or None
    plain: dict[str, tuple[str, ...] | None] = {
        field.name: None
        for field in table.schema_arrow
        if header_key(field.name) in LABEL_HEADERS
        and str(field.type).startswith(("int", "uint", "string", "large_string", "bool", "dict"))
    }
    return described or plain


def _bytes(cell: Any) -> bytes:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data if isinstance(data, bytes) else b""


def _is_none(value: Any) -> bool:
    return value is None or is_blank(str(value)) or value == -1


def _text(value: Any) -> str:
    return "" if value is None else str(value)
