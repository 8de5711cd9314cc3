"""A folder or a zip is read where it lies; what could do harm is left out or refused by name."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from inflate64 import Deflater

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources import archive as archive_module
from lab.data.sources.archive import READ_ERRORS, open_archive
from lab.errors import DataError
from tests.data.pictures import jpeg, write_folder, write_zip

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


# --- names without a mark ------------------------------------------------------------


def raw_zip(path: Path, files: dict[bytes, bytes], *, flags: int = 0, extra: bytes = b"") -> Path:
    """A zip with these very bytes as names, as programs without Unicode write it."""
    body, directory = b"", b""
    for name, data in files.items():
        crc, size = zlib.crc32(data), len(data)
        common = struct.pack("<HHHHHIIIHH", 20, flags, 0, 0, 33, crc, size, size, len(name), 0)
        entry = struct.pack(
            "<HHHHHIIIHH", *(20, flags, 0, 0, 33, crc, size, size, len(name), len(extra))
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + entry
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name + extra
        body += b"PK\x03\x04" + common + name + data
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


@pytest.mark.parametrize(
    ("page", "classes"),
    [
        ("cp949", ("고양이", "강아지")),
        ("cp932", ("猫", "犬", "表")),
        ("gbk", ("猫", "狗")),
        ("cp950", ("貓", "狗")),
        ("cp850", ("Löwe", "Bär")),
        ("cp866", ("кошка", "собака")),
        ("utf-8", ("고양이", "강아지")),
    ],
)
def test_names_of_other_windows_are_read(tmp_path: Path, page: str, classes: tuple[str]) -> None:
    names = [f"{name}/{i}.jpg" for name in classes for i in range(3)]
    path = raw_zip(tmp_path / "set.zip", {name.encode(page): b"x" for name in names})
    with open_archive(path, Rejections()) as archive:
        assert sorted(archive.files) == sorted(names)
        assert archive.questions == ()
        assert all(archive.read(name, limit=9) == b"x" for name in names)


def test_names_that_may_be_two_scripts_are_asked_about(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "set.zip", {"말/1.jpg".encode("cp949"): b"x"})
    with open_archive(path, Rejections()) as archive:
        [asked] = archive.questions
        assert asked.key == "names"
    assert dict(asked.choices).keys() >= {"cp949", "gbk"}
    with open_archive(path, Rejections(), {"names": "gbk"}) as archive:
        assert archive.files == ("富/1.jpg",)


def test_the_unicode_name_beside_the_old_one_counts(tmp_path: Path) -> None:
    old, name = b"???\x81/1.jpg", "고양이/1.jpg"
    value = b"\x01" + struct.pack("<I", zlib.crc32(old)) + name.encode()
    extra = struct.pack("<HH", 0x7075, len(value)) + value
    path = raw_zip(tmp_path / "set.zip", {old: b"x"}, extra=extra)
    with open_archive(path, Rejections()) as archive:
        assert archive.files == (name,)


def test_names_that_are_not_the_utf8_they_claim_refuse_the_zip(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "set.zip", {b"\xb0\xed/1.jpg": b"x"}, flags=0x800)
    with pytest.raises(DataError, match="says that its names are UTF-8, and they are not"):
        listed(path)


@pytest.mark.skipif(os.name == "nt", reason="such names cannot exist there")
def test_a_folder_that_was_unpacked_with_its_old_names(tmp_path: Path) -> None:
    for name in ("고양이/1.jpg", "강아지/1.jpg"):
        path = os.path.join(os.fsencode(tmp_path), b"set", name.encode("cp949"))
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"x")
    with open_archive(tmp_path / "set", Rejections()) as archive:
        assert archive.files == ("강아지/1.jpg", "고양이/1.jpg")
        assert archive.read("고양이/1.jpg", limit=9) == b"x"
        assert archive.notes[0].startswith("The names were read as Korean (cp949)")


def test_names_that_become_one_both_stay(tmp_path: Path) -> None:
    names = ["a/é.jpg", unicodedata.normalize("NFD", "a/é.jpg")]
    files = {name: name.encode() for name in names}
    for path in (write_folder(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        with open_archive(path, Rejections()) as archive:
            assert set(archive.files) == {"a/é.jpg", "a/é (2).jpg"}
            assert {archive.read(name, limit=99) for name in archive.files} == set(files.values())


def test_endless_names_are_left_out(tmp_path: Path) -> None:
    files, _, rejected = listed(
        write_zip(tmp_path / "set.zip", {"9" * 5000 + "/1.jpg": b"x", "a/1.jpg": b"x"})
    )
    assert files == ("a/1.jpg",)
    assert "has a name of more than 255 characters" in rejected[0]


# --- other ways of packing ------------------------------------------------------------


def with_method(path: Path, method: int, data: bytes, size: int, crc: int) -> Path:
    """A zip with one entry a/1.jpg of these packed bytes."""
    sizes = struct.pack("<IIIHH", crc, len(data), size, 7, 0)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 21, 0, method, 0, 33) + sizes + b"a/1.jpg"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 21, 21, 0, method, 0, 33) + sizes
    entry += struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"a/1.jpg"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    path.write_bytes(local + data + entry + b"PK\x05\x06" + end)
    return path


def test_deflate64_is_read_and_checked(tmp_path: Path) -> None:
    plain = bytes(range(256)) * 300
    deflater = Deflater()
    packed = deflater.deflate(plain) + deflater.flush()
    path = with_method(tmp_path / "set.zip", 9, packed, len(plain), zlib.crc32(plain))
    with open_archive(path, Rejections()) as archive:
        assert archive.read("a/1.jpg", limit=len(plain)) == plain
    for damaged in (
        with_method(tmp_path / "crc.zip", 9, packed, len(plain), 1),
        with_method(tmp_path / "cut.zip", 9, packed[: len(packed) // 2], len(plain), 1),
        with_method(tmp_path / "noise.zip", 9, b"\xff" * 200, len(plain), 1),
    ):
        with (
            open_archive(damaged, Rejections()) as archive,
            pytest.raises(UnreadableFile, match="is damaged inside the zip"),
        ):
            archive.read("a/1.jpg", limit=len(plain))


def test_a_method_that_is_not_read_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"packed with PPMd \(method 98 of zips\).*Unpack it"):
        listed(with_method(tmp_path / "set.zip", 98, b"x", 1, 1))


def test_a_damaged_lzma_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a/1.jpg", os.urandom(2000))
    data = bytearray(path.read_bytes())
    data[100:400] = b"\xff" * 300
    path.write_bytes(data)
    with (
        open_archive(path, Rejections()) as archive,
        pytest.raises(UnreadableFile, match="is damaged inside the zip"),
    ):
        archive.read("a/1.jpg", limit=5000)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "set.tar.any"
    with tarfile.open(path, mode) as tar:
        for name in ("./set/a/1.jpg", "set/b/2.jpg", "../out.jpg", "set/.hidden"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("set/a/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    rejections = Rejections()
    with open_archive(path, rejections) as archive:
        assert archive.files == ("set/a/1.jpg", "set/b/2.jpg")
        assert archive.read("set/b/2.jpg", limit=99) == b"set/b/2.jpg"
        assert archive.read("set/a/1.jpg", limit=99) == b"./set/a/1.jpg"
    assert len(rejections.listed) == 2


def test_a_tar_that_is_a_bomb_or_breaks_off_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "set.tgz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("a/1.jpg")
        member.size = 3_000_000
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    (tmp_path / "cut.tgz").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is a damaged tar"):
        listed(tmp_path / "cut.tgz")
    monkeypatch.setattr(archive_module, "RATIO_MATTERS_FROM", 50_000)
    with pytest.raises(DataError, match="looks like a bomb"):
        listed(path)


def test_a_zip_for_each_class_is_read_as_folders(tmp_path: Path) -> None:
    zips = {
        f"{name}.zip": write_zip(
            tmp_path / "x.zip", {"1.jpg": jpeg(i), "2.jpg": jpeg(9)}
        ).read_bytes()
        for i, name in enumerate(("cats", "dogs"))
    }
    zips["broken.zip"] = b"PK\x03\x04 and no more"
    for path in (write_folder(tmp_path / "set", zips), write_zip(tmp_path / "set.zip", zips)):
        files, folders, rejected = listed(path)
        assert files == ("broken.zip", "cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/2.jpg")
        assert folders >= {"cats", "dogs"}
        assert rejected == ["broken.zip is not a zip, or its end is missing"]
        with open_archive(path, Rejections()) as archive:
            assert archive.read("dogs/1.jpg", limit=10**6) == jpeg(1)


def test_a_zip_beside_pictures_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a/1.jpg": b"x", "more.zip": b"x"})
    _, _, rejected = listed(folder)
    assert rejected == [
        "more.zip is a zip beside pictures and is not opened; unpack it if it belongs here"
    ]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("set.7z", b"7z\xbc\xaf\x27\x1c...", "is a 7z archive, which is not read here. Unpack it"),
        ("set.rar", b"Rar!\x1a\x07\x00", "is a RAR archive, which is not read here. Unpack it"),
        (
            "labels.csv",
            b"path,label\n",
            "is a table, not a zip file. Give the folder that holds it",
        ),
        ("cat.jpg", b"x", "is a single picture, not a zip file. Give the folder"),
    ],
)
def test_other_files_say_what_they_are(
    tmp_path: Path, name: str, data: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        listed(tmp_path / name)
    assert sentence in str(caught.value)
