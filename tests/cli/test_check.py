"""`python -m lab check ...`."""

import json

import numpy as np
import pytest

from lab.cli.main import main
from lab.data.quality import check as quality
from lab.data.quality import duplicates
from lab.errors import DataError
from lab.evaluate.opened import open_data
from lab.runs.store import store
from lab.training.checkpoint import COPIES, CheckpointMetadata
from tests.data.quality.test_duplicates import make_pack, pictures
from tests.tiny_data import make_tiny_pack


def copies() -> None:
    images = pictures(12)
    images[10] = images[0]
    images[11] = images[1]
    make_pack(images, split=[0] * 10 + [2, 2])


def test_says_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    copies()
    assert main(["check", "copies", "--only", "duplicates"]) == 0
    out = capsys.readouterr().out
    assert "Copies and near-copies: 2" in out
    assert "2 of 2 test pictures (100.0%) have one among the training pictures" in out
    assert "10.png (a, test) | 0.png (a, train)" in out
    assert quality.result_of(quality.catalog.describe("copies").content_hash, "duplicates")


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    copies()
    assert main(["check", "copies", "--only", "duplicates", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["checks"]["duplicates"]
    assert found["figures"]["test_with_copy_in_training"] == 2
    assert [f["rows"] for f in found["findings"]] == [[10, 0], [11, 1]]


def test_a_run_without_near_copies(capsys: pytest.CaptureFixture[str]) -> None:
    """A run on bars; no two of them are alike enough."""
    name = make_tiny_pack()
    train = ["train", "--dataset", name, "--architecture", "single-layer-perceptron"]
    assert main([*train, "--epochs", "1", "--split-by", "group", "--json"]) == 0
    capsys.readouterr()
    run = store().runs()[0].id
    assert main(["check", "--run", run, "--json"]) == 0
    honest = json.loads(capsys.readouterr().out)["leak_free"]
    assert honest["all"]["images"] == honest["leak_free"]["images"] == 30
    assert main(["check", "--run", run]) == 0
    assert "None of the 30 test images is a near-copy" in capsys.readouterr().out


def test_a_run_keeps_its_cut_when_other_copies_are_found_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = make_tiny_pack()
    train = ["train", "--dataset", name, "--architecture", "single-layer-perceptron"]
    assert main([*train, "--epochs", "1", "--split-by", "group"]) == 0
    folder = store().folder(store().runs()[0].id)
    pack, before = open_data(CheckpointMetadata.read(folder))
    np.save(duplicates._file(pack), np.arange(len(pack)) // 9 * 9)
    _, after = open_data(CheckpointMetadata.read(folder))
    assert after.val.tolist() == before.val.tolist()
    (folder / COPIES).unlink()
    with pytest.raises(DataError, match="file of near-copies is gone"):
        open_data(CheckpointMetadata.read(folder))
    assert main([*train, "--epochs", "1"]) == 0  # by picture: no such file is made or needed
    other = store().folder(store().runs()[0].id)
    assert not (other / COPIES).exists()
    assert len(open_data(CheckpointMetadata.read(other))[1].val) == 9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give the name of a data set"),
        (["drawn-sign"], "Did you mean 'drawn-signs'"),
        (["drawn-signs", "--only", "duplicate"], "duplicates"),
        (["--run", "r-1"], "run"),
    ],
)
def test_what_cannot_be_checked(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    assert sentence in capsys.readouterr().err
