"""The parts of a set that brings them apart from its folders: in lists, or in its files' names.

    meta/train.txt     apple_pie/1005649        images.txt              1 001.Auk/auk_1.jpg
    meta/test.txt      apple_pie/1011328        train_test_split.txt    1 0

Lists name a picture in each line, with or without suffix, and may say more behind it. In
train_test_split.txt (CUB-200, NABirds) 1 is for training; in a list of partitions (CelebA) 0 is for
training, 1 for validation and 2 for test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.code_pages import decode_text
from lab.data.sources.folder_tree import last, parent, stem
from lab.data.sources.image_names import ImageNames
from lab.data.sources.matlab_lists import file_list
from lab.data.sources.photographs import Photographs
from lab.data.sources.source import natural_key
from lab.data.sources.split_words import split_of, words
from lab.data.sources.table_headers import header_key

_SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".list", ".json", ".mat")
_PARTITION = frozenset({"partition", "partitions", "split", "splits"})
"""Words of a file that names the pictures of all parts, each with its own."""
_MAX_BYTES = 50_000_000
_MAX_LISTS = 50
_ENOUGH = 0.9
"""Share of a list's lines that name pictures, and of the pictures that lists name."""


def lists_all_parts(file: str) -> bool:
    """Whether the name says that all parts are listed in the file: train_test_split.txt."""
    return not _PARTITION.isdisjoint(word.casefold() for word in words(stem(file)))


