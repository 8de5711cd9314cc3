"""Published weights: whole or refused in a sentence, and they know their epoch."""

from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.errors import DataError, NotFoundError
from lab.training.checkpoint import checkpoint_epoch, checkpoints, load_network
from tests.training.conftest import Train


@pytest.fixture
def folder(tiny: RunConfig, train: Train, tmp_path: Path) -> Path:
    """A run with kept epochs."""
    train(tiny.changed(keep_every=2), tmp_path / "run")
    return tmp_path / "run"


def test_a_checkpoint_knows_its_epoch(folder: Path) -> None:
    assert checkpoints(folder)[:2] == ["best", "last"]
    assert checkpoint_epoch(folder, "last") == 3
    assert checkpoint_epoch(folder, "epoch-0002") == 2
    with pytest.raises(NotFoundError, match="has no checkpoint 'epoch-0009'; there are: best"):
        checkpoint_epoch(folder, "epoch-0009")


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_refused_in_a_sentence(folder: Path, damage: bytes | None) -> None:
    file = folder / "last.safetensors"
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(DataError, match=r"'last' of run run cannot be used .* another checkpoint"):
        load_network(folder, "last")
    load_network(folder, "epoch-0002")


def test_weights_of_another_network_are_refused(
    folder: Path, tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    train(tiny.changed(architecture="mlp"), tmp_path / "other")
    (folder / "last.safetensors").write_bytes((tmp_path / "other/last.safetensors").read_bytes())
    with pytest.raises(DataError, match="cannot be used"):
        load_network(folder, "last")
