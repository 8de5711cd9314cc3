"""Tables of labels: a file's name and its class in each row.

    train/label.csv    path,label               _classes.csv     filename, cat, dog
                       cats/cat.1.jpg,0                          1.jpg,    1,   0
    labels.csv         id;breed;split           metadata.jsonl   {"file_name": "1.jpg", ...}

Which column is what is told by its name and by its cells: the column of files is the one whose
cells are files that are there, written with or without folder and suffix. The split is told by a
column, by the table's name, or by the folders of the files.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources import class_folders
from lab.data.sources.archive import Archive, without
from lab.data.sources.class_lists import names_for_numbers
from lab.data.sources.code_pages import DecodedText, decode_text
from lab.data.sources.folder_tree import holds_images, last
from lab.data.sources.image_names import ImageNames, as_path, path_split
from lab.data.sources.part_lists import lists_all_parts
from lab.data.sources.photographs import LabelledFile, Photographs, is_image
from lab.data.sources.source import ClassRule, Question, own_classes
from lab.data.sources.split_words import split_of, words
from lab.data.sources.table_headers import (
    FILE_HEADERS,
    LABEL_HEADERS,
    MAX_LABEL,
    SPLIT_HEADERS,
    columns_called,
    is_blank,
    label_text,
)

_MAX_TABLE_BYTES = 100_000_000
_MAX_TABLES = 100
_MAX_TEXT_FILES = 20
"""Of more .txt files each is a note about one picture (YOLO), not a table."""
_SAMPLE_ROWS = 300
_LISTED = 20
_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson")
_SPLIT_NUMBERS = {"0": "train", "1": "val", "2": "test"}
_NUMBERED_SPLITS = ("split", "splits", "partition", "datasplit", "splitid")
_TABLE_WORDS = frozenset(
    (
        *("label", "labels", "classes", "metadata", "annotation", "annotations", "groundtruth"),
        *("라벨", "레이블", "ラベル", "标签"),
    )
)


class TableError(ValueError):
    """Why a table is not used, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Row:
    """One row that names a file: `split` is None where neither row nor table tells it."""

    where: str
    file: str
    """As it stands there."""
    label: str
    split: str | None


