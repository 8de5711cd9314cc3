"""How a machine of a cluster comes to its data set; Ray is not needed for that."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import __version__
from lab.data.catalog import open_pack
from lab.data.pack import Pack
from lab.errors import ConfigError, DataError
from lab.progress import Cancel, Cancelled, Progress, Report, check_cancel
from lab.runs.executors import ray_trainer
from lab.runs.executors.folder_sync import Change, FolderReader
from lab.runs.executors.ray_job import NO_MORE, Failed, Item, Job, PackFiles, Wish
from lab.runs.executors.ray_trainer import place_pack, train
from lab.training import devices
from lab.training.events import Event
from tests.runs.fakes import CONFIG
from tests.runs.test_writing import until
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


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """Of an engine that finds no compiler; its machine is this process."""
    monkeypatch.setenv("LAB_HOME", "set by the trainer")
    monkeypatch.setenv("LAB_NODE_HOME", str(tmp_path / "machine"))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))

    def engine(*_: object) -> Iterator[Event]:
        raise ConfigError("torch.compile needs a C++ compiler, which this machine does not have.")
        yield

    pack = PackFiles("tiny", "0123", tmp_path, 1)
    yield Job("r-1", CONFIG, "cpu", engine, tmp_path, False, pack, __version__)
    devices.train_on(devices.devices_here)


def items_of(job: Job, *wishes: Wish) -> list[Item]:
    """What the trainer sends."""
    wished = iter(wishes)
    batches = train(
        job,
        files=(),
        pack=nothing,
        wishes=lambda _: next(wished, Wish(NO_MORE, "run")),
        threads=1,
        host="127.0.0.1",
    )
    return [item for batch in batches for item in batch]


def test_an_error_that_only_this_machine_has_names_it(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_trainer, "place_pack", lambda *_, **__: None)
    (failed,) = (item for item in items_of(job) if isinstance(item, Failed))
    assert type(failed.error) is ConfigError
    assert str(failed.error).startswith(f"On the machine {socket.gethostname()}: torch.compile")


def test_fetching_a_data_set_is_told_and_ends_with_a_stop(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(*_: object, progress: Report, cancel: Cancel) -> None:
        progress(Progress(1, 2, "Fetching the data set", "bytes"))
        until(cancel)
        check_cancel(cancel, "Fetching the data set")

    monkeypatch.setattr(ray_trainer, "place_pack", place)
    items = items_of(job, Wish(1, "stop"))
    assert Progress(1, 2, "Fetching the data set", "bytes") in items
    (failed,) = (item for item in items if isinstance(item, Failed))
    assert isinstance(failed.error, Cancelled)


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
