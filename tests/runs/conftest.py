"""Every test gets its own LAB_HOME, and leaves no thread and no lock behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.runs.queue import Queue, shutdown_queues
from lab.runs.store import Store, close_stores, store

from .fakes import CONFIG, FakeEngine


@pytest.fixture(autouse=True)
def home(lab_home: Path, lab_database: None) -> Iterator[Path]:
    yield lab_home
    shutdown_queues()
    close_stores()


@pytest.fixture
def runs() -> Store:
    return store()


@pytest.fixture
def run_id(runs: Store) -> str:
    """A run that is about to train in this process."""
    return runs.create_run(CONFIG, status="preparing")


@pytest.fixture
def start_queue(runs: Store) -> Iterator[Callable[..., Queue]]:
    """start_queue(engine, **options) -> a working queue that is shut down after the test."""
    queues: list[Queue] = []

    def start(engine: Any = None, **options: Any) -> Queue:
        options.setdefault("resolve", lambda config: "cpu")
        options.setdefault("poll_seconds", 60.0)
        queues.append(Queue(runs, engine=engine or FakeEngine(), **options))
        queues[-1].start()
        return queues[-1]

    yield start
    for each in queues:
        each.shutdown()