@dataclass
class LabelTable:
    """One table with the roles of its columns found."""

    file: str
    file_column: str
    label_column: str
    rows: list[Row]
    loose: bool
    """Whether its folders are others than the archive's, so that names alone count."""
    called: bool = False
    """Whether both columns are called what they are."""
    headerless: bool = False
    one_hot: bool = False
    note: str = ""
    questions: list[Question] = field(default_factory=list)


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when a table names images and their classes; else None."""
    images = ImageNames(file for file in archive.files if is_image(file))
    if not images.count:
        return None  # pictures of other kinds, or none
    own = Rejections()
    unfit: dict[str, str] = {}
    tables: list[LabelTable] = []
    in_class_folders = len({posixpath.dirname(path) for path in images.paths}) > 1
    for file in _candidates(archive):
        expected = _is_label_table(file)
        try:
            table = _read(archive, file, images, answers, own)
        except TableError as error:
            # A table of something else beside class folders is no mistake, nor is a classes.txt.
            if (expected and not file.casefold().endswith(".txt")) or not in_class_folders:
                unfit[file] = str(error)
            continue
        if not table.called and (lists_all_parts(file) or _folders_are_better(table, images)):
            if not file.casefold().endswith(".txt"):
                unfit[file] = (
                    f"has no column called like classes but {table.label_column}; not used"
                )
            continue
        named = len({row.file for row in table.rows})
        if expected or (2 * named >= images.count and (table.called or not in_class_folders)):
            tables.append(table)
        elif not in_class_folders:
            unfit[file] = f"names {named:,} of {images.count:,} images and is not used"
    found, told_by_folder = _joined(tables, images, own)
    folders: Photographs | None = None
    if found and not any(split == "train" for _, _, split, _ in found):
        folders = _training_folders(archive, {path for path, *_ in found}, classes, answers, own)
        if folders is None:  # a set called my_test, not a test part
            found = [
                (path, label, "train" if path in told_by_folder else split, where)
                for path, label, split, where in found
            ]
        else:
            found = _fitting(found, folders, own)
            found += [
                (file.path, folders.class_names[file.label], file.split, file.path)
                for file in folders.files
            ]
    list_file, by_folder = "", dict[str, str]()
    if found and classes.names is None:
        used = {table.file for table in tables}
        numbers = {label for _, label, _, _ in found}
        called, list_file = names_for_numbers(archive, numbers, used, answers)
        if not list_file:
            called = by_folder = _names_of_folders(found)
        found = [(path, called.get(text, text), split, row) for path, text, split, row in found]
    for file, reason in unfit.items():
        if file != list_file:
            own.add(file, reason)
    if not found:
        for file in archive.files:
            if file.casefold().endswith((".xlsx", ".xls", ".ods", ".numbers")):
                own.add(
                    file, "is a spreadsheet; if it holds the classes, save it as a CSV beside it"
                )
        rejections.extend(own)
        return None  # the folders may still name the classes
    if classes.names is None:
        classes = own_classes((split, label) for _, label, split, _ in found)
    files: dict[str, LabelledFile] = {}
    for path, text, split, where in found:
        label = _label(text, classes)
        if label is None:
            allowed = ", ".join(f"{i} ({name})" for i, name in enumerate(classes.names or ()))
            own.add(where, f"has the label {text!r}; allowed is {allowed}")
        elif path in files:
            same = files[path].label == label
            again = "again" if same else "again, with another label; the first one counts"
            own.add(where, f"names {path} {again}")
        else:
            files[path] = LabelledFile(path, split, label)
    _report_unnamed(images, files, own)
    rejections.extend(own)
    questions = tuple(question for table in tables for question in table.questions)
    notes: tuple[str, ...] = (f"The classes are called as in {list_file}.",) if list_file else ()
    if by_folder:
        told = ", ".join(f"{number} is {name}" for number, name in [*by_folder.items()][:5])
        notes = (f"The classes are called as the folders that hold them: {told}.",)
    layout = _layout(tables)
    if folders is not None:
        questions, notes = questions + folders.questions, notes + folders.notes
        layout = f"{folders.layout}, and {layout}"
    else:
        notes += _case_note(classes.names or ())
    return Photographs(
        archive,
        layout,
        classes.names or (),
        tuple(files.values()),
        questions=questions,
        notes=notes,
    )


def _case_note(names: Sequence[str]) -> tuple[str, ...]:
    """A sentence when two classes differ by upper and lower case alone; people mistype."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(name.casefold(), name)) != name:
            return (
                f"Upper and lower case are different classes here, such as {other} and {name}.",
            )
    return ()


def _folders_are_better(table: LabelTable, images: ImageNames) -> bool:
    """Whether a column that need not be of classes names pictures that lie in folders by class.

    So it is when it is called something else (age, text), or says the same as the folders by
    numbers (glass1.jpg 1). Folders of parts and of pictures are none of classes.
    """
    labels: dict[str, set[str]] = {}
    for row in table.rows:
        hits = images.find(row.file, posixpath.dirname(table.file), loose=table.loose)
        for path in hits[:1]:
            folder = posixpath.dirname(path)
            if split_of(folder) is None and not holds_images(folder):
                labels.setdefault(folder, set()).add(row.label)
    if len(labels) < 2 or table.one_hot:
        return False
    same = (
        all(len(each) == 1 for each in labels.values()) and len(set().union(*labels.values())) > 1
    )
    return same or not table.headerless


def _layout(tables: Sequence[LabelTable]) -> str:
    first = next((table for table in tables if path_split(table.file) == "train"), tables[0])
    said = f"{first.file}: files in column {first.file_column!r}, classes in {first.label_column}"
    notes = list(dict.fromkeys(table.note for table in tables if table.note))
    more = f"; and {len(tables) - 1} more like it" if tables[1:] else ""
    return f"a table of labels ({'; '.join([said, *notes])}{more})"


def _label(text: str, classes: ClassRule) -> int | None:
    """The label of a class name or number; None when it is none of the classes."""
    label = classes.label(text)
    if label is not None or not re.fullmatch(r"[0-9]{1,9}", text):
        return label
    number = int(text)
    return number if number < len(classes.names or ()) else None


# --- reading a table ------------------------------------------------------------------------------


@dataclass
class _Cells:
    """A table as texts; `first` is the number of the first row in `rows`."""

    header: list[str]
    rows: list[list[str]]
    decoded: DecodedText


