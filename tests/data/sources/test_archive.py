"""A folder or a zip is read where it lies; what could do harm is left out or refused by name."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources import archive as archive_module
from lab.data.sources.archive import READ_ERRORS, open_archive
from lab.errors import DataError
from tests.data.pictures import write_folder, write_zip

FILES = {"a/10.jpg": b"ten", "a/2.jpg": b"two", "b/": b"", "c/d/deep.jpg": b"deep"}


def listed(path: Path) -> tuple[tuple[str, ...], frozenset[str], list[str]]:
    rejections = Rejections()
    with open_archive(path, rejections) as archive:
        return archive.files, archive.folders, [str(r) for r in rejections.listed]


def test_a_folder_and_a_zip_look_the_same(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    zipped = write_zip(tmp_path / "set.zip", FILES)
    assert listed(folder) == listed(zipped)
    files, folders, rejected = listed(folder)
    assert files == ("a/2.jpg", "a/10.jpg", "c/d/deep.jpg")
    assert folders == {"a", "b", "c", "c/d"}
    assert rejected == []
    for path in (folder, zipped):
        with open_archive(path, Rejections()) as archive:
            assert archive.read("a/10.jpg", limit=3) == b"ten"
            assert archive.sizes == {"a/2.jpg": 3, "a/10.jpg": 3, "c/d/deep.jpg": 4}
            with archive.open("c/d/deep.jpg") as file:
                assert file.read() == b"deep"
            with pytest.raises(UnreadableFile, match=r"a/10.jpg is larger than"):
                archive.read("a/10.jpg", limit=2)


def test_what_systems_leave_behind_is_not_seen(tmp_path: Path) -> None:
    left = {
        name: b"x"
        for name in (
            ".DS_Store",
            "a/.hidden.jpg",
            "__MACOSX/a/._1.jpg",
            "a/Thumbs.db",
            ".git/x.jpg",
        )
    }
    for path in (write_folder(tmp_path / "set", left), write_zip(tmp_path / "set.zip", left)):
        files, folders, rejected = listed(path)
        assert (files, rejected) == ((), [])
        assert folders <= {"a"}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path, "is not there"),
        (lambda path: path.write_text("label,pixel1\n"), "is not a zip file."),
        (lambda path: path.write_bytes(b""), "is not a zip file."),
        (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 100), "was it cut off?"),
    ],
)
def test_a_path_that_is_neither(tmp_path: Path, make: object, sentence: str) -> None:
    path = tmp_path / "set.zip"
    make(path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        listed(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_path_is_shown_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^there\.zip is not there"):
        listed(Path("there.zip"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"^~/there\.zip is not there"):
        listed(Path("~/there.zip"))


def test_entries_that_lead_out_are_left_out(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "set.zip",
        {
            "../../etc/passwd.jpg": b"x",
            "a/../../b.jpg": b"x",
            "/abs.jpg": b"x",
            "C:/windows.jpg": b"x",
            "a\\..\\..\\c.jpg": b"x",
            "d/" * 60 + "deep.jpg": b"x",
            "a/good.jpg": b"x",
        },
    )
    files, _, rejected = listed(path)
    assert files == ("a/good.jpg",)
    assert len(rejected) == 6
    assert sum("leads out of the zip" in reason for reason in rejected) == 3
    assert sum("absolute path" in reason for reason in rejected) == 2
    assert sum("folders deep" in reason for reason in rejected) == 1


def test_a_name_that_occurs_twice_counts_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped:
        zipped.writestr("a/1.jpg", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            zipped.writestr("a/1.jpg", b"second")
    rejections = Rejections()
    with open_archive(tmp_path / "set.zip", rejections) as archive:
        assert archive.read("a/1.jpg", limit=100) == b"first"
    assert [str(r) for r in rejections.listed] == [
        "a/1.jpg is in the zip twice; the first one is used"
    ]


def test_one_bomb_among_good_files_is_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a/bomb.jpg": bytes(20_000_000), "a/good.jpg": b"x"})
    files, _, rejected = listed(path)
    assert files == ("a/good.jpg",)
    assert "a/bomb.jpg would unfold to 20 MB" in rejected[0]


def test_a_zip_that_is_all_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "RATIO_MATTERS_FROM", 100_000)
    path = write_zip(tmp_path / "set.zip", {f"{i}.jpg": bytes(1_000_000) for i in range(3)})
    with pytest.raises(DataError, match=r"would unfold from 0\.0 MB to 3 MB.*zip bomb"):
        listed(path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_FILES", 3)
    files = {f"{i}.jpg": b"x" for i in range(4)}
    with pytest.raises(DataError, match="at most 3 are read"):
        listed(write_zip(tmp_path / "set.zip", files))
    with pytest.raises(DataError, match="more than 3 files"):
        listed(write_folder(tmp_path / "set", files))


def test_a_locked_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a/1.jpg": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption in the directory
    path.write_bytes(data)
    with pytest.raises(DataError, match="locked with a password"):
        listed(path)


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as zipped:  # stored, so that the damage meets the checksum
        zipped.writestr("a/1.jpg", b"y" * 1000)
        zipped.writestr("a/2.jpg", b"z" * 1000)
    data = bytearray(path.read_bytes())
    data[data.index(b"yyyy") + 500] = 0
    path.write_bytes(data)
    with open_archive(path, Rejections()) as archive:
        assert archive.read("a/2.jpg", limit=5000) == b"z" * 1000
        with pytest.raises(UnreadableFile, match=r"a/1\.jpg is damaged inside the zip"):
            archive.read("a/1.jpg", limit=5000)
        with archive.open("a/1.jpg") as file, pytest.raises(READ_ERRORS):
            file.read()


def test_names_in_other_scripts_are_spelled_one_way(tmp_path: Path) -> None:
    name = "고양이/é.jpg"
    path = write_zip(tmp_path / "set.zip", {unicodedata.normalize("NFD", name): b"x"})
    assert listed(path)[0] == (name,)
    assert listed(write_folder(tmp_path / "set", {unicodedata.normalize("NFD", name): b"x"}))[
        0
    ] == (name,)
    data = bytearray(path.read_bytes())  # as tools write that forget the mark for UTF-8
    data[data.index(b"PK\x01\x02") + 9] &= ~0x08
    data[data.index(b"PK\x03\x04") + 7] &= ~0x08
    path.write_bytes(data)
    with open_archive(path, Rejections()) as archive:
        assert archive.read(name, limit=10) == b"x"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes as Unix has them")
def test_links_are_followed_once_and_pipes_never(tmp_path: Path) -> None:
    elsewhere = write_folder(tmp_path / "elsewhere", {"1.jpg": b"linked"})
    folder = write_folder(tmp_path / "set", {"a/1.jpg": b"x"})
    (folder / "b").symlink_to(elsewhere)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "broken.jpg").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "a" / "pipe.jpg")
    assert listed(folder)[0] == ("a/1.jpg", "b/1.jpg")


@pytest.mark.skipif(os.name == "nt", reason="such names cannot exist there")
def test_odd_names_can_be_shown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a/line\nbreak.jpg": b"x"})
    os.makedirs(os.path.join(os.fsencode(folder), b"\xff"))
    with open(os.path.join(os.fsencode(folder), b"\xff", b"\xfe.jpg"), "wb") as file:
        file.write(b"y")
    with open_archive(folder, Rejections()) as archive:
        assert len(archive.files) == 2
        for name in archive.files:
            assert name.isprintable()
            name.encode("utf-8")
            archive.read(name, limit=10)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a/1.jpg": b"x"})
    (folder / "a" / "1.jpg").chmod(0)
    with (
        open_archive(folder, Rejections()) as archive,
        pytest.raises(UnreadableFile, match=r"a/1\.jpg cannot be read \(Permission denied\)"),
    ):
        archive.read("a/1.jpg", limit=10)
