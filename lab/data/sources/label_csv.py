"""A label.csv a split, as in document 000: columns path,label; paths from the folder of the CSV.

cats_and_dogs/train/label.csv        path,label
cats_and_dogs/train/cats/cat.1.jpg   cats/cat.1.jpg,0
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Mapping

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.photographs import LabelledFile, Photographs, is_image
from lab.data.sources.source import ClassRule, natural_key
from lab.data.sources.split_words import split_of

_MAX_CSV_BYTES = 100_000_000


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when there is a label.csv (or labels.csv) with its two columns; else None."""
    tables = [
        file
        for file in archive.files
        if file.rpartition("/")[2].casefold() in ("label.csv", "labels.csv")
    ]
    rows: list[tuple[str, str, str, str]] = []  # split, path, label text, where
    for table in tables:
        rows += _rows(archive, table, rejections)
    if not rows:
        return None  # the folders may still name the classes
    names = classes.names
    if names is None:
        names = tuple(sorted({text for _, _, text, _ in rows}, key=natural_key))
        classes = ClassRule(names)
    files: dict[str, LabelledFile] = {}
    for split, path, text, where in rows:
        label = _label(text, classes)
        if label is None:
            allowed = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            rejections.add(where, f"has the label {text!r}; allowed is {allowed}")
        elif path not in archive.sizes:
            rejections.add(where, f"names {path}, which is not there")
        elif path in files:
            repeat = (
                "again"
                if files[path].label == label
                else "again, with another label; the first one counts"
            )
            rejections.add(where, f"names {path} {repeat}")
        else:
            files[path] = LabelledFile(path, split, label)
    _report_unnamed(archive, files, rejections)
    layout = "a label.csv with a path and a label in each row"
    return Photographs(archive, layout, names, tuple(files.values()))


def _label(text: str, classes: ClassRule) -> int | None:
    """The label of a class name or number; None when it is none of the classes."""
    label = classes.label(text)
    if label is not None or not text.isdecimal():
        return label
    number = int(text)
    return number if number < len(classes.names or ()) else None


def _rows(archive: Archive, table: str, rejections: Rejections) -> list[tuple[str, str, str, str]]:
    try:
        text = archive.read(table, limit=_MAX_CSV_BYTES).decode("utf-8-sig")
    except UnreadableFile as error:
        rejections.add(table, error.reason)
        return []
    except UnicodeDecodeError:
        rejections.add(table, "is not a text file in UTF-8")
        return []
    folder = table.rpartition("/")[0]
    split = next(filter(None, map(split_of, reversed(folder.split("/")))), "train")
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [column.strip().casefold() for column in next(reader, [])]
    missing = [column for column in ("path", "label") if column not in header]
    if missing:
        rejections.add(
            table,
            f"has no column {' and no column '.join(missing)} in its first line; "
            "expected is path,label",
        )
        return []
    path_column, label_column = header.index("path"), header.index("label")
    rows: list[tuple[str, str, str, str]] = []
    try:
        for number, row in enumerate(reader, 1):
            where = f"{table} row {number}"
            if not row:
                continue
            if len(row) <= max(path_column, label_column):
                rejections.add(where, f"has {len(row)} of {len(header)} columns")
                continue
            path = _resolve_path(archive, folder, row[path_column].strip())
            rows.append((split, path, row[label_column].strip(), where))
    except csv.Error as error:
        rejections.add(table, f"is not a CSV from row {len(rows) + 1} on ({error})")
    return rows


def _resolve_path(archive: Archive, folder: str, relative: str) -> str:
    """The path inside the archive: relative to the CSV's folder, or to a folder above it."""
    relative = relative.replace("\\", "/")
    first = posixpath.normpath(posixpath.join(folder, relative))
    base = folder
    while True:
        path = posixpath.normpath(posixpath.join(base, relative))
        if path in archive.sizes:
            return path
        if not base:
            return first
        base = base.rpartition("/")[0]


def _report_unnamed(
    archive: Archive, files: dict[str, LabelledFile], rejections: Rejections
) -> None:
    unnamed = [file for file in archive.files if is_image(file) and file not in files]
    if unnamed:
        others = f"and {len(unnamed) - 1:,} more are" if len(unnamed) > 1 else "is"
        rejections.add(unnamed[0], f"{others} named by no label.csv and left out")
