"""Uploads over HTTP: streamed to disk, limited, safe in their paths, swept when abandoned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lab.data import uploads
from lab.errors import ConfigError, ResourceError
from lab.people import Person, acting_as

ID = "0123456789abcdef0123456789abcdef"
OWN = {"Origin": "http://localhost:8501", "Sec-Fetch-Site": "same-origin"}


def lying(home: Path) -> list[str]:
    folder = home / "downloads"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_zip_is_streamed_to_disk(client: TestClient, home: Path) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    reply = client.post(f"/api/uploads/{ID}", content=pieces(), headers=OWN)
    assert (reply.status_code, reply.json()) == (200, {"bytes": 3_000_000})
    assert lying(home) == [f"upload-{ID}.zip"]
    path = uploads.uploaded_path(ID)
    assert path is not None
    assert path.stat().st_size == 3_000_000
    again = client.post(f"/api/uploads/{ID}", content=b"x", headers=OWN)
    assert "here already" in again.json()["error"]


def test_what_a_killed_server_left_of_an_upload_is_swept(home: Path) -> None:
    part = home / "downloads" / f"upload-{ID}.abcdefgh.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x")
    uploads.sweep()
    assert part.exists()  # it may still be coming in
    uploads.sweep(time.time() + 700)
    assert not part.exists()


LATER = "0" * 31 + "1"
AFTER_A_RESTART = f"""
from lab.data.uploads import IncomingFile, UploadTooLargeError, bytes_of
from lab.people import Person, acting_as
print(bytes_of("p-mina"), bytes_of("p-tom"), bytes_of(""))
with acting_as(Person("p-mina", "Mina", "member")):
    try:
        IncomingFile("{LATER}", "a/2", length=600_000)
    except UploadTooLargeError as error:
        print(error)
"""


def test_a_restarted_server_knows_whose_an_upload_is_and_how_large(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(uploads.LIMIT_VARIABLE, "1")
    with acting_as(Person("p-mina", "Mina", "member")), uploads.IncomingFile(LATER, "a/1") as file:
        file.write(bytes(600_000))
    with uploads.IncomingFile("f" * 32, "") as file:  # the operator's
        file.write(bytes(10))
    answer = subprocess.run(
        [sys.executable, "-c", AFTER_A_RESTART], capture_output=True, text=True, check=True
    )
    sizes, refusal = answer.stdout.splitlines()
    assert sizes == "600000 0 0"
    assert refusal.startswith("This upload is larger than 1 MB")
    owner = f"upload-{LATER}.owner"
    assert owner in lying(home)
    uploads.sweep(time.time() + 700)
    assert owner in lying(home)
    shutil.rmtree(home / "downloads" / f"upload-{LATER}")  # imported
    uploads.sweep(time.time() + 700)
    assert lying(home) == [f"upload-{'f' * 32}.zip"]


def test_many_uploads_at_once_are_counted_together(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone would fit into what one person may have, with a length told before or not."""
    monkeypatch.setenv("LAB_QUOTA_PERSON_GB", "0.001")
    monkeypatch.setattr(uploads, "_SPACE_EVERY", 100_000)
    first, second, third = ("1" * 32, "2" * 32, "3" * 32)
    with acting_as(Person("p-mina", "Mina", "member")):
        with uploads.IncomingFile(first, "", length=600_000):
            with pytest.raises(ResourceError, match="LAB_QUOTA_PERSON_GB"):
                uploads.IncomingFile(second, "", length=600_000)
            with (
                pytest.raises(ResourceError, match="LAB_QUOTA_PERSON_GB"),
                uploads.IncomingFile(third, "") as file,
            ):
                file.write(bytes(600_000))
            with acting_as(Person("p-tom", "Tom", "member")):
                uploads.IncomingFile(second, "", length=600_000).__exit__(None, None, None)
        with uploads.IncomingFile(third, "", length=900_000):  # the first one has come in
            pass


