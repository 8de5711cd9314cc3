"""POST /api/runs/{id}/classify: a picture in, classes out, and a sentence for what cannot be."""

import io
import zipfile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.api import classify
from lab.api.guard import api_token
from lab.api.routes import routes
from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.store import store
from tests.data.pictures import bomb
from tests.evaluate.test_classify import as_png, ask
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def run_id() -> str:
    config = RunConfig(dataset=make_tiny_pack(), architecture="mlp", epochs=1, batch_size=16)
    run_id = queue().submit(config, name="tiny")
    assert queue().wait(run_id, timeout=120).status == "completed"
    return run_id


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=routes())
    return TestClient(app, headers={"Authorization": f"Bearer {api_token()}"})


def test_a_picture_is_answered(run_id: str, client: TestClient) -> None:
    reply = client.post(f"/api/runs/{run_id}/classify?checkpoint=best", content=as_png(2))
    assert reply.status_code == 200
    [expected] = ask(store().folder(run_id), "best", [("a", as_png(2))])
    result = reply.json()
    assert [each["class"] for each in result["answers"]] == [name for name, _ in expected.top(3)]
    assert result["answers"][0]["probability"] == pytest.approx(expected.top(1)[0][1], abs=1e-6)
    assert (result["checkpoint"], result["epoch"], result["unlike"]) == ("best", 1, None)
    assert client.post(f"/api/runs/{run_id}/classify", content=as_png(2)).json() == result


def test_what_cannot_be_answered_is_one_sentence(
    run_id: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(status: int, content: bytes, path: str = f"/api/runs/{run_id}/classify") -> str:
        reply = client.post(path, content=content)
        assert reply.status_code == status
        return str(reply.json()["error"])

    assert "is empty (0 bytes)" in error(400, b"")
    assert "is an SVG" in error(400, b"<svg></svg>")
    assert "64 megapixels" in error(400, bomb())
    assert "r-none" in error(404, as_png(0), "/api/runs/r-none/classify")
    for name in ("epoch-0009", "../../x", "resume"):
        path = f"/api/runs/{run_id}/classify?checkpoint={name}"
        assert "there are: best, last" in error(404, as_png(0), path)
    monkeypatch.setattr(classify, "MOST_BYTES", 1000)
    assert "larger than 0.001 MB" in error(413, b"x" * 1001)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_of_pictures_is_answered_picture_by_picture(
    run_id: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/api/runs/{run_id}/classify"
    data = zipped({"in/a.png": as_png(2), "notes.txt": b"none", "b.png": as_png(7)})
    reply = client.post(f"{path}/zip", content=data)
    assert reply.status_code == 200
    result = reply.json()
    first, none, other = result["pictures"]
    assert (result["checkpoint"], result["epoch"]) == ("best", 1)
    assert [first["name"], none["name"], other["name"]] == ["in/a.png", "notes.txt", "b.png"]
    assert none["answers"] == []
    assert none["error"].startswith("The picture holds text")
    for each, index in ((first, 2), (other, 7)):
        assert each["error"] is None
        alone = client.post(path, content=as_png(index)).json()["answers"]
        assert [a["class"] for a in each["answers"]] == [a["class"] for a in alone]
        for one, two in zip(each["answers"], alone, strict=True):
            assert one["probability"] == pytest.approx(two["probability"], abs=1e-6)

    def error(status: int, content: bytes) -> str:
        reply = client.post(f"{path}/zip", content=content)
        assert reply.status_code == status
        return str(reply.json()["error"])

    assert "is no zip" in error(400, b"no zip")
    assert "holds 0 files" in error(400, zipped({}))
    monkeypatch.setattr(classify, "MOST_PICTURES", 1)
    assert "holds 2 files; allowed are 1 to 1" in error(400, zipped({"a": b"", "b": b""}))
    monkeypatch.setattr(classify, "MOST_BYTES", 1000)
    assert "'a' in the zip is larger than 0.001 MB" in error(413, zipped({"a": b"x" * 1001}))
    broken = bytearray(zipped({"a.png": as_png(2)}))
    broken[60] ^= 255
    assert "cannot be unpacked" in error(400, bytes(broken))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", bytes(500))
    damaged = bytearray(packed.getvalue())
    damaged[44:54] = b"\xff" * 10
    assert "cannot be unpacked" in error(400, bytes(damaged))
    wanting = bytearray(zipped({"a": b"x"}))
    wanting[wanting.index(b"PK\x01\x02") + 6] = 99  # a version of zip that nobody has written
    assert "is no zip" in error(400, bytes(wanting))
