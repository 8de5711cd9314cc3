"""A data set that is too large to be sent goes by an address; Ray is not needed for that."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lab.data.catalog import open_pack
from lab.data.pack import Pack
from lab.errors import ConfigError, DataError, DiskFullError, ResourceError
from lab.progress import Cancelled, Progress
from lab.runs.executors import pack_store
from lab.runs.executors.pack_store import packs_url, put_pack
from lab.runs.executors.ray_job import PackFiles
from lab.runs.executors.ray_trainer import place_pack
from tests.tiny_data import make_tiny_pack

To = Callable[[str], None]


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> To:
    """move(name): from here on the test is the machine of that name."""
    return lambda name: monkeypatch.setenv("LAB_HOME", str(tmp_path / name))


@pytest.fixture
def of_server(move: To) -> Pack:
    move("server")
    return open_pack(make_tiny_pack())


@pytest.fixture(params=["file", "memory"])
def files(of_server: Pack, tmp_path: Path, request: pytest.FixtureRequest) -> PackFiles:
    """The server's pack, with an address; its folder is one that no machine sees."""
    url = (tmp_path / "bucket").as_uri() if request.param == "file" else "memory://bucket/lab"
    MemoryFileSystem.store.clear()
    assert of_server.folder is not None
    meta = of_server.meta
    return PackFiles(meta.dataset, meta.content_hash, of_server.folder, 40_000, url)


def stored(files: PackFiles) -> dict[str, bytes]:
    """Returns what lies at the address, by path."""
    system, folder = pack_store._open(files.url)
    return {path: system.cat_file(path) for path in system.find(folder)}


def fetch(files: PackFiles, **options: Any) -> None:
    def pieces() -> Any:
        return iter(())

    place_pack(files, pieces, **options)


def test_it_is_stored_once_and_fetched_once_a_machine(
    files: PackFiles, of_server: Pack, move: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_store, "PIECE_BYTES", 1000)
    told: list[Progress] = []
    put_pack(files, progress=told.append)
    assert (told[-1].text, told[-1].unit) == ("Storing the data set for the machines", "bytes")
    first = stored(files)
    put_pack(files)
    assert stored(files) == first
    told.clear()
    move("machine")
    fetch(files, progress=told.append)
    assert (told[-1].text, told[-1].fraction) == ("Fetching the data set", 1.0)
    pack = open_pack(files.dataset, version=files.content_hash)
    assert pack.meta == of_server.meta
    assert (pack.images == of_server.images).all()
    pack_store._open(files.url)[0].rm(pack_store._open(files.url)[1], recursive=True)
    fetch(files)  # it is there


class Network:
    """Between the test and its address: `breaks` are the errors of the next pieces, None of one
    that goes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.breaks: list[Exception | None] = []
        self.opened = 0
        open_address = pack_store._open
        monkeypatch.setattr(pack_store, "WAITS", (0.01, 0.01, 0.01))
        monkeypatch.setattr(pack_store, "PIECE_BYTES", 1000)
        monkeypatch.setattr(pack_store, "throttled", lambda report: report)
        monkeypatch.setattr(
            pack_store, "_open", lambda *parts: (self, self._behind(*open_address(*parts)))
        )

    def _behind(self, system: Any, path: str) -> str:
        self._system = system
        return path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def open(self, path: str, mode: str) -> Any:
        self.opened += 1
        file = self._system.open(path, mode)
        for name in ("read", "write"):
            setattr(file, name, self._breaking(getattr(file, name)))
        return file

    def _breaking(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def works(*args: Any) -> Any:
            if self.breaks and (error := self.breaks.pop(0)) is not None:
                raise error
            return work(*args)

        return works


class Answer(Exception):
    """As libraries raise what a server of theirs answers."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answer {status}")
        self.status = status


