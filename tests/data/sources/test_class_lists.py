"""Names for classes that are numbers."""

from __future__ import annotations

import pytest

from lab.data.sources.class_lists import names_for_numbers
from tests.data.sources.test_label_tables import FakeArchive

LISTS = {
    "classes.txt": b"cat\ndog\nfox\n",
    "class_names.csv": b"id,name\n0,cat\n1,dog\n2,fox\n",
    "label_map.json": b'{"cat": 0, "dog": 1, "fox": 2}',
    "label_num_to_disease_map.json": b'{"0": "cat", "1": "dog", "2": "fox"}',
    "cat_to_name.json": b'{"0": "cat", "1": "dog", "2": "fox"}',
    "labels.txt": b"0 cat\n1 dog\n2 fox\n",
}


@pytest.mark.parametrize("file", LISTS)
def test_names_are_found(file: str) -> None:
    names, where = names_for_numbers(FakeArchive({file: LISTS[file]}), ["0", "1", "2"], (), {})
    assert (names, where) == ({"0": "cat", "1": "dog", "2": "fox"}, file)


@pytest.mark.parametrize(
    ("file", "text", "numbers"),
    [
        ("labels.csv", b"a.jpg,0\nb.jpg,1\nc.jpg,0\nd.jpg,1\n", ["0", "1"]),  # pictures' labels
        ("readme.txt", b"cat\ndog\n", ["0", "1"]),
        ("classes.txt", b"cat\ncat\n", ["0", "1"]),
        ("classes.txt", b"cat\n", ["0", "1"]),
        ("classes.txt", b"cat\ndog\n", ["daisy", "rose"]),
    ],
)
def test_nothing_is_made_up(file: str, text: bytes, numbers: list[str]) -> None:
    assert names_for_numbers(FakeArchive({file: text}), numbers, (), {}) == ({}, "")
