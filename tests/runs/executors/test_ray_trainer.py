"""How a machine of a cluster comes to its data set; Ray is not needed for that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.data.catalog import open_pack
from lab.data.pack import Pack
from lab.errors import DataError
from lab.runs.executors.folder_sync import Change, FolderReader
from lab.runs.executors.ray_job import PackFiles
from lab.runs.executors.ray_trainer import place_pack
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def of_server(lab_home: Path) -> Pack:
    return open_pack(make_tiny_pack())


@pytest.fixture
def files(of_server: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackFiles:
    """The server's; from here on the test is another machine."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "machine"))
    assert of_server.folder is not None
    meta = of_server.meta
    return PackFiles(meta.dataset, meta.content_hash, of_server.folder, size_bytes=1000)


def nothing() -> Iterator[Change]:
    return iter(())


def test_a_data_set_comes_once(files: PackFiles, of_server: Pack) -> None:
    place_pack(files, lambda: FolderReader(files.folder).changes())
    pack = open_pack(files.dataset, version=files.content_hash)
    assert pack.meta == of_server.meta
    assert (pack.images == of_server.images).all()

    def again() -> Iterator[Change]:
        raise AssertionError("it is there")

    place_pack(files, again)


def test_one_that_is_not_sent_is_read_from_a_shared_disk(files: PackFiles) -> None:
    place_pack(files, nothing)
    assert open_pack(files.dataset).meta.content_hash == files.content_hash


def test_without_a_shared_disk_that_is_one_sentence(files: PackFiles, tmp_path: Path) -> None:
    elsewhere = PackFiles(files.dataset, files.content_hash, tmp_path / "not-here", 2_000_000_000)
    with pytest.raises(DataError, match=r"above 1 GB it is not sent.*LAB_PACKS_URL"):
        place_pack(elsewhere, nothing)
    assert not (tmp_path / "machine" / "packs" / files.dataset).exists()