@pytest.mark.parametrize("files", ["file"], indirect=True)
def test_a_break_of_the_network_is_told_and_tried_again(
    files: PackFiles, of_server: Pack, move: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(monkeypatch)
    told: list[Progress] = []
    gone, slow = ConnectionResetError("the network is gone"), Answer(503)
    network.breaks = [None, None, gone, slow, None, slow]
    put_pack(files, progress=told.append)
    text = "Storing the data set for the machines: trying again in 1 s ("
    assert text + "ConnectionResetError: the network is gone)" in [each.text for each in told]
    told.clear()
    move("machine")
    broken = [gone, gone, gone, None]  # as often as it is tried; each piece starts anew
    network.breaks, network.opened = [*broken, *broken, *broken], 0
    fetch(files, progress=told.append)
    text = "Fetching the data set: trying again in 1 s (ConnectionResetError: the network is gone)"
    assert (text in [each.text for each in told], told[-1].fraction) == (True, 1.0)
    assert network.opened == 9 + len(list(Path(of_server.folder or "").iterdir()))
    assert (open_pack(files.dataset).images == of_server.images).all()


@pytest.mark.parametrize("files", ["file"], indirect=True)
@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ConnectionResetError("gone"), 4),
        (Answer(429), 4),
        (Answer(403), 1),
        (PermissionError("refused"), 1),
    ],
)
def test_a_break_that_stays_and_a_refusal_are_one_sentence(
    files: PackFiles, move: To, error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pack(files)
    network = Network(monkeypatch)
    move("machine")
    network.breaks = [error] * 10
    with pytest.raises(ResourceError, match=rf"could not be fetched .*\({type(error).__name__}: "):
        fetch(files)
    assert network.opened == tries


@pytest.mark.parametrize("files", ["file"], indirect=True)
def test_a_wait_for_the_network_can_be_cancelled(
    files: PackFiles, move: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pack(files)
    network = Network(monkeypatch)
    monkeypatch.setattr(pack_store, "WAITS", (60.0,))
    move("machine")
    network.breaks = [ConnectionResetError("gone")]
    with pytest.raises(Cancelled, match="Fetching the data set was cancelled"):
        fetch(files, cancel=lambda: not network.breaks)


def test_an_upload_that_breaks_off_counts_for_nothing(
    files: PackFiles, move: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_store, "PIECE_BYTES", 1000)
    asked = iter([False] * 5)
    with pytest.raises(Cancelled):
        put_pack(files, cancel=lambda: next(asked, True))
    assert stored(files) == {}
    # A process that is killed does not tidy up: files without a pack.json are no pack.
    system, folder = pack_store._open(files.url, files.content_hash, "killed")
    system.makedirs(folder, exist_ok=True)
    system.pipe_file(f"{folder}/meta.json", b"{}")
    move("machine")
    with pytest.raises(DataError, match="is not at the address of LAB_PACKS_URL any more: resume"):
        fetch(files)
    move("server")
    put_pack(files)
    move("machine")
    fetch(files)
    assert open_pack(files.dataset).meta.content_hash == files.content_hash


def test_of_two_servers_that_upload_one_pack_one_keeps_it(files: PackFiles, move: To) -> None:
    others = iter([put_pack])

    def other_server() -> bool:
        for put in others:
            move("another server")
            put(files)
            move("server")
        return False

    put_pack(files, cancel=other_server)
    assert list(others) == []
    folders = {Path(path).parent.name for path in stored(files) if not path.endswith("pack.json")}
    assert len(folders) == 1


def test_what_is_not_what_was_stored_is_refused(files: PackFiles, move: To, tmp_path: Path) -> None:
    put_pack(files)
    system, _ = pack_store._open(files.url)
    path = next(path for path in stored(files) if path.endswith("images.npy"))
    content = system.cat_file(path)
    move("machine")
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        system.pipe_file(path, damaged)
        with pytest.raises(DataError, match=r"is damaged at .*images.npy.*Delete \w+ there"):
            fetch(files)
        assert not (tmp_path / "machine" / "packs" / files.dataset).exists()
    system.rm_file(path)
    with pytest.raises(ResourceError, match=r"could not be fetched .*\(FileNotFoundError"):
        fetch(files)


def test_a_list_that_leads_out_of_the_folder_is_none(files: PackFiles, move: To) -> None:
    put_pack(files)
    system, folder = pack_store._open(files.url, files.content_hash)
    listed = json.loads(system.cat_file(f"{folder}/pack.json"))
    evil = {"folder": listed["folder"], "files": {"../../evil": [1, "0"]}}
    system.pipe_file(f"{folder}/pack.json", json.dumps(evil).encode())
    assert pack_store._listing(system, folder) is None


def test_fetching_can_be_cancelled(files: PackFiles, move: To, tmp_path: Path) -> None:
    put_pack(files)
    move("machine")
    with pytest.raises(Cancelled, match="Fetching the data set was cancelled"):
        fetch(files, cancel=lambda: True)
    packs = tmp_path / "machine" / "packs"
    assert list(packs.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_of_the_machine_is_that(
    files: PackFiles, move: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pack(files)
    move("machine")
    path_open = Path.open

    def full(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        return path_open(Path("/dev/full") if mode == "wb" else path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DiskFullError, match="The disk is full"):
        fetch(files)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/mnt/lab", "does not begin with one such as file://"),
        ("nowhere://x", "Protocol not known: nowhere"),
        ("s3://bucket/lab", "Install s3fs"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    url: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setenv("LAB_PACKS_URL", url)
    with pytest.raises(ConfigError, match=f"LAB_PACKS_URL is no address .*{why}"):
        packs_url()
    monkeypatch.setenv("LAB_PACKS_URL", " file:///mnt/lab ")
    assert packs_url() == "file:///mnt/lab"
