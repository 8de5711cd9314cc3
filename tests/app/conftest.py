"""The lab's own entrance under AppTest, with few drawings and an empty LAB_HOME."""

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog
from lab.data.drawn import animals, signs
from lab.runs.queue import queue, shutdown_queues
from lab.runs.rows import RunRow
from lab.runs.store import close_stores, store
from lab.ui import startup
from lab.ui.train import cost

ROOT = Path(__file__).parents[2]

# AppTest looks for components in all that is installed each time a page is opened: half a second.
_components = functools.cache(manifest_scanner.scan_component_manifests)

_drawn: dict[tuple[object, ...], list[Any]] = {}  # by what was asked for: the drawn batches


def _remembered(module: Any) -> Callable[..., Iterator[Any]]:
    """`render_batches` of a module, which draws the same only once in a process."""
    draw = module.render_batches

    def render(split: str, **how: Any) -> Iterator[Any]:
        key = (module, split, module.COUNTS[split], *sorted(how.items()))
        if key not in _drawn:
            _drawn[key] = list(draw(split, **how))
        yield from _drawn[key]

    return render


OpenPage = Callable[..., AppTest]
Completed = Callable[..., list[RunRow]]


def settled(app: AppTest) -> AppTest:
    """Runs the page until no job is left that it waits for, and once after the last one ended."""
    seen = None
    while seen != (ended := _ended_jobs()):
        seen = ended
        app.run()
    assert not app.exception, app.exception[0].value
    return app


def _ended_jobs() -> set[str]:
    known = [job.id for job in jobs.jobs()]
    for job_id in known:
        jobs.wait(job_id, timeout=60)
    return set(known)


@pytest.fixture(autouse=True)
def small_lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(animals, "COUNTS", {"train": 40, "test": 6})
    monkeypatch.setattr(signs, "COUNTS", {"train": 4, "test": 2})
    for drawn in (animals, signs):
        monkeypatch.setattr(drawn, "render_batches", _remembered(drawn))
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", _components)
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
    with jobs._lock:
        jobs._jobs.clear()  # the runs of two tests may be copies, whose jobs would be the same


@pytest.fixture
def open_page() -> OpenPage:
    """open_page("train", run="r-1") -> the page after a run, without an exception."""

    def open_(name: str = "home", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        if name == "home" or query:  # Home adopts a query: AppTest drops it on the way to a page
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


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of uploaded files that Streamlit was told to keep no longer."""
    ids: list[str] = []
    remove = MemoryUploadedFileManager.remove_file

    def noted(manager: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
        ids.append(file_id)
        remove(manager, session_id, file_id)

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", noted)
    return ids


_TRAINED: dict[str, Path] = {}


@pytest.fixture
def completed(
    lab_home: Path, finished: Callable[[str], RunRow], tmp_path_factory: pytest.TempPathFactory
) -> Completed:
    """completed((config, name), ...) -> these runs, trained to their ends, the first one first.

    Where an earlier test has trained the same ones, its whole lab is copied into this test's, if
    that has no runs yet. `then` works on each run; what it leaves in the lab is copied as well.
    """

    def train(
        *wanted: tuple[RunConfig, str | None], then: Callable[[RunRow], object] | None = None
    ) -> list[RunRow]:
        packs = [catalog.describe(config.dataset).content_hash for config, _ in wanted]
        key = f"{wanted} {packs} {then and then.__name__}"
        fresh = not (lab_home / "lab.sqlite").exists()
        if fresh and key in _TRAINED:
            shutil.copytree(_TRAINED[key], lab_home, dirs_exist_ok=True)
            return store().runs(order="oldest")
        runs = [finished(queue().submit(config, name=name)) for config, name in wanted]
        assert {run.status for run in runs} == {"completed"}
        for run in runs if then else ():
            then(run)
        if fresh:
            shutdown_queues()  # nothing is written any more
            close_stores()
            _TRAINED[key] = tmp_path_factory.mktemp("trained")
            shutil.copytree(lab_home, _TRAINED[key], dirs_exist_ok=True)
        return runs

    return train
