"""What every test gets: a lab of its own, and the real data when there is some."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from .postgresql import Server, serve

REAL_FILES = ("cats_and_dogs.zip", "sign-language-mnist.zip")


class _Loggers(dict[str, Any]):
    """All loggers: pytest 9.2 goes through them around each test, while threads of the lab import
    modules that make more, and then fails ("dictionary changed size during iteration")."""

    def values(self) -> Any:
        return list(super().values())


logging.root.manager.loggerDict = _Loggers(logging.root.manager.loggerDict)

BROWSER = Path(__file__).parent / "browser"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests begin, because they take longest: the last ones leave a process waiting."""
    items.sort(key=lambda item: BROWSER not in item.path.parents)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Together(config, log)


class Together(LoadScopeScheduling):
    """What stays in one process of `make test`: a file, because its tests share trained networks,
    and all browser tests, because they share a server."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/browser" if nodeid.startswith("tests/browser/") else nodeid.split("::")[0]


@pytest.fixture(autouse=True)
def lab_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """LAB_HOME of this test alone; the lab makes the folder when it first writes."""
    home = tmp_path / "lab-home"
    monkeypatch.setenv("LAB_HOME", str(home))
    yield home
    # What this test opened: its threads would go on in the next test's LAB_HOME.
    if queues := sys.modules.get("lab.runs.queue"):
        queues.shutdown_queues()
    if stores := sys.modules.get("lab.runs.store"):
        stores.close_stores()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server; the test is skipped, visibly, where it is not installed."""
    yield from serve()


@pytest.fixture
def lab_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty run store: a file in LAB_HOME or, with LAB_TEST_DATABASE=postgresql, a database
    that the tests of this process use one after the other."""
    if os.environ.get("LAB_TEST_DATABASE") != "postgresql":
        monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
        return
    if request.node.get_closest_marker("sqlite"):
        pytest.skip("is about SQLite")
    server: Server = request.getfixturevalue("postgresql")
    server.empty("postgres")
    monkeypatch.setenv("LAB_DATABASE_URL", server.url("postgres"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped, visibly, when none is named.

    A folder that is named but lacks a file is a mistake, not a reason to skip.
    """
    named = os.environ.get("LAB_REAL_DATA")
    if not named:
        pytest.skip(f"LAB_REAL_DATA is not set (a folder with {' and '.join(REAL_FILES)})")
    folder = Path(named).expanduser().resolve()
    missing = [name for name in REAL_FILES if not (folder / name).is_file()]
    if missing:
        pytest.fail(f"LAB_REAL_DATA is {folder}, which lacks {', '.join(missing)}")
    return folder
