"""The offers, end to end: a local server, the real kagglehub, no network, no decoding."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from filelock import FileLock

from lab import jobs
from lab.data import catalog
from lab.data.download import dataset as download_module
from lab.data.download import kaggle
from lab.data.download.dataset import (
    OFFERS,
    Needed,
    Offer,
    discard_download,
    download_dataset,
)
from lab.data.download.kaggle_child import verdict
from lab.data.download.patience import Patience
from lab.errors import DataError, LabError, NotFoundError, ResourceError
from lab.progress import Cancelled, Progress
from tests.data.download.scripted_server import (
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
        "sign_mnist_train.csv": os.urandom(3_000_000),  # three of kagglehub's pieces
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
    changes = {"needs": few, "disk_bytes": 1000, **changes}
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
        assert bool(one.kaggle) != bool(one.url)
        assert one.page.startswith("https://")
        assert one.licence
        assert one.title
        assert one.how in ("through kagglehub", "over HTTPS")
        assert 60_000_000 < one.size_bytes <= one.disk_bytes
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
        Imported("cats-dogs-filtered", ["cats_and_dogs_filtered.zip"], "Cats and dogs, filtered")
    ]
    assert left(home) == []
    assert (
        Progress(len(FILTERED), len(FILTERED), "Downloading Cats and dogs, filtered", "bytes")
        in seen
    )


def test_a_cancelled_download_goes_on_and_can_be_discarded(
    home: Path, filtered: Callable[..., Offer], imported: list[Imported], server: ScriptedServer
) -> None:
    filtered(serve(FILTERED, stall_after=100_000), serve(FILTERED, stall_after=0), serve(FILTERED))
    for _ in range(2):
        pressed = threading.Event()
        threading.Timer(0.3, pressed.set).start()
        with pytest.raises(Cancelled, match=r"bytes are kept: press Download again"):
            download_dataset("cats-dogs-filtered", cancel=pressed.is_set)
        assert left(home)[0] == "cats_and_dogs_filtered.zip.part"
    assert imported == []
    download_dataset("cats-dogs-filtered")
    assert [bool(wanted) for wanted in server.ranges()] == [False, True, True]
    assert len(imported) == 1
    assert left(home) == []

    filtered(serve(FILTERED, cut_after=100_000), serve(FILTERED, cut_after=0))
    with pytest.raises(DataError, match="is incomplete"):
        download_dataset("cats-dogs-filtered", patience=QUICK)
    assert discard_download("cats-dogs-filtered") > 90_000
    assert left(home) == []
    assert discard_download("cats-dogs-filtered") == 0


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
        assert left(home) == ["cats_and_dogs_filtered.zip"]
        if isinstance(error, Cancelled):
            assert "The download is kept" in str(caught.value)
    monkeypatch.setattr(catalog, "add_dataset", working)
    download_dataset("cats-dogs-filtered")
    assert len(server.asked) == 1  # fetched once, imported at the third try
    assert left(home) == []


def test_an_import_that_finds_nothing_usable_throws_the_download_away(
    home: Path, filtered: Callable[..., Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered(serve(FILTERED))  # random bytes called .jpg: the real import refuses them
    with pytest.raises(DataError):
        download_dataset("cats-dogs-filtered")
    assert left(home) == []
    assert not (home / "packs" / "cats-dogs-filtered").exists()


def test_a_small_disk_and_a_second_download_are_refused_at_once(
    home: Path, filtered: Callable[..., Offer], server: ScriptedServer
) -> None:
    filtered(serve(FILTERED), disk_bytes=10**18)
    with pytest.raises(ResourceError, match=r"only .* are free"):
        download_dataset("cats-dogs-filtered")
    with (
        FileLock(home / "locks" / "download-cats-dogs-filtered.lock"),
        pytest.raises(ResourceError, match="is already being downloaded"),
    ):
        download_dataset("cats-dogs-filtered")
    assert server.asked == []


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


# --- through the real kagglehub, in its child process ---------------------------------------------

API = "http://localhost/api/v1/datasets.DatasetApiService"
STORAGE = "http://storage.test/archive.zip"


@pytest.fixture
def kaggle_server(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ScriptedServer]:
    """Kaggle as kagglehub sees it, played by our server, which kagglehub takes for its proxy."""
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.base)
    server.on(
        f"{API}/GetDataset",
        status(200, b'{"currentVersionNumber": 3}', Content_Type="application/json"),
    )
    server.on(f"{API}/DownloadDataset", status(302, Location=STORAGE))

    def script(*answers: Answer) -> ScriptedServer:
        server.on(STORAGE, *answers)
        return server

    return script


def test_kagglehub_brings_a_folder(
    home: Path,
    kaggle_server: Callable[..., ScriptedServer],
    imported: list[Imported],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, "cats-dogs")
    kaggle_server(serve(CATS, seconds_a_piece=0.03))
    seen: list[Progress] = []
    assert download_dataset("cats-dogs", progress=seen.append) == "report on cats-dogs"
    assert imported[0].name == "cats-dogs"
    assert "training_set/training_set/cats/0.jpg" in imported[0].files
    assert "test_set/test_set/dogs/1.jpg" in imported[0].files
    assert len(imported[0].files) == 9
    assert left(home) == []
    assert not (home / "downloads" / "kaggle" / "cats-dogs").exists()
    assert {told.total for told in seen if told.text == "Downloading Cats and dogs"} <= {
        0,
        len(CATS),
    }


def test_kagglehub_is_cancelled_at_once_and_goes_on(
    home: Path,
    kaggle_server: Callable[..., ScriptedServer],
    imported: list[Imported],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, "sign-mnist")
    server = kaggle_server(serve(SIGNS, stall_after=2_200_000), serve(SIGNS))
    seen: list[Progress] = []
    pressed = threading.Event()

    def press(progress: Progress) -> None:
        seen.append(progress)
        if progress.done >= 1 << 21:
            pressed.set()

    with pytest.raises(Cancelled) as caught:
        download_dataset("sign-mnist", progress=press, cancel=pressed.is_set)
    assert str(caught.value) == (
        f"The download of Sign-Language MNIST was cancelled. 2,097,152 of {len(SIGNS):,} bytes are "
        "kept: press Download again to go on from there."
    )
    assert seen[-1] == Progress(1 << 21, len(SIGNS), "Downloading Sign-Language MNIST", "bytes")
    assert left(home) == ["kaggle/sign-mnist/datasets/datamunge/sign-language-mnist/3.archive"]
    assert imported == []

    download_dataset("sign-mnist")
    assert server.ranges()[-1] == "bytes=2097152-"
    assert [one.name for one in imported] == ["sign-mnist"]
    assert imported[0].files[-1] == "sign_mnist_train/sign_mnist_train.csv"
    assert left(home) == []


@pytest.mark.parametrize(
    ("path", "answers", "said"),
    [
        (
            f"{API}/DownloadDataset",
            [status(404)],
            "localhost does not have Sign-Language MNIST any more (HTTP 404 Not Found): it was not "
            "downloaded. Or download it in a browser from "
            "https://www.kaggle.com/datasets/datamunge/sign-language-mnist",
        ),
        (
            STORAGE,
            [serve(SIGNS, headers={"x-goog-hash": "md5=AAAAAAAAAAAAAAAAAAAAAA=="})],
            "What arrived from Kaggle cannot be used as Sign-Language MNIST (its checksum is wr",
        ),
    ],
)
def test_what_kaggle_refuses_is_one_sentence(
    home: Path,
    kaggle_server: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    answers: list[Answer],
    said: str,
) -> None:
    offer(monkeypatch, "sign-mnist")
    kaggle_server(serve(SIGNS)).on(path, *answers)
    with pytest.raises(DataError) as caught:
        download_dataset("sign-mnist", patience=QUICK)
    print(caught.value)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert left(home) == []


def test_what_the_child_makes_of_errors() -> None:
    def said(error: Exception, *, answered: bool = False) -> dict[str, Any]:
        return verdict(error, "Pets", "https://x.test", answered=answered)

    def http(code: int, reason: str) -> requests.HTTPError:
        response = requests.Response()
        response.status_code, response.reason = code, reason
        request = requests.Request("GET", "https://api.kaggle.com/v1").prepare()
        return requests.HTTPError("no", response=response, request=request)

    assert said(http(403, "Forbidden"))["refused"].startswith(
        "api.kaggle.com refuses to hand out Pets without an account or permission (HTTP 403 For"
    )
    assert said(http(503, "Unavailable")) == {
        "dropped": "api.kaggle.com answers with an error (HTTP 503 Unavailable)"
    }
    assert said(requests.ReadTimeout("slow")) == {"dropped": "www.kaggle.com sent nothing for 15 s"}
    offline = requests.ConnectionError("no route")
    assert said(offline)["refused"].startswith("No connection to www.kaggle.com")
    assert said(offline, answered=True) == {"dropped": "www.kaggle.com cannot be reached any more"}
    assert "pip install" in said(ModuleNotFoundError("No module named 'kagglehub'"))["refused"]
    assert said(OSError(28, "No space left on device")) == {"full": True}
    assert said(ValueError("Unsupported archive type.")) == {
        "damaged": "it is neither a zip nor a tar file"
    }


def test_kagglehub_truncated_then_whole(
    kaggle_server: Callable[..., ScriptedServer],
    imported: list[Imported],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, "sign-mnist")
    # kagglehub asks the address twice for a resume: for the size, then for the rest.
    server = kaggle_server(serve(SIGNS, cut_after=1_500_000), serve(SIGNS))
    download_dataset("sign-mnist", patience=QUICK)
    assert server.ranges()[-1] == "bytes=1048576-"
    assert len(imported) == 1


def test_kagglehub_offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")  # localhost:7777, where nobody listens
    monkeypatch.setenv("NO_PROXY", "*")
    offer(monkeypatch, "sign-mnist")
    with pytest.raises(DataError) as caught:
        download_dataset("sign-mnist")
    assert str(caught.value).startswith(
        "No connection to localhost (connection refused): Sign-Language MNIST was not downloaded."
    )
    assert left(home) == []


# --- a child that misbehaves ----------------------------------------------------------------------


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Another program in the place of kaggle_child.py."""

    def program(code: str) -> None:
        script = tmp_path / "child.py"
        script.write_text("import json, os, sys, time\n" + code)
        real = kaggle.subprocess.Popen

        def popen(command: list[str], **options: Any) -> Any:
            return real([command[0], str(script)], **options)

        monkeypatch.setattr(kaggle.subprocess, "Popen", popen)

    return program


