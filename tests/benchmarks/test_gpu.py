"""The script for graphics cards, in its short form, on whatever this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu, results
from lab.data.drawn import animals, signs


def test_the_checks_hold_and_the_throughput_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LAB_HOME", "TORCHINDUCTOR_CACHE_DIR"):  # the script sets its own
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(animals, "COUNTS", {"train": 40, "test": 6})
    monkeypatch.setattr(signs, "COUNTS", {"train": 30, "test": 2})
    monkeypatch.setattr(gpu, "SHORT", gpu.SHORT.changed(batch_size=16, steps_per_epoch=8))
    monkeypatch.setattr(results, "FILE", tmp_path / "RESULTS.md")
    gpu.main(quick=True)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "## Graphics card, quick" in text
    if gpu.DEVICE.type == "cpu":  # bit for bit there
        assert "| the same run again | largest difference of a weight 0 |" in text
        assert "| stopped within an epoch and resumed | largest difference 0 |" in text
    assert "| resnet18, 32, batch 4 |" in text
