"""Every test gets a store of its own, a client of the API, and runs without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.api.guard import api_token
from lab.api.routes import routes
from lab.runs.store import Store, store
from tests.runs.fakes import CONFIG, ended, epoch, started, step


@pytest.fixture(autouse=True)
def home(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    monkeypatch.delenv("LAB_API_TOKEN", raising=False)
    return lab_home


@pytest.fixture
def runs() -> Store:
    return store()


@pytest.fixture
def run_id(runs: Store) -> str:
    """A run that is about to train in this process."""
    return runs.create_run(CONFIG, status="preparing")


@pytest.fixture
def done(runs: Store, run_id: str) -> str:
    """A run of two epochs of five steps that has ended."""
    train(runs, run_id, range(1, 11))
    runs.record(run_id, [ended(steps=10)])
    return run_id


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Asks like curl: without Origin, without the token."""
    with TestClient(Starlette(routes=routes()), base_url="http://localhost:8501") as asking:
        yield asking


@pytest.fixture
def token() -> dict[str, str]:
    return {"Authorization": f"Bearer {api_token()}"}


def train(runs: Store, run_id: str, steps: range, *, per_epoch: int = 5) -> None:
    """Records steps and, behind the last one of each, epochs."""
    if steps.start == 1:
        runs.record(run_id, [started(per_epoch=per_epoch)])
    for number in steps:
        runs.record(run_id, [step(number, per_epoch=per_epoch)])
        if number % per_epoch == 0:
            runs.record(run_id, [epoch(number // per_epoch, per_epoch=per_epoch)])
