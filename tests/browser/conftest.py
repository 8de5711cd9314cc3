"""A real server and a real Chromium, for what AppTest cannot see: ticks, JavaScript, reloads.

    def test_something(serve, open_page):
        url = serve(Path("streamlit_app.py"))      # one server a script, with a LAB_HOME of its own
        page = open_page(url, width=420, scheme="dark")
        ...                                        # fails at the end on errors in the console

Every test in this folder carries the marker `browser` and is skipped, visibly, where playwright or
Debian's Chromium is missing; with LAB_BROWSER=required they fail instead. LAB_CHROMIUM names
another browser, LAB_SCREENSHOTS a folder for a screenshot of every test's last moment.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page_switches import until_still
from lab.data import catalog
from lab.data.drawn import signs

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("LAB_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a moving test picture in place of a camera
    "--use-fake-ui-for-media-stream",  # and permission to see it
]

SOON = 150_000
"""Milliseconds; generous: two cores may be busy with the drawings."""
TOKEN = "of the tests"
HOMES: dict[str, Path] = {}
"""URL of a server -> its LAB_HOME."""
PAGES = pytest.StashKey[list[Any]]()
"""The pages that a test has opened."""

Serve = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # Once more where something did not come in time, and visibly (RERUN in the summary):
            # on a machine that others slow down, a click now and then meets a page on the move.
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun="^TimeoutError"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what the pages said to the report of a test that failed."""
    report = yield
    if report.failed and call.when == "call":
        for page in item.stash.get(PAGES, []):
            with contextlib.suppress(Exception):  # the test's own failure is what counts
                report.sections.append((f"{page.url} at the end", page.inner_text("body")))
    return report


def missing(what: str) -> None:
    if os.environ.get("LAB_BROWSER") == "required":
        pytest.fail(f"LAB_BROWSER=required, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The browser's one profile, for this folder: its event loop would disturb tests elsewhere."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install -r requirements-dev.txt)")
    if not CHROMIUM.is_file():
        missing(f"there is no {CHROMIUM} (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        # One profile for all: Streamlit's and Plotly's 10 MB are fetched once. The pages share
        # no session even so; Streamlit makes one for each page that opens.
        yield browser.new_context()
        browser.close()


@pytest.fixture(scope="package")
def serve(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(script)` is the URL of a running `streamlit run script`; it ends with this folder."""
    running: dict[Path, str] = {}
    with contextlib.ExitStack() as stack:

        def start(script: Path, *, fresh: bool = False, **settings: str) -> str:
            """`fresh` is a server that nobody has talked to yet; `settings` are variables of its
            environment, for a fresh one."""
            if fresh or settings:
                folder = tmp_path_factory.mktemp(script.stem)
                return stack.enter_context(served(script, folder, settings))
            if script not in running:
                folder = tmp_path_factory.mktemp(script.stem)
                running[script] = stack.enter_context(served(script, folder))
            return running[script]

        yield start


@contextlib.contextmanager
def served(script: Path, folder: Path, settings: dict[str, str] | None = None) -> Iterator[str]:
    port = free_port()
    log = folder / "server.log"
    home = folder / "lab-home"
    shutil.copytree(_drawn(), home, dirs_exist_ok=True)
    clean = {name: value for name, value in os.environ.items() if "STREAMLIT" not in name}
    environment = {
        **clean,
        "LAB_HOME": str(home),
        "LAB_API_TOKEN": TOKEN,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",  # the tests share the machine with the browser
        **(settings or {}),
    }
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += ["--server.port", str(port), "--server.headless", "true"]
    command += ["--server.fileWatcherType", "none"]
    with (
        log.open("wb") as output,
        # In the repository's root, because that is where .streamlit/config.toml is.
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, server, log)
            HOMES[url] = home
            yield url
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()


@functools.cache
def _drawn() -> Path:
    """A LAB_HOME with the built-in sets, but only a fifth of the signs to test with. Made once: a
    server that draws them is busy for its first fifteen seconds."""
    home = Path(tempfile.mkdtemp(prefix="lab-drawn-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(home))
        patch.setattr(signs, "COUNTS", {"train": 250, "test": 10})
        for spec in catalog.DATASETS:
            if spec.built_in:
                catalog.open_pack(spec.name)
    return home


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"The server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def train_run(url: str, **knobs: Any) -> str:
    """Has the server train a run on the drawn signs; returns its id once it has completed."""
    run = ask(f"{url}/api/runs", {"config": {"dataset": "drawn-signs", **knobs}})
    wait_for_run(url, run["id"])
    return str(run["id"])


def wait_for_run(url: str, run_id: str) -> None:
    deadline = time.monotonic() + SOON / 1000
    while (run := ask(f"{url}/api/runs/{run_id}"))["status"] in ("queued", "preparing", "running"):
        assert time.monotonic() < deadline, run
        time.sleep(0.1)
    assert run["status"] == "completed", run


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="package")
def finished_run(serve: Serve) -> str:
    """The id of a completed run of a small CNN, for tests that only look at one."""
    url = serve(ROOT / "streamlit_app.py")
    knobs = {"architecture": "sign-cnn", "epochs": 2, "learning_rate": 0.003}
    return train_run(url, **knobs, subset_per_class=50)


def settle(page: Any, quiet: int = 400) -> None:
    """Waits until the page has answered and nothing of it has changed for so many milliseconds; at
    most ten times as long, for a page that keeps counting."""
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=SOON)
    until_still(page, quiet, 10 * quiet)
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=SOON)


def _is_ours(message: Any) -> bool:
    """An error of the lab. Opened at /train, Streamlit's own script first looks for its server
    below /train, gets a 404, and then finds it at the root."""
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")


@pytest.fixture
def open_page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """`open_page(url, width=1440, height=900, scheme="light")` is a page with a session of its own.

    The test fails at its end when a page logged an error or threw one.
    """
    troubles: list[str] = []
    with contextlib.ExitStack() as stack:
        pages = request.node.stash[PAGES] = []

        def open_(
            url: str,
            *,
            width: int = 1440,
            height: int = 900,
            scheme: str = "light",
            expected: str = "",
        ) -> Any:
            """`expected` is part of an error that the test provokes."""

            def note(message: Any) -> None:
                if _is_ours(message) and not (expected and expected in message.text):
                    troubles.append(message.text)

            page = chromium.new_page()
            stack.callback(page.close)
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.on("console", note)
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.goto(url)
            pages.append(page)
            return page

        yield open_
        folder = os.environ.get("LAB_SCREENSHOTS")
        if folder:
            for number, page in enumerate(pages):
                page.screenshot(path=str(Path(folder) / f"{request.node.name}-{number}.png"))
    assert not troubles, "The browser's console has errors:\n" + "\n".join(troubles)
