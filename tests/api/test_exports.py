"""Exports over HTTP: the very file, under its name, and nothing else of the folder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from starlette.testclient import TestClient

from lab import __version__
from lab.evaluate.opened import checkpoint_identity
from lab.export.formats import EXPORTS
from lab.runs.store import Store


def write_export(folder: Path, name: str, data: bytes) -> None:
    """As if the export had been made of the run in `folder`."""
    save_file({"x": torch.zeros(1)}, folder / "best.safetensors")
    place = folder / "exports" / f"best-{name}"
    place.mkdir(parents=True)
    (place / f"file{EXPORTS.get(name).ending}").write_bytes(data)
    facts = {
        "identity": checkpoint_identity(folder, "best"),
        "version": __version__,
        "bytes": len(data),
        "seconds": 1.0,
        "sentences": [],
        "facts": {},
    }
    (place / "facts.json").write_text(json.dumps(facts))


def test_an_export_is_downloaded_as_a_file(client: TestClient, runs: Store, done: str) -> None:
    data = bytes(range(256)) * 1000
    write_export(runs.folder(done), "card", data)
    answer = client.get(f"/api/runs/{done}/exports/card")
    assert answer.status_code == 200
    assert answer.content == data
    # Never shown as a page of the lab.
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert f"{done[-4:]}-card.html" in answer.headers["content-disposition"]
    part = client.get(f"/api/runs/{done}/exports/card", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, data[1:4])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("onnx", "has no ONNX of its checkpoint best yet"),
        ("onx", "Did you mean 'onnx'"),
        ("card?checkpoint=../best", "no checkpoint"),
    ],
)
def test_what_is_not_there_is_said(
    client: TestClient, runs: Store, done: str, address: str, said: str
) -> None:
    write_export(runs.folder(done), "card", b"")
    answer = client.get(f"/api/runs/{done}/exports/{address}")
    assert answer.status_code == 404
    assert said in answer.json()["error"]
