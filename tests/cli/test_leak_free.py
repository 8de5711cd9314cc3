"""`python -m lab leak-free RUN`."""

import json

import numpy as np
import pytest

from lab.cli.main import main
from lab.data.quality import duplicates
from lab.errors import DataError
from lab.evaluate.opened import open_data
from lab.runs.store import store
from lab.training.checkpoint import COPIES, CheckpointMetadata
from tests.tiny_data import make_tiny_pack


def test_a_run_without_near_copies(capsys: pytest.CaptureFixture[str]) -> None:
    """A run on bars; no two of them are alike enough."""
    name = make_tiny_pack()
    train = ["train", "--dataset", name, "--architecture", "single-layer-perceptron"]
    assert main([*train, "--epochs", "1", "--split-by", "group", "--json"]) == 0
    capsys.readouterr()
    run = store().runs()[0].id
    assert main(["leak-free", run, "--json"]) == 0
    honest = json.loads(capsys.readouterr().out)
    assert honest["all"]["images"] == honest["leak_free"]["images"] == 30
    assert main(["leak-free", run]) == 0
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
