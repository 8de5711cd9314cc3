"""A data set from the hub, of which a stand-in answers on loopback: the real one is never asked."""

import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from lab.cli.main import main
from lab.data import catalog
from lab.data.download.hub import add_from_hub
from lab.errors import ConfigError, DataError, NotAllowedError
from lab.home import lab_home
from lab.people import Person, acting_as
from lab.progress import Cancelled, Progress
from tests.hub_stub import COMMIT, TOKEN, Hub, Repository, serve_hub


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pets() -> dict[str, bytes]:
    files = {
        f"train/{name}/{n}.png": picture(n + 50 * (name == "dog"))
        for name in ("cat", "dog")
        for n in range(6)
    }
    return {"README.md": b"# Pets", ".gitattributes": b"", **files}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub(monkeypatch) as made:
        made.datasets["me/pets"] = Repository(pets())
        yield made


def test_the_pictures_arrive_and_the_commit_is_kept(hub: Hub) -> None:
    seen: list[Progress] = []
    report = add_from_hub("hf://me/pets", "pets", title="My pets", progress=seen.append)
    assert report.accepted["train"].keys() == {"cat", "dog"}
    assert report.total == 12
    assert report.meta.source == f"hf://me/pets@{COMMIT}"
    assert catalog.open_pack("pets").meta.title == "My pets"
    arriving = [p for p in seen if p.unit == "bytes"]
    assert (
        arriving[-1].done
        == arriving[-1].total
        == sum(len(content) for name, content in pets().items() if name.endswith(".png"))
    )
    assert not any("README" in request for request in hub.requests)
    assert list((lab_home() / "downloads").iterdir()) == [], "the download is no longer needed"


def test_the_command_line_adds_it(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "add", "pets", "hf://datasets/me/pets@main", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["meta"]["source"] == f"hf://me/pets@{COMMIT}"
    assert main(["datasets", "add", "pets", "hf://me/pets"]) == 2
    assert "already a data set 'pets'" in capsys.readouterr().err
    assert main(["datasets", "add", "new", "hf://me/pets", "--dry-run"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_a_single_archive_is_opened(hub: Hub) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in pets().items():
            archive.writestr(name, content)
    hub.datasets["me/zipped"] = Repository({"README.md": b"", "data/all.zip": out.getvalue()})
    assert add_from_hub("hf://me/zipped", "zipped").total == 12


def test_a_private_one_needs_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.datasets["me/secret"] = Repository(pets(), private=True)
    with pytest.raises(DataError, match=r"no data set 'me/secret' .* or it is private: log in"):
        add_from_hub("hf://me/secret", "secret")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(DataError, match="the token of this machine does not open"):
        add_from_hub("hf://me/secret", "secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert add_from_hub("hf://me/secret", "secret").total == 12


def test_what_is_not_there(hub: Hub) -> None:
    with pytest.raises(DataError, match=r"There is no data set 'me/none' on http://127"):
        add_from_hub("hf://me/none", "none")
    with pytest.raises(DataError, match="no branch, tag or commit 'v9'"):
        add_from_hub("hf://me/pets@v9", "none")
    hub.datasets["me/asks"] = Repository(pets(), gated=True)
    with pytest.raises(DataError, match="accept its conditions"):
        add_from_hub("hf://me/asks", "none")
    hub.datasets["me/text"] = Repository({"README.md": b"no pictures"})
    with pytest.raises(DataError, match="has no pictures, tables or archives"):
        add_from_hub("hf://me/text", "none")
    hub.refuse = 500
    with pytest.raises(DataError, match=r"answered HTTP 500"):
        add_from_hub("hf://me/pets", "none")


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DataError, match=r"http://127.0.0.1:1 cannot be reached .* the internet"):
        add_from_hub("hf://me/pets", "pets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        add_from_hub("hf://me/pets", "pets")


@pytest.mark.parametrize("address", ["hf://pets", "hf://me/pets/more", "hf://../x", "hf://a/b@ c"])
def test_an_address_that_is_none(address: str, hub: Hub) -> None:
    with pytest.raises(ConfigError):
        add_from_hub(address, "pets")
    assert hub.requests == []


def test_a_download_that_is_cancelled_goes_on_later(hub: Hub) -> None:
    with pytest.raises(Cancelled, match="are kept"):
        add_from_hub("hf://me/pets", "pets", cancel=lambda: len(hub.requests) > 12)
    fetched = {r for r in hub.requests if r.startswith("GET /datasets")}
    hub.requests.clear()
    assert add_from_hub("hf://me/pets", "pets").total == 12
    again = {r for r in hub.requests if r.startswith("GET /datasets")}
    assert fetched
    assert not fetched & again, "what had arrived is not fetched again"


def test_only_an_admin_uses_the_machines_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SHARED", "class")
    with (
        acting_as(Person("p1", "Pupil", "member")),
        pytest.raises(NotAllowedError, match="teacher alone"),
    ):
        add_from_hub("hf://me/pets", "pets")
    assert hub.requests == []
