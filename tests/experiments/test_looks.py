"""How many runs were tested on the same test images."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.experiments.looks import MANY, looks, looks_words
from lab.runs.rows import RunRow
from lab.runs.store import Store, store
from tests.runs.fakes import ended, started, step


@pytest.fixture
def runs(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    return store()


def run(runs: Store, accuracy: float) -> RunRow:
    run_id = runs.create_run(RunConfig(), status="preparing")
    runs.record(run_id, [started(), step(1), replace(ended(steps=5), test={"accuracy": accuracy})])
    return runs.run(run_id)


def test_looks_at_the_same_test_images_are_counted(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: dict[str, str] = {}
    monkeypatch.setattr("lab.experiments.looks._version", lambda p: versions.get(p.name, "new"))
    rows = [run(runs, 0.7) for _ in range(MANY + 2)]
    versions[rows[0].id] = "old"
    runs.create_run(RunConfig())  # not tested
    assert looks(rows[-1], runs) == MANY + 1
    assert looks(rows[0], runs) == 1
    assert looks_words(rows[0], runs) == ""
    assert looks_words(rows[-1], runs).startswith("11 runs have been tested on these ")
