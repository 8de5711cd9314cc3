"""Names for classes that are numbers: classes.txt, label_map.json, cat_to_name.json.

0: cat        {"0": "cat"}        {"cat": 0}        cat
1: dog         "1": "dog"          "dog": 1         dog
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from lab.data.decode import UnreadableFile
from lab.data.sources.archive import Archive
from lab.data.sources.code_pages import decode_text
from lab.data.sources.split_words import words
from lab.data.sources.table_headers import MAX_LABEL, header_key, label_text

_LIST_WORDS = frozenset(
    (
        *("class", "classes", "classname", "classnames", "label", "labels", "labelmap"),
        *("category", "categories", "cat", "name", "names", "라벨", "클래스", "标签", "类别"),
    )
)
_LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".names")


def names_for_numbers(
    archive: Archive, numbers: Collection[str], used: Collection[str], answers: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Returns number -> name and the file that says so; ({}, "") when none names every number.

    Files in `used` are not looked at. Anything but numbers has names already.
    """
    if not numbers or not all(re.fullmatch(r"[0-9]{1,6}", number) for number in numbers):
        return {}, ""
    for file in archive.files:
        path = PurePosixPath(file)
        if (
            file in used
            or path.suffix.casefold() not in _LIST_SUFFIXES
            or not _LIST_WORDS & {*map(str.casefold, words(path.stem)), header_key(path.stem)}
        ):
            continue
        try:
            text = decode_text(archive.read(file, limit=1_000_000), file, answers).text
        except (UnreadableFile, UnicodeDecodeError):
            continue
        names = _class_list(text, set(numbers), json_file=path.suffix.casefold() == ".json")
        if names is not None:
            return names, file
    return {}, ""


def _class_list(text: str, numbers: set[str], *, json_file: bool) -> dict[str, str] | None:
    """number -> name, when every number has a name of its own."""
    pairs: list[tuple[str, str]] = []
    if json_file:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, list):
            pairs = [(str(i), str(name)) for i, name in enumerate(value)]
        elif isinstance(value, dict):
            pairs = [(str(key), str(name)) for key, name in value.items()]
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        split = [re.split(r"[,;\t]|(?<=\d)[ :]+|[ :]+(?=\d+$)", line, maxsplit=1) for line in lines]
        if all(len(parts) == 2 for parts in split):
            pairs = [(a.strip(), b.strip()) for a, b in split]
        else:
            first = min(map(int, numbers))
            start = 1 if first == 1 and max(map(int, numbers)) == len(lines) else 0
            pairs = [(str(i), line) for i, line in enumerate(lines, start)]
    for ordered in (pairs, [(b, a) for a, b in pairs]):
        names: dict[int, list[str]] = {}
        for number, name in ordered:
            if re.fullmatch(r"[0-9]{1,6}", number):
                names.setdefault(int(number), []).append(label_text(name))
        # A number that comes twice is a label beside a picture, not a class with its name.
        chosen = {n: found[0] for n in numbers if len(found := names.get(int(n), [])) == 1}
        if len(chosen) == len(numbers) == len(set(chosen.values())):
            return chosen if all(0 < len(name) <= MAX_LABEL for name in chosen.values()) else None
    return None