def _candidates(archive: Archive) -> list[str]:
    """Files that may be tables, those of usual names and less deep ones first."""
    files = [file for file in archive.files if file.casefold().endswith(_SUFFIXES)]
    texts = [file for file in files if file.casefold().endswith(".txt")]
    if len(texts) > _MAX_TEXT_FILES:
        files = [file for file in files if file not in set(texts) or _is_label_table(file)]
    return sorted(files, key=lambda f: (not _is_label_table(f), f.count("/")))[:_MAX_TABLES]


def _is_label_table(file: str) -> bool:
    """Whether the name says so: label.csv, train_labels.csv, _classes.csv, train.csv."""
    stem = PurePosixPath(file).stem
    return split_of(stem) is not None or any(
        word.casefold() in _TABLE_WORDS for word in words(stem)
    )


def _read(
    archive: Archive,
    file: str,
    images: ImageNames,
    answers: Mapping[str, str],
    rejections: Rejections,
) -> LabelTable:
    """The rows of a table that names images and classes; raises TableError when it does not."""
    if any(word.casefold().startswith("submission") for word in words(PurePosixPath(file).stem)):
        raise TableError("is a form for answers by its name (submission), and is not used")
    try:
        data = archive.read(file, limit=_MAX_TABLE_BYTES)
    except UnreadableFile as error:
        raise TableError(error.reason) from error
    try:
        decoded = decode_text(data, file, answers)
    except UnicodeDecodeError:
        raise TableError("is not a text file in UTF-8, UTF-16 or a usual code page") from None
    json_lines = file.casefold().endswith((".jsonl", ".ndjson"))
    cells = _json_cells(decoded) if json_lines else _csv_cells(decoded, file)
    return _with_roles(cells, file, images, answers, rejections)


def _json_cells(decoded: DecodedText) -> _Cells:
    header: dict[str, None] = {}
    entries: list[dict[str, object]] = []
    for number, line in enumerate(decoded.text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise TableError(f"is not JSON in line {number}") from None
        if not isinstance(entry, dict):
            raise TableError(f"has no fields with names in line {number}")
        header.update(dict.fromkeys(entry))
        entries.append(entry)
    rows = [
        [
            value if isinstance(value := entry.get(name, ""), str) else json.dumps(value)
            for name in header
        ]
        for entry in entries
    ]
    return _Cells(list(header), rows, decoded)


def _csv_cells(decoded: DecodedText, file: str) -> _Cells:
    lines = decoded.text.splitlines(keepends=True)
    while lines and (not lines[0].strip() or lines[0].startswith("#")):
        lines.pop(0)
    if not lines:
        raise TableError("is empty")
    if told := re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE):  # as Excel writes it
        separator = told[1]
        lines.pop(0)
    else:
        separator = max(",;\t|", key=lines[0].count)
    rows: list[list[str]] = []
    if separator not in lines[0] and file.casefold().endswith(".txt"):
        rows = [line.rsplit(None, 1) for line in lines]  # images/1.jpg 0
    else:
        # Every line ends alike, so that a quoted field may still run over several.
        reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=separator)
        try:
            for row in reader:
                rows.append([cell.strip() for cell in row])
        except csv.Error as error:
            if not rows:
                raise TableError(f"is not a table that can be read ({error})") from None
            raise TableError(f"cannot be read from row {len(rows)} on ({error})") from None
    return _Cells(rows[0] if rows else [], rows[1:], decoded)


