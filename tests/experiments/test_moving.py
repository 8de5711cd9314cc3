"""From the lab's file into PostgreSQL: the same runs and sweeps, and the old file untouched."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.errors import ConfigError, DataError, NotFoundError, StateError
from lab.experiments.moving import move_to_postgresql
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.study import open_study
from lab.experiments.sweeps.table import create_sweep
from lab.runs.foreground import run_in_foreground
from lab.runs.store import close_stores, store
from tests.postgresql import Server
from tests.runs.fakes import CONFIG, FakeEngine

SWEEP = SweepConfig(name="rates", base=CONFIG, axes={"learning_rate": [1e-3, 1e-2]})


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    yield
    close_stores()


@pytest.fixture
def url(postgresql: Server) -> str:
    postgresql.empty("postgres")
    return postgresql.url("postgres")


def test_a_lab_moves_and_goes_on(
    lab_home: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_in_foreground(CONFIG, engine=FakeEngine(), resolve=lambda _: "cpu")
    before = store()
    sweep = create_sweep(before, name="rates", config_json=SWEEP.to_json())
    with open_study(sweep, SWEEP, before.database) as study:
        drawn = [trial.params for _ in range(2) if (trial := study.next())]
    log, steps = before.log(run.id), before.steps(run.id)
    close_stores()
    digest = hashlib.sha256((lab_home / "lab.sqlite").read_bytes()).hexdigest()

    assert main(["storage", "--move-to", url]) == 0
    assert "steps" in capsys.readouterr().out
    assert hashlib.sha256((lab_home / "lab.sqlite").read_bytes()).hexdigest() == digest
    with pytest.raises(DataError, match="The database is not empty"):
        move_to_postgresql(url)

    monkeypatch.setenv("LAB_DATABASE_URL", url)
    after = store()
    assert after.run(run.id) == run
    assert after.log(run.id) == log
    assert list(after.steps(run.id).step) == list(steps.step)
    assert list(after.steps(run.id)["loss"]) == list(steps["loss"])
    after.write_log(run.id, "info", "and on")
    assert after.log(run.id)[-1].seq > log[-1].seq
    with open_study(sweep, SWEEP, after.database) as study:
        assert [trial.params for trial in study.open_trials()] == drawn
    with pytest.raises(ConfigError, match="names a PostgreSQL database already"):
        move_to_postgresql(url)


def test_what_cannot_be_moved_is_refused(lab_home: Path, url: str) -> None:
    with pytest.raises(NotFoundError, match="There is no run store"):
        move_to_postgresql(url)
    with pytest.raises(ConfigError, match="it must look like postgresql://"):
        move_to_postgresql("mysql://somewhere")
    run = store().create_run(CONFIG, status="preparing")
    with pytest.raises(StateError, match=f"Run {run} trains. Pause it"):
        move_to_postgresql(url)
