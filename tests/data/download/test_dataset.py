"""The offers, end to end: a local server, no network, no decoding."""

from __future__ import annotations

import base64
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lab import jobs
from lab.data import catalog
from lab.data.download.dataset import download_dataset
from lab.data.download.offers import OFFERS, Needed, Offer
from lab.download.fetch import Patience
from lab.errors import DataError, NotFoundError, ResourceError
from lab.progress import Cancelled, Progress
from tests.download.scripted_server import (
    Answer,
    ScriptedServer,
    a_zip,
    scripted_server,
    serve,
    status,
)

QUICK = Patience(connect_seconds=1.0, read_seconds=0.3, attempts=2, backoff_seconds=0.01)


def pictures(*folders: str, each: int = 2) -> dict[str, bytes]:
    return {f"{f}/{n}.jpg": os.urandom(20_000) for f in folders for n in range(each)}


FILTERED = a_zip(
    pictures(
        *(
            f"cats_and_dogs_filtered/{s}/{c}"
            for s in ("train", "validation")
            for c in ("cats", "dogs")
        )
    )
)
SIGNS = a_zip(
    {
        "sign_mnist_train.csv": os.urandom(3_000_000),
        "sign_mnist_train/sign_mnist_train.csv": b"label,pixel1\n",
        "sign_mnist_test.csv": b"label,pixel1\n",
        "amer_sign2.png": b"a picture",
    }
)
CATS = a_zip(
    {
        **pictures(
            *(f"{s}/{s}/{c}" for s in ("training_set", "test_set") for c in ("cats", "dogs"))
        ),
        "training_set/training_set/cats/_DS_Store": b"",
    }
)