def _with_roles(
    cells: _Cells,
    file: str,
    images: ImageNames,
    answers: Mapping[str, str],
    rejections: Rejections,
) -> LabelTable:
    folder = posixpath.dirname(file)
    header, rows = cells.header, cells.rows
    stem_split = split_of(PurePosixPath(file).stem)
    column, loose = _file_column(header, rows, images, folder)
    if column is not None and images.find(header[column], folder, loose=loose):
        # The first line names an image, so it is a row.
        rows, header = [header, *rows], [f"column {i}" for i in range(1, len(header) + 1)]
    if column is None:
        called = columns_called(header, FILE_HEADERS)
        names = [row[called[0]] for row in rows if called and len(row) > called[0]]
        if names:
            raise TableError(
                f"names images in its column {header[called[0]]!r} that are not there, such as "
                f"{names[0][:100]!r}; the table and the pictures have to lie in one folder or zip"
            )
        raise TableError(f"has the columns {_listed(header)}: {_WANTED}")
    split_column = _split_column(header, rows, column)
    others = [i for i in range(len(header)) if i not in (column, split_column)]
    questions = [cells.decoded.question] if cells.decoded.question else []
    hot = None
    label = _label_column(file, header, rows, others, answers, questions)
    if label is None:
        hot = _one_hot_columns(header, rows, others)
        if hot is None:
            raise TableError(_no_labels(header, column, others, stem_split))
    if label is not None:
        texts = [row[label] for row in rows if len(row) > label and row[label]]
        different = len(set(texts))
        few = 20 if label in columns_called(header, LABEL_HEADERS) else 3
        if len(texts) >= few and 2 * different > len(texts):
            raise TableError(
                f"has {len(set(texts)):,} different values in column {header[label]!r} for "
                f"{len(texts):,} images; a class needs several images"
            )
    found: list[Row] = []
    blank: list[str] = []
    needed = max(column, *(hot or [label or 0]))
    for number, row in enumerate(rows, 1):
        where = f"{file} row {number}"
        if not any(row):
            continue
        if len(row) <= needed:
            rejections.add(where, f"has {len(row)} of {len(header)} columns")
            continue
        if hot is not None:
            marked = [header[i] for i in hot if _is_one(row[i])]
            if len(marked) != 1:
                rejections.add(
                    where, f"marks {len(marked)} classes for {row[column]}; one is needed"
                )
                continue
            text = marked[0]
        else:
            text = row[label or 0]
        text = label_text(text)
        if is_blank(text):
            blank.append(f"{where} ({row[column]})")
        elif len(text) > MAX_LABEL:
            rejections.add(
                where, f"has a label of {len(text):,} characters; at most {MAX_LABEL} are allowed"
            )
        else:
            told = split_column is not None and len(row) > split_column
            split = _split_in(header[split_column or 0], row[split_column or 0]) if told else None
            found.append(Row(where, row[column], text, split or stem_split))
    for where in blank[:_LISTED]:
        rejections.add(where, "has no label")
    if blank[_LISTED:]:
        rejections.add(file, f"has no label in {len(blank) - _LISTED:,} more rows")
    return LabelTable(
        file,
        header[column],
        repr(header[label]) if label is not None else "a column for each class",
        found,
        loose,
        column in columns_called(header, FILE_HEADERS)
        and label in columns_called(header, LABEL_HEADERS),
        header[column].startswith("column "),
        hot is not None,
        cells.decoded.note,
        questions,
    )


_WANTED = (
    "wanted are one of file names (path, filename, image, id ...) and one of classes (label, "
    "class, category, breed ...). Name them so in its first line, as in a label.csv with "
    "path,label, or sort the pictures into one folder for each class"
)


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(repr(name[:40]) for name in header[:6])
    return names + (f" and {len(header) - 6} more" if header[6:] else "") if header else "none"


def _no_labels(header: Sequence[str], column: int, others: Sequence[int], split: str | None) -> str:
    files = f"has file names in column {header[column]!r} and "
    if split == "test":
        return f"{files}no column of classes: its images have no labels and are left out"
    if not others:
        return f"{files}no column of classes; add one called label"
    return (
        f"{files}no column that is called like classes (label, class, category, breed ...) among "
        f"{_listed([header[i] for i in others])}; name the one with the classes label"
    )


def _file_column(
    header: Sequence[str], rows: Sequence[Sequence[str]], images: ImageNames, folder: str
) -> tuple[int | None, bool]:
    """(the column whose cells are images, whether by their last part alone)."""
    called = columns_called(header, FILE_HEADERS)
    for loose in (False, True):
        best: tuple[float, int, int] | None = None
        for i in range(len(header)):
            values = [row[i] for row in rows[:_SAMPLE_ROWS] if len(row) > i and row[i].strip()]
            if not rows and header:
                values = [header[i]]
            if not values:
                continue
            there = [v for v in values if images.find(v, folder, loose=loose)]
            if loose and (not images.unique or len({last(v) for v in values}) < len(set(values))):
                continue
            # A column of 0 and 1 may be names of images, too (0.jpg), but the same ones again.
            share = len(set(there)) / len(values)
            rank = called.index(i) if i in called else len(called)
            enough = share > 0 if i in called else share >= 0.5
            if enough and (best is None or (share, -rank) > best[:2]):
                best = (share, -rank, i)
        if best is not None:
            return best[2], loose
    return None, False


