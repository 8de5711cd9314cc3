"""A tiny run, trained once a process and copied for each test."""

import shutil
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.store import close_stores, store
from tests.tiny_data import make_tiny_pack

_trained: list[Path] = []


@pytest.fixture
def run(lab_home: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRow:
    """A completed run of a small CNN on three classes."""
    if not _trained:
        config = RunConfig(
            dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=2, device="cpu"
        )
        run_in_foreground(config, name="Bars & <b>stripes</b>")
        close_stores()
        _trained.append(tmp_path_factory.mktemp("trained") / "home")
        shutil.copytree(lab_home, _trained[0])
    else:
        shutil.copytree(_trained[0], lab_home, dirs_exist_ok=True)
    return store().runs()[0]