def ask(tmp_path: Path, **options: Any) -> str:
    with pytest.raises(LabError) as caught:
        kaggle.download_from_kaggle(
            "a/b", tmp_path / "cache", what="Pets", page="https://x.test", patience=QUICK, **options
        )
    print(caught.value)
    return str(caught.value)


def test_a_silent_kaggle_is_given_up(child: Callable[[str], None], tmp_path: Path) -> None:
    child('print(json.dumps({"total": 100}), flush=True)\ntime.sleep(60)')
    began = time.monotonic()
    assert ask(tmp_path, silence_seconds=0.3).startswith(
        "www.kaggle.com sent nothing for 0.3 s, 2 times in a row: Pets was not downloaded."
    )
    assert time.monotonic() - began < 10


def test_a_child_that_dies_or_babbles(child: Callable[[str], None], tmp_path: Path) -> None:
    child('print("hello"); print("[1]"); sys.exit(7)')
    assert ask(tmp_path).startswith("kagglehub ended without a word (status 7): Pets was not")


def test_a_full_disk_under_kagglehub(child: Callable[[str], None], tmp_path: Path) -> None:
    child('print(json.dumps({"full": True}))')
    assert ask(tmp_path).startswith("The disk is full: Pets could not be written to")


def test_the_child_does_not_outlive_the_lab(
    kaggle_server: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = kaggle_server(serve(SIGNS, stall_after=1_100_000))
    cache = tmp_path / "cache"
    with (
        (tmp_path / "printed").open("w+b") as printed,
        kaggle._child(["a/b", "Pets", "https://x.test"], cache, printed) as running,
    ):
        end = time.monotonic() + 10
        while not any(asked.path == STORAGE for asked in server.asked):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert running.process.stdin is not None
        running.process.stdin.close()  # as when the lab is killed
        assert running.process.wait(5) == 3


def test_the_layout_check_reads_folders_too(tmp_path: Path) -> None:
    (tmp_path / "sign_mnist_train.csv").write_text("label")
    with pytest.raises(DataError, match=r"there is no file sign_mnist_test.csv \(1 files in all\)"):
        download_module._check_layout(OFFERS.get("sign-mnist"), tmp_path)