def _split_column(
    header: Sequence[str], rows: Sequence[Sequence[str]], file_column: int
) -> int | None:
    for i in columns_called(header, SPLIT_HEADERS):
        cells = [row[i] for row in rows[:_SAMPLE_ROWS] if len(row) > i]
        if i != file_column and cells and sum(map(bool, map(split_of, cells))) >= len(cells) / 2:
            return i
    for i in columns_called(header, _NUMBERED_SPLITS):  # as CelebA numbers its parts
        if i != file_column and {row[i] for row in rows if len(row) > i} == set(_SPLIT_NUMBERS):
            return i
    for i, name in enumerate(header):  # is_valid, is_test: True or False
        if i != file_column and words(name)[:1] == ["is"] and split_of(name):
            cells = [row[i] for row in rows if len(row) > i]
            if _is_one_hot(rows, [i]) and len({_is_one(cell) for cell in cells}) == 2:
                return i
    return None


def _split_in(header: str, cell: str) -> str | None:
    """The split that a cell tells by a word, or by True in a column called is_valid."""
    if split := split_of(cell):
        return split
    if columns_called([header], _NUMBERED_SPLITS):
        return _SPLIT_NUMBERS.get(cell.strip())
    told = split_of(header) if words(header)[:1] == ["is"] else None
    if told is None:
        return None
    if _is_one(cell):
        return told
    return "test" if told == "train" else "train"


def _label_column(
    file: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    others: Sequence[int],
    answers: Mapping[str, str],
    questions: list[Question],
) -> int | None:
    called = [i for i in columns_called(header, LABEL_HEADERS) if i in others]
    values = {i: [row[i] for row in rows if len(row) > i] for i in called}
    called = [i for i in called if len(set(values[i])) > 1] or called
    if not called:
        others = [i for i in others if i not in columns_called(header, SPLIT_HEADERS)]
        if len(others) > 1 and header[others[0]].startswith("column "):
            others = [i for i in others if _holds_classes(rows, i)]  # val_1.jpg n01443537 0 32 44
        return others[0] if len(others) == 1 else None
    # A number and its name side by side (class_id, class_name) are one label; the name is better.
    first = called[0]
    same = [first]
    different: list[int] = []
    for i in called[1:]:
        pairs = set(zip(values[first], values[i], strict=False))
        one_to_one = len(pairs) == len(set(values[first])) == len(set(values[i]))
        (same if one_to_one else different).append(i)
    named = [i for i in same if not all(re.fullmatch(r"[0-9.]*", text) for text in values[i])]
    default = named[0] if named else first
    choices = [default, *different]
    if len(choices) == 1:
        return default
    asked = Question(
        f"label-column:{file}",
        f"Which column of {file} holds the class?",
        tuple((header[i], f"{header[i]}: {_some(values[i])}") for i in choices),
        header[default],
        "Several columns are called like classes.",
    )
    questions.append(asked)
    answer = asked.answer(answers)
    return next(i for i in choices if header[i] == answer)


