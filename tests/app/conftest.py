"""The lab's own entrance under AppTest, with few drawings and an empty LAB_HOME."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lab.data.drawn import animals, signs
from lab.runs.queue import queue, shutdown_queues
from lab.runs.rows import RunRow
from lab.runs.store import close_stores
from lab.ui import startup
from lab.ui.train import cost

ROOT = Path(__file__).parents[2]

OpenPage = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def small_lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(animals, "COUNTS", {"train": 40, "test": 6})
    monkeypatch.setattr(signs, "COUNTS", {"train": 4, "test": 2})
    monkeypatch.setattr(startup, "_warm_up", lambda: None)
    monkeypatch.setattr(cost, "_measure_once", lambda config: None)  # no timing beside the tests
    _clear()
    yield
    shutdown_queues()
    close_stores()
    _clear()


def _clear() -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    startup.start_once.cache_clear()


@pytest.fixture
def open_page() -> OpenPage:
    """open_page("train", run="r-1") -> the page after its first run, without an exception."""

    def open_(name: str = "home", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if name != "home":
            app.switch_page(f"pages/{name}.py").run()
        assert not app.exception, app.exception[0].value
        return app

    return open_


@pytest.fixture
def finished() -> Callable[[str], RunRow]:
    """Wait for a run to end; returns its row."""
    return lambda run_id: queue().wait(run_id, timeout=120)