@pytest.fixture(autouse=True)
def home(lab_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LAB_HOME; nobody's Kaggle account and no proxy."""
    for name in list(os.environ):
        if name.startswith("KAGGLE") or name.casefold().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    return lab_home


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@dataclasses.dataclass
class Imported:
    name: str
    files: list[str]
    title: str | None


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[Imported]:
    """What was given to the catalog, instead of decoding it."""
    calls: list[Imported] = []

    def add_dataset(name: str, path: Path, *, title: str | None = None, **_: object) -> str:
        files = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        calls.append(Imported(name, sorted(files) or [path.name], title))
        return f"report on {name}"

    monkeypatch.setattr(catalog, "add_dataset", add_dataset)
    return calls


def offer(monkeypatch: pytest.MonkeyPatch, offer_id: str, **changes: Any) -> Offer:
    """The offer with its numbers cut down to the test's few files."""
    real = OFFERS.get(offer_id)
    few = tuple(
        Needed(needed.name, tuple((name, 2) for name, _ in needed.classes)) for needed in real.needs
    )
    changes = {"needs": few, **changes}
    small = dataclasses.replace(real, **changes)
    monkeypatch.setitem(OFFERS._entries, offer_id, small)
    return small


def left(home: Path) -> list[str]:
    downloads = home / "downloads"
    return sorted(p.relative_to(downloads).as_posix() for p in downloads.rglob("*") if p.is_file())


# --- the offers ---------------------------------------------------------------------------------


def test_the_offers_are_whole() -> None:
    assert OFFERS.names() == ("sign-mnist", "cats-dogs", "cats-dogs-filtered")
    for one in OFFERS:
        assert one.url.startswith("https://")
        assert one.page.startswith("https://")
        assert one.licence
        assert one.title
        assert one.size_bytes > 60_000_000
        assert one.needs
    with pytest.raises(NotFoundError, match="Did you mean 'sign-mnist'"):
        download_dataset("sign-mnst")


def test_needed_finds_the_folder_wherever_it_lies() -> None:
    needed = Needed("train", (("cats", 2), ("dogs", 1)))
    files = ["a/b/train/cats/1.jpg", "a/b/train/cats/2.JPG", "a/b/train/dogs/1.png"]
    assert needed.missing_from(files) == ""
    assert needed.missing_from([*files[1:], "other/train/cats/1.jpg"]) == (
        "there is no folder train with at least 2 images in cats/ and 1 images in dogs/"
    )
    assert Needed("x.csv").missing_from(["deep/x.csv"]) == ""
    assert Needed("x.csv").missing_from(["x.csv.txt"]) == "there is no file x.csv"


# --- over HTTPS ---------------------------------------------------------------------------------


@pytest.fixture
def filtered(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> Callable[..., Offer]:
    def script(*answers: Answer, **changes: Any) -> Offer:
        url = server.on("/cats_and_dogs_filtered.zip", *answers)
        changes = {"expected_bytes": len(FILTERED), **changes}
        return offer(monkeypatch, "cats-dogs-filtered", url=url, **changes)

    return script


def test_a_zip_is_fetched_imported_and_thrown_away(
    home: Path, filtered: Callable[..., Offer], imported: list[Imported]
) -> None:
    filtered(serve(FILTERED))
    seen: list[Progress] = []
    report = download_dataset("cats-dogs-filtered", progress=seen.append)
    assert report == "report on cats-dogs-filtered"
    assert imported == [
        Imported("cats-dogs-filtered", ["cats-dogs-filtered.zip"], "Cats and dogs, filtered")
    ]
    assert left(home) == []
    assert (
        Progress(len(FILTERED), len(FILTERED), "Downloading Cats and dogs, filtered", "bytes")
        in seen
    )


def test_a_cancelled_download_goes_on(
    home: Path, filtered: Callable[..., Offer], imported: list[Imported], server: ScriptedServer
) -> None:
    filtered(serve(FILTERED, stall_after=100_000), serve(FILTERED, stall_after=0), serve(FILTERED))
    for _ in range(2):
        pressed = threading.Event()
        threading.Timer(0.3, pressed.set).start()
        with pytest.raises(Cancelled, match=r"bytes are kept: press Download again"):
            download_dataset("cats-dogs-filtered", cancel=pressed.is_set)
        assert left(home)[0] == "cats-dogs-filtered.zip.part"
    assert imported == []
    download_dataset("cats-dogs-filtered")
    assert [bool(wanted) for wanted in server.ranges()] == [False, True, True]
    assert len(imported) == 1
    assert left(home) == []


def test_another_layout_is_thrown_away(
    home: Path, filtered: Callable[..., Offer], imported: list[Imported]
) -> None:
    other = a_zip(pictures("birds/train/cats", "birds/train/dogs"))
    filtered(serve(other), expected_bytes=len(other))
    with pytest.raises(DataError) as caught:
        download_dataset("cats-dogs-filtered")
    assert str(caught.value).startswith(
        "What arrived is not laid out as Cats and dogs, filtered should be: there is no folder "
        "validation with at least 2 images in cats/ and 2 images in dogs/ (4 files in all). It was "
        "thrown away"
    )
    assert left(home) == []
    assert imported == []


def test_an_import_that_is_cancelled_or_out_of_disk_keeps_the_download(
    home: Path,
    filtered: Callable[..., Offer],
    imported: list[Imported],
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filtered(serve(FILTERED))
    working = catalog.add_dataset
    for error in (Cancelled("nothing was kept"), ResourceError("The disk is full.")):

        def failing(*args: object, error: Exception = error, **options: object) -> None:
            raise error

        monkeypatch.setattr(catalog, "add_dataset", failing)
        with pytest.raises(type(error)) as caught:
            download_dataset("cats-dogs-filtered")
        assert left(home) == ["cats-dogs-filtered.zip"]
        if isinstance(error, Cancelled):
            assert "The download is kept" in str(caught.value)
    monkeypatch.setattr(catalog, "add_dataset", working)
    download_dataset("cats-dogs-filtered")
    assert len(server.requests) == 1  # fetched once, imported at the third try
    assert left(home) == []


def test_an_import_that_finds_nothing_usable_throws_the_download_away(
    home: Path, filtered: Callable[..., Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered(serve(FILTERED))  # random bytes called .jpg: the real import refuses them
    with pytest.raises(DataError):
        download_dataset("cats-dogs-filtered")
    assert left(home) == []
    assert not (home / "packs" / "cats-dogs-filtered").exists()


def test_a_second_download_is_refused_at_once(
    home: Path, filtered: Callable[..., Offer], server: ScriptedServer
) -> None:
    filtered(serve(FILTERED))
    with (
        FileLock(home / "locks" / "download-cats-dogs-filtered.lock"),
        pytest.raises(ResourceError, match="is already being downloaded"),
    ):
        download_dataset("cats-dogs-filtered")
    assert server.requests == []


def test_as_a_background_job(filtered: Callable[..., Offer], imported: list[Imported]) -> None:
    filtered(serve(FILTERED))
    job = jobs.start(
        "download",
        "Downloading cats and dogs",
        lambda report, cancel: download_dataset(
            "cats-dogs-filtered", progress=report, cancel=cancel
        ),
        key="download:cats-dogs-filtered",
    )
    end = time.monotonic() + 5
    while (view := jobs.get(job.id)) is not None and view.active and time.monotonic() < end:
        time.sleep(0.01)
    assert view is not None
    assert (view.state, view.message) == ("done", "")
    assert view.result == "report on cats-dogs-filtered"


# --- from Kaggle --------------------------------------------------------------------------------


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> ScriptedServer:
    """Kaggle, played by the local server: its public address leads to a storage with the zip."""
    for offer_id in ("sign-mnist", "cats-dogs"):
        url = server.on(f"/{offer_id}", status(302, Location="/storage/archive.zip"))
        offer(monkeypatch, offer_id, url=url)
    return server


def test_kaggles_sets_have_their_public_addresses() -> None:
    on_kaggle = {one.id: one.url for one in OFFERS if one.is_on_kaggle}
    address = "https://www.kaggle.com/api/v1/datasets/download/"
    assert on_kaggle == {
        "sign-mnist": address + "datamunge/sign-language-mnist",
        "cats-dogs": address + "tongpython/cat-and-dog",
    }


@pytest.mark.parametrize(
    ("offer_id", "content"), [("sign-mnist", SIGNS), ("cats-dogs", CATS)], ids=["signs", "cats"]
)
def test_kaggle_brings_a_zip(
    home: Path,
    kaggle: ScriptedServer,
    imported: list[Imported],
    offer_id: str,
    content: bytes,
) -> None:
    kaggle.on("/storage/archive.zip", serve(content))
    seen: list[Progress] = []
    assert download_dataset(offer_id, progress=seen.append) == f"report on {offer_id}"
    title = OFFERS.get(offer_id).title
    assert imported == [Imported(offer_id, [f"{offer_id}.zip"], title)]
    assert Progress(len(content), len(content), f"Downloading {title}", "bytes") in seen
    assert left(home) == []
    assert "authorization" not in kaggle.requests[0].headers


def test_kaggle_is_cancelled_at_once_and_goes_on(
    home: Path, kaggle: ScriptedServer, imported: list[Imported]
) -> None:
    kaggle.on("/storage/archive.zip", serve(SIGNS, stall_after=2_200_000), serve(SIGNS))
    pressed = threading.Event()
    threading.Timer(0.7, pressed.set).start()  # by then the server is silent
    with pytest.raises(Cancelled) as caught:
        download_dataset("sign-mnist", cancel=pressed.is_set)
    size = (home / "downloads" / "sign-mnist.zip.part").stat().st_size
    assert size > 2_000_000
    assert str(caught.value) == (
        f"The download of Sign-Language MNIST was cancelled. {size:,} of {len(SIGNS):,} bytes are "
        "kept: press Download again to go on from there."
    )
    assert left(home) == ["sign-mnist.zip.part", "sign-mnist.zip.part.json"]
    assert imported == []

    download_dataset("sign-mnist")
    # Asked at Kaggle's own address again: the storage's is signed for a short time only.
    assert [request.path for request in kaggle.requests] == [
        "/sign-mnist",
        "/storage/archive.zip",
    ] * 2
    assert kaggle.ranges()[-1] == f"bytes={size}-"
    assert [one.name for one in imported] == ["sign-mnist"]
    assert left(home) == []


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            status(404),
            "127.0.0.1 does not have Sign-Language MNIST any more (HTTP 404 Not Found): it was not "
            "downloaded. Or download it in a browser from "
            "https://www.kaggle.com/datasets/datamunge/sign-language-mnist",
        ),
        (
            status(403),
            "127.0.0.1 refuses to hand out Sign-Language MNIST without an account or permission "
            "(HTTP 403 Forbidden): it was not downloaded. Or download it in a browser from",
        ),
        (
            serve(b"<html><title>Login | Kaggle</title></html>", kind="text/html"),
            "A web page ('Login | Kaggle') arrived from 127.0.0.1 instead of Sign-Language MNIST",
        ),
        (
            serve(SIGNS[:100] + b"junk" + SIGNS[104:]),
            "What arrived from 127.0.0.1 as Sign-Language MNIST is a damaged zip file (Bad CRC-32",
        ),
    ],
)
def test_what_kaggle_refuses_is_one_sentence(
    home: Path, kaggle: ScriptedServer, answer: Answer, sentence: str
) -> None:
    kaggle.on("/storage/archive.zip", answer)
    with pytest.raises(DataError) as caught:
        download_dataset("sign-mnist", patience=QUICK)
    assert str(caught.value).startswith(sentence)
    assert left(home) == []


def test_a_kaggle_account_is_used_where_there_is_one(
    kaggle: ScriptedServer,
    imported: list[Imported],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    kaggle.on("/storage/archive.zip", serve(SIGNS))

    def authorization() -> str:
        download_dataset("sign-mnist")
        return kaggle.requests[-2].headers["authorization"]

    folder = tmp_path / "nobody" / ".kaggle"
    folder.mkdir(parents=True)
    (folder / "kaggle.json").write_text('{"username": "ann", "key": "of-a-file"}')
    assert authorization() == "Basic " + base64.b64encode(b"ann:of-a-file").decode()
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "of-the-environment")
    assert authorization() == "Basic " + base64.b64encode(b"ann:of-the-environment").decode()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
    assert authorization() == "Bearer token"

    kaggle.on("/storage/archive.zip", status(401))
    with pytest.raises(DataError, match=r"to the account in KAGGLE_API_TOKEN \(HTTP 401"):
        download_dataset("sign-mnist")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        monkeypatch.delenv(name)
    for broken in ("not JSON", "[]", '{"username": "ann"}'):
        (folder / "kaggle.json").write_text(broken)
        with pytest.raises(DataError, match=r"kaggle\.json holds no username and key"):
            download_dataset("sign-mnist")
    # Nobody else gets them.
    assert OFFERS.get("cats-dogs-filtered").is_on_kaggle is False