def test_a_folder_comes_file_by_file(client: TestClient, home: Path) -> None:
    for name in ("set/cats/1.jpg", "set/dogs/강아지 (1).jpg"):
        reply = client.post(
            f"/api/uploads/{ID}", params={"path": name}, content=name.encode(), headers=OWN
        )
        assert reply.status_code == 200
    path = uploads.uploaded_path(ID)
    assert path == home / "downloads" / f"upload-{ID}"
    assert (path / "set/dogs/강아지 (1).jpg").read_text() == "set/dogs/강아지 (1).jpg"
    assert client.post(f"/api/uploads/{ID}/discard", headers=OWN).status_code == 200
    assert lying(home) == []
    assert uploads.uploaded_path(ID) is None


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", "a\\b", "./x", "a/\x00", "x" * 300, "a/"]
)
def test_no_path_leads_out_of_the_folder(path: str, client: TestClient, home: Path) -> None:
    reply = client.post(f"/api/uploads/{ID}", params={"path": path}, content=b"x", headers=OWN)
    assert reply.status_code == 400
    assert "no path inside a folder" in reply.json()["error"]
    assert lying(home) == []


@pytest.mark.parametrize("upload", ["x", "..", "0" * 31, "G" * 32])
def test_an_upload_has_a_name_that_nobody_guesses(upload: str, client: TestClient) -> None:
    reply = client.post(f"/api/uploads/{upload}", content=b"x", headers=OWN)
    assert reply.status_code in (400, 404)


def test_other_sites_and_programs_without_the_token_upload_nothing(
    client: TestClient, home: Path, token: dict[str, str]
) -> None:
    for headers in ({}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}):
        reply = client.post(f"/api/uploads/{ID}", content=b"x", headers=headers)
        assert reply.status_code == 403
    assert lying(home) == []
    assert client.post(f"/api/uploads/{ID}", content=b"x", headers=token).status_code == 200


def test_the_operator_sets_the_limit(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/api/uploads").json() == {"most_bytes": 2_000_000_000}
    monkeypatch.setenv(uploads.LIMIT_VARIABLE, "1")

    def pieces() -> Iterator[bytes]:  # without a Content-Length
        for _ in range(20):
            yield b"x" * 100_000

    for content in (b"x" * 1_000_001, pieces()):
        reply = client.post(f"/api/uploads/{ID}", content=content, headers=OWN)
        assert reply.status_code == 413
        assert "larger than 1 MB" in reply.json()["error"]
        assert lying(home) == []
    other = "f" * 32
    for name, status in (("a/1", 200), ("a/2", 413)):  # all files of a folder together
        reply = client.post(
            f"/api/uploads/{other}", params={"path": name}, content=b"x" * 600_000, headers=OWN
        )
        assert reply.status_code == status
    monkeypatch.setenv(uploads.LIMIT_VARIABLE, "much")
    with pytest.raises(ConfigError, match="whole number of megabytes"):
        uploads.most_bytes()


def test_a_full_disk_is_told_before_anything_is_written(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(uploads.LIMIT_VARIABLE, "999999999")
    headers = OWN | {"Content-Length": str(10**14)}
    reply = client.post(f"/api/uploads/{ID}", content=b"x", headers=headers)
    assert reply.status_code == 503
    assert "only" in reply.json()["error"]
    assert lying(home) == []


def test_what_breaks_off_leaves_nothing_behind(home: Path) -> None:
    file = uploads.IncomingFile(ID, "cats/1.jpg")
    file.write(b"half")
    file.__exit__(RuntimeError, RuntimeError(), None)
    assert lying(home) == []


def test_what_was_abandoned_is_swept(home: Path) -> None:
    with uploads.IncomingFile(ID, "") as file:
        file.write(b"zip")
    old = home / "downloads" / f"upload-{'a' * 32}"
    old.mkdir()
    (old / "1.jpg").write_bytes(b"x")
    other = home / "downloads" / "cats-dogs.zip"  # not an upload
    other.write_bytes(b"x")
    yesterday = time.time() - 2 * uploads.KEPT_SECONDS
    for path in (old, other):
        os.utime(path, (yesterday, yesterday))
    uploads.sweep()
    assert lying(home) == ["cats-dogs.zip", f"upload-{ID}.zip"]
