"""Downloads over HTTP against a local server that behaves well and badly. No network."""

from __future__ import annotations

import email.utils
import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.download import fetch as fetch_module
from lab.download.fetch import PATIENCE, Patience
from lab.download.remote_file import Login, RemoteFile
from lab.errors import LabError
from lab.progress import Cancel, Cancelled, Progress, Report, never, silent
from tests.download.scripted_server import (
    ScriptedServer,
    a_zip,
    hang_up,
    scripted_server,
    serve,
    silence,
    status,
)

ZIP = a_zip({"pets/cats/a.jpg": os.urandom(300_000), "pets/dogs/b.jpg": os.urandom(300_000)})
OTHER_ZIP = a_zip({"pets/cats/other.jpg": os.urandom(500_000)})
CUT = 8 * 32 * 1024  # a whole number of pieces: what is behind the last whole one is not kept
QUICK = Patience(connect_seconds=1.0, read_seconds=0.3, attempts=3, backoff_seconds=0.01)
LOGIN = b"<!DOCTYPE html>\n<html><head><title>Campus WLAN - sign in</title></head></html>"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "pets.zip"


def http_date(seconds: float) -> str:
    """The time so many seconds from now, as HTTP writes it."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def fetch(
    url: str,
    target: Path,
    *,
    progress: Report = silent,
    cancel: Cancel = never,
    patience: Patience = PATIENCE,
    **facts: Any,
) -> Path:
    """Fetch a zip called pets.zip; `facts` are further ones of the RemoteFile."""
    by_hand = f"Or download it in a browser from {url} and add the file on the Data page."
    facts = {"title": target.name, "by_hand": by_hand, "kind": "zip", **facts}
    file = RemoteFile(url=url, **facts)
    return fetch_module.fetch(file, target, progress=progress, cancel=cancel, patience=patience)


def refused(url: str, target: Path, **options: Any) -> str:
    """The sentence; whatever the reason, no finished file is there."""
    with pytest.raises(LabError) as caught:
        fetch(url, target, patience=QUICK, **options)
    assert not target.exists()
    sentence = str(caught.value)
    assert "\n" not in sentence
    print(sentence)
    return sentence


def test_a_plain_download_arrives_whole_and_leaves_nothing_else(
    server: ScriptedServer, target: Path
) -> None:
    seen: list[Progress] = []
    url = server.on("/pets.zip", serve(ZIP, ranges=False, etag="", seconds_a_piece=0.01))
    arrived = fetch(
        url,
        target,
        expected_bytes=len(ZIP),
        sha256=hashlib.sha256(ZIP).hexdigest(),
        progress=seen.append,
        cancel=lambda: False,
    )
    assert arrived == target
    assert target.read_bytes() == ZIP
    assert left(target) == ["pets.zip"]
    assert seen[0].done == 0
    arriving = [progress for progress in seen if progress.text == "Downloading pets.zip"]
    assert arriving[-1] == Progress(len(ZIP), len(ZIP), "Downloading pets.zip", "bytes")
    assert [progress.done for progress in arriving] == sorted(
        progress.done for progress in arriving
    )
    assert len(arriving) > 3
    assert seen[-1].text == "Checking pets.zip"
    assert seen[-1].done == seen[-1].total


def test_no_length_given(server: ScriptedServer, target: Path) -> None:
    seen: list[Progress] = []
    url = server.on("/pets.zip", serve(ZIP, say_length=False))
    fetch(url, target, progress=seen.append)
    assert target.read_bytes() == ZIP
    assert {progress.total for progress in seen if progress.text == "Downloading pets.zip"} == {
        0
    }  # nobody knows


def test_a_file_that_arrived_earlier_is_not_fetched_again(
    server: ScriptedServer, target: Path
) -> None:
    url = server.on("/pets.zip", serve(ZIP))
    fetch(url, target)
    fetch(url, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "mark", [{"etag": '"v1"'}, {"etag": "", "last_modified": "Tue, 01 Sep 2026 10:00:00 GMT"}]
)
def test_cancel_in_the_middle_keeps_the_part_and_the_next_call_goes_on(
    server: ScriptedServer, target: Path, mark: dict[str, str]
) -> None:
    url = server.on("/pets.zip", serve(ZIP, stall_after=200_000, **mark), serve(ZIP, **mark))
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()  # by then the server is silent
    began = time.monotonic()
    with pytest.raises(Cancelled) as caught:
        fetch(url, target, cancel=cancelled.is_set)
    assert time.monotonic() - began < 0.3 + 10  # although the read time-out is 30 s
    assert left(target) == ["pets.zip.part", "pets.zip.part.json"]
    size = (target.parent / "pets.zip.part").stat().st_size
    assert 150_000 < size <= 200_000
    assert str(caught.value) == (
        f"The download of pets.zip was cancelled. {size:,} of {len(ZIP):,} bytes are kept: "
        "press Download again to go on from there."
    )
    seen: list[Progress] = []
    fetch(url, target, progress=seen.append)
    assert target.read_bytes() == ZIP
    assert server.ranges() == [None, f"bytes={size}-"]
    assert server.requests[1].headers["if-range"] == (mark["etag"] or mark["last_modified"])
    assert seen[0].done == size
    assert left(target) == ["pets.zip"]


def test_cancel_before_anything_arrived(server: ScriptedServer, target: Path) -> None:
    with pytest.raises(Cancelled, match="Nothing had arrived yet"):
        fetch(server.on("/pets.zip", serve(ZIP)), target, cancel=lambda: True)
    assert server.requests == []


def test_cancel_is_heard_while_the_server_does_not_even_answer(
    server: ScriptedServer, target: Path
) -> None:
    pressed = threading.Event()
    threading.Timer(0.3, pressed.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled, match="Nothing had arrived yet"):
        fetch(server.on("/pets.zip", silence()), target, cancel=pressed.is_set)
    assert time.monotonic() - began < 0.3 + 10


def test_cancel_while_the_file_is_checked_keeps_all_of_it(
    server: ScriptedServer, target: Path
) -> None:
    pressed = threading.Event()

    def press(progress: Progress) -> None:
        if progress.text.startswith("Checking"):
            pressed.set()

    url = server.on("/pets.zip", serve(ZIP))
    with pytest.raises(Cancelled, match=f"{len(ZIP):,} of {len(ZIP):,} bytes are kept"):
        fetch(url, target, progress=press, cancel=pressed.is_set)
    fetch(url, target)
    assert target.read_bytes() == ZIP
    assert server.ranges()[-1] == f"bytes={len(ZIP)}-"


def test_a_dropped_connection_is_gone_on_from_by_itself(
    server: ScriptedServer, target: Path
) -> None:
    url = server.on("/pets.zip", serve(ZIP, cut_after=CUT), hang_up(), serve(ZIP))
    fetch(url, target, patience=QUICK)
    assert target.read_bytes() == ZIP
    assert server.ranges() == [None, f"bytes={CUT}-", f"bytes={CUT}-"]


def test_truncated_every_time_says_how_much_arrived(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP, cut_after=CUT), serve(ZIP, cut_after=0))
    sentence = refused(url, target)
    assert sentence == (
        "127.0.0.1 dropped the connection, 3 times in a row: pets.zip is incomplete. "
        f"{CUT:,} of {len(ZIP):,} bytes are kept: press Download again to go on from there."
    )
    assert len(server.requests) == 3
    server.on("/pets.zip", serve(ZIP))
    fetch(url, target)
    assert target.read_bytes() == ZIP


def test_truncated_by_a_server_without_resume_ends_too(
    server: ScriptedServer, target: Path
) -> None:
    url = server.on("/pets.zip", serve(ZIP, ranges=False, etag="", cut_after=CUT))
    sentence = refused(url, target)
    assert f"{CUT:,} of {len(ZIP):,} bytes had arrived; the server allows no resume" in sentence
    assert server.ranges() == [None] * 3


def test_a_server_that_ignores_the_range_starts_over(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP, cut_after=CUT), serve(ZIP, ranges=False))
    fetch(url, target, patience=QUICK)
    assert target.read_bytes() == ZIP
    assert server.ranges() == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(
    server: ScriptedServer, target: Path, if_range: bool
) -> None:
    changed = serve(OTHER_ZIP, etag='"v2"', if_range=if_range)
    url = server.on("/pets.zip", serve(ZIP, cut_after=CUT), changed)
    fetch(url, target, patience=QUICK)
    assert target.read_bytes() == OTHER_ZIP


def test_a_part_of_another_url_or_without_a_note_is_not_used(
    server: ScriptedServer, target: Path
) -> None:
    one = server.on("/one.zip", serve(ZIP, cut_after=CUT), serve(ZIP, cut_after=0))
    two = server.on("/two.zip", serve(OTHER_ZIP))
    refused(one, target)
    fetch(two, target)
    assert target.read_bytes() == OTHER_ZIP
    target.unlink()
    (target.parent / "pets.zip.part").write_bytes(b"PK from somewhere")
    fetch(two, target)
    assert target.read_bytes() == OTHER_ZIP


def test_a_part_that_is_whole_already(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP, cut_after=len(ZIP) - 10), serve(ZIP, cut_after=0))
    refused(url, target)
    with (target.parent / "pets.zip.part").open("ab") as part:
        part.write(ZIP[part.tell() :])  # as if killed between the last byte and the rename
    server.on("/pets.zip", serve(ZIP))
    fetch(url, target)
    assert target.read_bytes() == ZIP
    assert server.ranges()[-1] == f"bytes={len(ZIP)}-"


def test_a_web_page_instead_of_a_zip(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(LOGIN, kind="text/html"))
    sentence = refused(url, target, by_hand="Or draw your own.", expected_bytes=len(ZIP))
    assert sentence == (
        "A web page ('Campus WLAN - sign in') arrived from 127.0.0.1 instead of pets.zip: this "
        "network may ask for a login first, or the file has moved. Nothing was kept. Or draw your "
        "own."
    )
    assert "A web page" in refused(url, target, kind="any", sha256="0" * 8)
    assert left(target) == []
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x1f\x8b\x08 gzip", "is not a zip file"),
        (b"", "is not a zip file"),
        (ZIP[:-400], "is a damaged zip file"),
        (b"PK\x03\x04" + os.urandom(1000), "is a damaged zip file"),
        (ZIP[:2000] + b"junk" + ZIP[2004:], "is a damaged zip file (Bad CRC-32 for file"),
        (a_zip({}), "is a damaged zip file (it is empty)"),
    ],
)
def test_other_content_instead_of_a_zip(
    server: ScriptedServer, target: Path, content: bytes, expected: str
) -> None:
    assert expected in refused(server.on("/pets.zip", serve(content)), target)
    assert left(target) == []


def test_the_wrong_size_or_sum(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP))
    sentence = refused(url, target, expected_bytes=len(ZIP) + 1)
    assert f"has {len(ZIP):,} bytes where {len(ZIP) + 1:,} are expected" in sentence
    assert "not the file it should be (SHA-256" in refused(url, target, sha256="0" * 64)
    first_digits = hashlib.sha256(ZIP).hexdigest()[:8]
    fetch(url, target, sha256=first_digits, kind="any")
    target.unlink()
    assert left(target) == []
    endless = server.on("/endless.zip", serve(ZIP * 5, say_length=False))
    assert "so it is another file" in refused(endless, target, expected_bytes=len(ZIP))
    assert left(target) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (404, "127.0.0.1 does not have pets.zip any more (HTTP 404 Not Found)"),
        (410, "does not have pets.zip any more (HTTP 410 Gone)"),
        (403, "refuses to hand out pets.zip without an account or permission (HTTP 403 Forbidden)"),
        (401, "(HTTP 401 Unauthorized)"),
        (407, "The proxy asks for a login (HTTP 407 Proxy Authentication Required)"),
        (418, "answers with something unexpected (HTTP 418 I'm a Teapot)"),
    ],
)
def test_refusals_are_final(server: ScriptedServer, target: Path, code: int, expected: str) -> None:
    url = server.on("/pets.zip", status(code))
    sentence = refused(url, target)
    assert expected in sentence
    assert "download it in a browser" in sentence
    assert len(server.requests) == 1


def test_500_then_ok(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", status(500), status(503), serve(ZIP))
    fetch(url, target, patience=QUICK)
    assert target.read_bytes() == ZIP


def test_500_for_ever(server: ScriptedServer, target: Path) -> None:
    sentence = refused(server.on("/pets.zip", status(500)), target)
    assert sentence.startswith(
        "127.0.0.1 answers with an error (HTTP 500 Internal Server Error), 3 times in a row: "
        "pets.zip was not downloaded. Try again later."
    )


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_asks_to_wait_is_given_the_time(
    server: ScriptedServer, target: Path, form: str
) -> None:
    retry_after = "1" if form == "seconds" else http_date(1.0)
    url = server.on("/pets.zip", status(429, Retry_After=retry_after), serve(ZIP))
    began = time.monotonic()
    fetch(url, target, patience=QUICK)
    assert target.read_bytes() == ZIP
    assert time.monotonic() - began > 0.01
    if retry_after == "1":
        assert time.monotonic() - began >= 1


def test_a_server_that_asks_to_wait_long_is_given_up(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", status(429, Retry_After="600"))
    assert refused(url, target).startswith(
        "127.0.0.1 answers with an error (HTTP 429 Too Many Requests) and asks to wait 10 min 00 "
        "s: pets.zip was not downloaded. Try again later."
    )
    assert len(server.requests) == 1


def test_a_wait_is_shown_and_ends_with_cancel(server: ScriptedServer, target: Path) -> None:
    seen: list[str] = []
    url = server.on("/pets.zip", status(503, Retry_After="30"))
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(
            url,
            target,
            progress=lambda progress: seen.append(progress.text),
            cancel=lambda: "the next try" in (seen or [""])[-1],
        )
    assert seen[-1] == (
        "127.0.0.1 answers with an error (HTTP 503 Service Unavailable); the next try is in 30 s"
    )
    assert time.monotonic() - began < 20  # not the 30 s


def test_two_downloads_of_one_file_are_one(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP, seconds_a_piece=0.02))
    first = threading.Thread(target=fetch, args=(url, target))
    first.start()
    while not server.requests:
        time.sleep(0.01)
    seen: list[str] = []
    fetch(url, target, progress=lambda progress: seen.append(progress.text))
    first.join()
    assert set(seen) == {"Waiting for another download of pets.zip"}
    assert target.read_bytes() == ZIP
    assert len(server.requests) == 1


def test_an_account_is_not_passed_on_to_another_host(server: ScriptedServer, target: Path) -> None:
    login = Login("pets.json", "Bearer secret")
    elsewhere = server.url("/real.zip").replace("127.0.0.1", "localhost")
    server.on("/real.zip", serve(ZIP))
    url = server.on("/pets.zip", status(302, Location=elsewhere))
    fetch(url, target, login=login)
    assert [request.headers.get("authorization") for request in server.requests] == [
        "Bearer secret",
        None,
    ]
    target.unlink()
    assert "to the account in pets.json (HTTP 403 Forbidden)" in refused(
        server.on("/pets.zip", status(403)), target, login=login
    )
    assert "secret" not in repr(login)


def test_a_range_that_nobody_asked_for_is_no_file(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", status(206, b"PK", Content_Range="bytes 5-6/7"))
    assert "something unexpected (HTTP 206 Partial Content)" in refused(url, target)


@pytest.mark.parametrize("behaviour", [silence(), serve(ZIP, stall_after=100_000)])
def test_a_silent_server(server: ScriptedServer, target: Path, behaviour: object) -> None:
    sentence = refused(server.on("/pets.zip", behaviour), target)  # type: ignore[arg-type]
    assert sentence.startswith("127.0.0.1 sent nothing for 0.3 s, 3 times in a row: pets.zip ")


def test_a_slow_server_is_waited_for(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP[:], seconds_a_piece=0.02))
    patience = Patience(read_seconds=0.3)  # shorter than the whole transfer
    began = time.monotonic()
    fetch(url, target, patience=patience)
    assert time.monotonic() - began > 0.5


def test_offline_connection_refused(target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sentence = refused(f"http://127.0.0.1:{port}/pets.zip", target)
    assert sentence == (
        "No connection to 127.0.0.1 (connection refused): pets.zip was not downloaded. Check the "
        "internet connection (and HTTPS_PROXY, if this network needs a proxy) and press Download "
        f"again. Or download it in a browser from http://127.0.0.1:{port}/pets.zip and add the "
        "file on the Data page."
    )
    assert left(target) == []


def test_offline_no_such_name(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    sentence = refused("https://pets.example/pets.zip", target)
    assert sentence.startswith("No connection to pets.example (its address could not be looked up)")


def test_a_dead_proxy(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    sentence = refused("http://pets.example/pets.zip", target)
    assert "the proxy in HTTPS_PROXY cannot be reached or refuses" in sentence


def test_a_certificate_that_is_not_one(server: ScriptedServer, target: Path) -> None:
    url = server.on("/pets.zip", serve(ZIP)).replace("http:", "https:")
    assert refused(url, target).startswith("The certificate of 127.0.0.1 cannot be trusted")


def test_redirects_are_followed_but_not_in_circles(server: ScriptedServer, target: Path) -> None:
    server.on("/real.zip", serve(ZIP))
    url = server.on("/pets.zip", status(302, Location="/real.zip"))
    fetch(url, target)
    assert target.read_bytes() == ZIP
    target.unlink()
    circle = server.on("/circle.zip", status(302, Location="/circle.zip"))
    assert "round in circles" in refused(circle, target)


def test_a_disk_that_is_too_small_is_noticed_before_the_body(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(target.parent.parent)._replace(free=len(ZIP))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    sentence = refused(server.on("/pets.zip", serve(ZIP)), target, folder_variable="TORCH_HOME")
    assert sentence.startswith("This needs 1 MB in")
    assert sentence.endswith("are free. Free some space or set TORCH_HOME to a larger disk.")
    assert left(target) == []


def test_a_full_disk_in_the_middle(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(progress: Progress) -> None:
        if progress.done:
            raise OSError(28, "No space left on device")  # where the write would raise it

    sentence = refused(server.on("/pets.zip", serve(ZIP)), target, progress=full)
    assert sentence.startswith("The disk is full")