def _holds_classes(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether the cells are words that come again and again, not numbers or one for each row."""
    cells = [row[column] for row in rows if len(row) > column and row[column]]
    return 2 * len(set(cells)) <= len(cells) and not all(
        re.fullmatch(r"[-+0-9.]+", c) for c in cells
    )


def _some(values: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(value[:30] for value in values if value))
    return ", ".join(distinct[:5]) + (f" ... ({len(distinct)} in all)" if distinct[5:] else "")


def _is_one(cell: str) -> bool:
    return cell.strip().casefold() in ("1", "1.0", "true", "yes")


def _is_one_hot(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> bool:
    cells = {row[i].strip().casefold() for row in rows for i in columns if len(row) > i}
    return bool(cells) and cells <= {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", ""}


def _one_hot_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], others: Sequence[int]
) -> list[int] | None:
    """The columns that are a class each: of 0 and 1, with one 1 in nearly every row."""
    columns = [i for i in others if header[i].strip() and _is_one_hot(rows, [i])]
    if len(columns) < 2:
        return None
    whole = [row for row in rows if len(row) > max(columns)]
    single = sum(sum(_is_one(row[i]) for i in columns) == 1 for row in whole)
    return columns if whole and single >= 0.8 * len(whole) else None


# --- joining tables -------------------------------------------------------------------------------

_Found = tuple[str, str, str, str]
"""path, label text, split, where"""


def _joined(
    tables: list[LabelTable], images: ImageNames, rejections: Rejections
) -> tuple[list[_Found], set[str]]:
    """The rows of all tables with the file of each, and the files whose folder tells their split.

    Tables that repeat others tell their split.
    """
    first: dict[str, tuple[str, int]] = {}  # path -> label and place in `found`
    found: list[list[str]] = []
    by_folder: set[str] = set()
    for place, table in enumerate(list(tables)):
        folder = posixpath.dirname(table.file)
        mine: list[tuple[Row, str]] = []
        for row in table.rows:
            hits = images.find(row.file, folder, split=row.split, loose=table.loose)
            if len(hits) == 1:
                mine.append((row, hits[0]))
            elif hits:
                rejections.add(
                    row.where,
                    f"names {row.file}, and there are {len(hits)} of that name ({hits[0]}, "
                    f"{hits[1]}); write the folder, too",
                )
            else:
                shown = posixpath.normpath(posixpath.join(folder, as_path(row.file)))
                rejections.add(row.where, f"names {shown[:200]}, which is not there")
        known = [(row, path) for row, path in mine if path in first]
        contrary = sum(first[path][0] != row.label for row, path in known)
        if place and 2 * contrary > len(mine):
            rejections.add(
                table.file,
                f"gives {contrary:,} of {len(mine):,} images another class than "
                f"{tables[0].file}, and is not used",
            )
            tables.remove(table)
            continue
        earlier = set(first)
        for row, path in mine:
            split = row.split or path_split(path) or path_split(table.file)
            if path in earlier and first[path][0] == row.label:
                if row.split is not None:  # labels.csv names all, test.csv those of the test
                    found[first[path][1]][2] = row.split
                    by_folder.discard(path)
                continue
            first.setdefault(path, (row.label, len(found)))
            found.append([path, row.label, split or "train", row.where])
            if row.split is None:
                by_folder.add(path)
    return [(path, label, split, where) for path, label, split, where in found], by_folder


def _training_folders(
    archive: Archive,
    named: Collection[str],
    classes: ClassRule,
    answers: Mapping[str, str],
    rejections: Rejections,
) -> Photographs | None:
    """The class folders with training images beside pictures that tables name; None without any.

    So train/cat/, train/dog/ and a test.csv of the pictures in test/ are one set.
    """
    others = Rejections()
    folders = class_folders.recognise(without(archive, named), classes, others, answers)
    if folders is None or not any(path_split(file.path) == "train" for file in folders.files):
        return None
    rejections.extend(others)
    return folders


def _fitting(found: list[_Found], folders: Photographs, rejections: Rejections) -> list[_Found]:
    """The rows of classes that are class folders, too; the others are left out by name."""
    rule = ClassRule(folders.class_names)
    fitting: list[_Found] = []
    for path, text, split, where in found:
        if (label := rule.label(text)) is None:
            rejections.add(where, f"has the label {text!r}, which no folder of training images has")
        else:
            fitting.append((path, folders.class_names[label], split, where))
    return fitting


def _report_unnamed(
    images: ImageNames, files: Mapping[str, LabelledFile], rejections: Rejections
) -> None:
    unnamed = [path for path in images.paths if path not in files]
    if unnamed:
        others = f"and {len(unnamed) - 1:,} more are" if len(unnamed) > 1 else "is"
        rejections.add(unnamed[0], f"{others} named by no table of labels and left out")


def _names_of_folders(found: list[_Found]) -> dict[str, str]:
    """number -> name, when each number stands for the pictures of one folder: 0 for cats/."""
    folders: dict[str, set[str]] = {}
    for path, label, _, _ in found:
        folders.setdefault(label, set()).add(posixpath.basename(posixpath.dirname(path)))
    names = {label: next(iter(those)) for label, those in folders.items() if len(those) == 1}
    numbers = all(re.fullmatch(r"[0-9]{1,6}", label) for label in folders)
    told = {name for name in names.values() if not name.isdecimal() and split_of(name) is None}
    if not numbers or len(folders) < 2 or len(told) != len(folders):
        return {}
    return {label: names[label] for label in sorted(names, key=int)}
