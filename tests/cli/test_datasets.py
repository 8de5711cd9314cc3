"""`python -m lab datasets ...`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli.main import main
from lab.data.drawn import signs
from lab.data.quality.findings import CHECKS
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of ten images, and one file that is none."""
    rng = np.random.default_rng(0)
    for name in ("leaf", "stone"):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "pictures" / "leaf" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "list", "--json"]) == 0
    infos = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [info["name"] for info in infos]
    assert names[:4] == ["drawn-cats-dogs", "drawn-signs", "sign-mnist", "cats-dogs"]
    assert main(["datasets", "list"]) == 0
    assert "drawn-signs" in capsys.readouterr().out
    assert main(["datasets", "show", "sign-mnist"]) == 0
    assert "Sign-Language MNIST" in capsys.readouterr().out


def test_add_reports_and_remove_removes(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "add", "walk", str(pictures), "--title", "A walk"]) == 0
    captured = capsys.readouterr()
    assert "Added 20 images in 2 classes" in captured.out
    assert "broken.jpg" in captured.err
    assert main(["datasets", "show", "walk", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["class_names"] == ["leaf", "stone"]
    assert info["title"] == "A walk"
    assert main(["datasets", "remove", "walk"]) == 0
    assert main(["datasets", "show", "walk"]) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "drawn-sings"], "Did you mean 'drawn-signs'"),
        (["add", "walk", "/nowhere"], "/nowhere"),
        (["add", "Not A Name!", "/nowhere"], "Not A Name!"),
        (["remove", "drawn-signs"], "Drawn signs is built in"),
        (["download", "imagenet"], "imagenet"),
    ],
)
def test_refusals_are_sentences(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets", *arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err


def test_prepare_draws_what_is_built_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "COUNTS", {"train": 2, "test": 1})
    make_tiny_pack("drawn-cats-dogs")
    from lab.data import catalog
    from lab.data.drawn import animals

    monkeypatch.setattr(animals, "COUNTS", {"train": 2, "test": 1})
    assert main(["datasets", "prepare"]) == 0
    assert all(
        catalog.describe(n).state == catalog.READY for n in ("drawn-signs", "drawn-cats-dogs")
    )


def test_check_prints_what_every_check_found(capsys: pytest.CaptureFixture[str]) -> None:
    make_tiny_pack(train=60, test=15)
    assert main(["datasets", "check", "tiny"]) == 0
    out = capsys.readouterr().out
    for check in CHECKS:
        assert check.title in out
    assert main(["datasets", "check", "tiny", "--only", "label_errors", "--json"]) == 0
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found["check"] == "label_errors"
    assert found["figures"]["judged"] == 75
    assert set(found) == {"check", "seconds", "figures", "notes", "findings"}
    assert main(["datasets", "check", "tiny", "--only", "smell"]) == 2
    assert "smell" in capsys.readouterr().err