def with_parts(
    archive: Archive, source: Photographs, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs:
    """Returns the source with the parts that lists or file names tell, if it has none so far."""
    if any(file.split != "train" for file in source.files):
        return source
    paths = [file.path for file in source.files]
    splits, lists = _by_lists(archive, paths, answers)
    shown = " and ".join(lists[:4]) + (f" and {len(lists) - 4} more" if lists[4:] else "")
    note = f"The parts are those that {shown} tell{'s' * (len(lists) == 1)}."
    if lists and not splits:
        named = (
            f"{shown} name{'s' * (len(lists) == 1)} parts of other pictures or of too few of these"
        )
        return replace(source, notes=(*source.notes, f"{named}; not used."))
    if not splits:
        splits = _by_names(paths)
        told = {split: last(path) for path, split in splits.items()}
        note = f"The parts are those that the file names tell, such as {', '.join(told.values())}."
    if not splits:
        return replace(source, notes=(*source.notes, *_unread(archive)))
    files = tuple(replace(file, split=splits.get(file.path, "train")) for file in source.files)
    trained = {file.label for file in files if file.split == "train"}
    if len(trained) < 2:
        return source  # all are in one part: no division of this set
    rejections.take_back(lists)
    return replace(source, files=files, notes=(*source.notes, note))


def _by_lists(
    archive: Archive, paths: list[str], answers: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """path -> split and the lists that say so; ({}, []) when none do."""
    candidates = [
        file
        for file in sorted(archive.files, key=lambda one: (natural_key(one), one))
        if file.casefold().endswith(_SUFFIXES) and (split_of(stem(file)) or lists_all_parts(file))
    ][:_MAX_LISTS]
    if not candidates:
        return {}, []
    images = ImageNames(paths)
    lists: dict[str, dict[str, set[str]]] = {}
    for file in candidates:
        if lists_all_parts(file):
            if found := _flagged(archive, file, images, answers):
                return found, [file]
            continue
        split = split_of(stem(file))
        if split and (named := _named(archive, file, images, answers)):
            lists.setdefault(split, {})[file] = named
    if not {"val", "test"} & lists.keys():
        return {}, []
    splits: dict[str, str] = {}
    used: list[str] = []
    # Where train1.txt and train2.txt share pictures, the set is divided in several ways, and the
    # first counts; else they are one part together.
    several = any(
        one & other and one != other
        for of_split in lists.values()
        for one, other in combinations(of_split.values(), 2)
    )
    for split in ("train", "val", "test"):  # trainval.txt names the pictures of val.txt, too
        first = next(iter(lists.get(split, {}).values()), set())
        for file, named in lists.get(split, {}).items():
            if named == first or not several:
                used.append(file)
                splits |= dict.fromkeys(named, split)
    whole = {parent(path) for path in paths}
    left_out = whole - {parent(path) for path in splits}
    if "train" in lists and (left_out or len(splits) < _ENOUGH * len(paths)):
        return {}, used
    return splits, used


def _named(
    archive: Archive, file: str, images: ImageNames, answers: Mapping[str, str]
) -> set[str] | None:
    """The pictures that a list names; None when it is no such list."""
    text = _text(archive, file, answers)
    if file.casefold().endswith(".json"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        values = value.values() if isinstance(value, dict) else [value]
        cells = [cell for one in values if isinstance(one, list) for cell in one]
        lines = [cell for cell in cells if isinstance(cell, str)]
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    folder = parent(file)
    found: set[str] = set()
    for line in lines:
        for cell in (line, re.split(r"[,;\t]", line)[0], line.split()[0]):
            if len(hits := images.find(cell, folder)) == 1:
                found.add(hits[0])
                break
    return found if found and len(found) >= _ENOUGH * len(lines) else None


def _flagged(
    archive: Archive, file: str, images: ImageNames, answers: Mapping[str, str]
) -> dict[str, str]:
    """path -> split by a list of pictures with train, val, test or 0, 1, 2 behind each.

    Where images.txt beside it numbers the pictures (CUB-200), 1 is for training and 0 for test.
    """
    folder = parent(file)
    numbered: dict[str, str] = {}
    index = f"{folder}/images.txt".lstrip("/")
    meaning = {"0": "train", "1": "val", "2": "test"}
    if header_key(stem(file)) == "traintestsplit" and index in archive.sizes:
        lines = _text(archive, index, answers).splitlines()
        numbered = {number: name for number, _, name in (line.partition(" ") for line in lines)}
        meaning = {"1": "train", "0": "test"}
    splits: dict[str, str] = {}
    rows = [
        re.split(r"[,;\t ]+", line.strip()) for line in _text(archive, file, answers).splitlines()
    ]
    if not numbered and not any(parts[-1] == "2" for parts in rows):
        meaning = {}  # of 0 and 1 alone nobody knows which is which
    for parts in rows:
        split = meaning.get(parts[-1]) or split_of(parts[-1])
        hits = images.find(numbered.get(parts[0], parts[0]).strip(), folder)
        if len(parts) > 1 and len(hits) == 1 and split:
            splits[hits[0]] = split
    return splits if len(splits) >= _ENOUGH * images.count else {}


def _text(archive: Archive, file: str, answers: Mapping[str, str]) -> str:
    if file.casefold().endswith(".mat"):
        return "\n".join(file_list(archive, file))
    try:
        return decode_text(archive.read(file, limit=_MAX_BYTES), file, answers).text
    except (UnreadableFile, UnicodeDecodeError):
        return ""


def _by_names(paths: list[str]) -> dict[str, str]:
    """path -> split when every file's name tells one: cat/train_1.jpg, cat/test_1.jpg."""
    splits: dict[str, str] = {}
    for path in paths:
        split = split_of(stem(path))
        if split is None:
            return {}
        splits[path] = split
    told = set(splits.values())
    return splits if "train" in told and len(told) > 1 else {}


def _unread(archive: Archive) -> list[str]:
    """A sentence about lists of parts in MATLAB's form that name no picture."""
    names = [file for file in archive.files if file.casefold().endswith(".mat")]
    lists = [
        file for file in names if split_of(stem(file)) is not None and not file_list(archive, file)
    ]
    if not lists:
        return []
    return [
        f"{' and '.join(lists[:2])} may list the parts, but no list of pictures could be read in "
        "them; files of MATLAB 7.3 are not read."
    ]
