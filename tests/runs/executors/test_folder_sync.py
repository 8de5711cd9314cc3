"""A folder that changes is the same somewhere else after each look."""

import os
from pathlib import Path

import pytest

from lab.home import atomic_file
from lab.runs.executors import folder_sync
from lab.runs.executors.folder_sync import Change, FolderReader, FolderWriter


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    return tmp_path / "here"


def carry(reader: FolderReader, here: Path) -> list[Change]:
    """Carries what changed, and checks that both folders hold the same."""
    writer = FolderWriter(here.parent / "there")
    changes = list(reader.changes())
    for change in changes:
        writer.apply(change)
    assert content(here) == content(here.parent / "there")
    return changes


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def replace(file: Path, data: bytes) -> None:
    with atomic_file(file) as temporary:
        temporary.write_bytes(data)


def test_files_that_are_written_replaced_linked_and_deleted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_sync, "PIECE_BYTES", 100)
    reader = FolderReader(here)
    (here / "layers").mkdir()
    replace(here / "resume", b"a" * 250)
    replace(here / "empty", b"")
    (here / ".half-written").write_bytes(b"not yet")
    assert [c.is_last for c in carry(reader, here)] == [True, False, False, True]
    assert carry(reader, here) == []
    # As a resume state is saved: the old one keeps another name.
    os.link(here / "resume", here / "before")
    replace(here / "resume", b"b" * 90)
    assert [(c.name, c.same_as) for c in carry(reader, here)] == [
        ("before", "resume"),
        ("resume", ""),
    ]
    (here / "empty").unlink()
    assert [c.is_gone for c in carry(reader, here)] == [True]
    assert carry(reader, here) == []


def test_what_is_appended_is_sent_from_there(here: Path) -> None:
    reader = FolderReader(here)
    with (here / "samples").open("ab", buffering=0) as file:
        for data in (b"first", b"second", b"third"):
            file.write(data)
            assert [c.data for c in carry(reader, here)] == [data]
    # The same file with another beginning, as if the system had given its number away.
    (here / "samples").write_bytes(b"something else that is longer")
    assert [c.offset for c in carry(reader, here)] == [0]


def test_what_was_there_is_not_sent_again(here: Path) -> None:
    for folder in (here, here.parent / "there"):
        (folder / "samples").write_bytes(b"old")
    reader = FolderReader(here, keep=lambda name: name != "lock")
    reader.mark_sent()
    assert list(reader.changes()) == []
    with (here / "samples").open("ab") as file:
        file.write(b"new")
    assert [c.data for c in carry(reader, here)] == [b"oldnew"]


def test_a_file_of_which_a_part_came_is_dropped_and_others_are_refused(here: Path) -> None:
    writer = FolderWriter(here)
    writer.apply(Change("resume", b"a part", is_last=False))
    writer.close()
    assert list(here.iterdir()) == []
    with pytest.raises(ValueError, match="lies outside of the folder"):
        writer.apply(Change("../elsewhere", b"x"))
