"""What an open page costs a run that trains, and what a tick costs the wire.

A real server, a real Chromium, a real run (single-layer perceptron on the drawn signs: hundreds of
steps a second, the hardest case for telling). Needs playwright and /usr/bin/chromium.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
POINTS = 10_000
ROUNDS = 3
SECONDS = 10.0
LINK = "train?dataset=drawn-signs&architecture=single-layer-perceptron&batch_size=16&epochs=10000"


def main(*, quick: bool = False) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        os.environ["LAB_HOME"] = home
        from lab.data import catalog

        catalog.open_pack("drawn-signs")
        with _server() as url:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=ARGUMENTS
            )
            _measure(browser, url)
            browser.close()


def _measure(browser: Any, url: str) -> None:
    from lab.runs.store import store

    page = browser.new_page()
    frames = _count_frames(page)
    page.goto(f"{url}/{LINK}")
    train = page.get_by_role("button", name="Train", exact=True)
    train.wait_for(timeout=60_000)
    page.get_by_text("steps per epoch").first.wait_for(timeout=60_000)
    pressed = time.monotonic()
    train.click()
    page.wait_for_url(re.compile("run=r-"), timeout=60_000)
    page.wait_for_function(
        "document.querySelector('.live-chart .js-plotly-plot')?.data?.[0].x.length > 0",
        timeout=60_000,
    )
    print(f"first live point after pressing Train   {time.monotonic() - pressed:8.2f} s")
    run_id = re.search(r"run=([\w-]+)", page.url).group(1)  # type: ignore[union-attr]
    while store().run(run_id).step < POINTS:
        time.sleep(0.5)

    def speed() -> float:
        """Steps per second over the next while, as the store saw them."""
        before, started = store().run(run_id).step, time.monotonic()
        time.sleep(SECONDS)
        return (store().run(run_id).step - before) / (time.monotonic() - started)

    opened, closed, ticks = [], [], []
    for _ in range(ROUNDS):
        frames.clear()
        page.wait_for_timeout(3000)
        frames.clear()
        opened.append(_while_the_page_runs(page, speed))
        ticks += _bytes_per_second(frames)
        reruns = _rerun_times(page, frames)
        link = page.url
        page.close()
        time.sleep(2)
        closed.append(speed())
        page = browser.new_page()
        frames = _count_frames(page)
        page.goto(link)
        page.wait_for_timeout(5000)
    ratio = statistics.median(o / c for o, c in zip(opened, closed, strict=True))
    steps = store().run(run_id).step
    print(f"points in the history at the end        {steps:8,}")
    print(f"steps per second, no page open          {statistics.median(closed):8.0f}")
    print(f"steps per second, one page open         {statistics.median(opened):8.0f}")
    print(f"ratio, median of {ROUNDS} rounds                 {ratio:8.3f}")
    print(f"websocket bytes a tick, median          {statistics.median(ticks):8,.0f}")
    print(f"page rerun while training, p50          {statistics.median(reruns):8.0f} ms")


def _while_the_page_runs(page: Any, speed: Any) -> float:
    """`speed()` in a thread, while Playwright's loop keeps the browser's events flowing."""
    import threading

    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(speed()))
    thread.start()
    while thread.is_alive():
        page.wait_for_timeout(100)
    return found[0]


def _count_frames(page: Any) -> list[tuple[float, int]]:
    """(time, bytes) of each frame that the page receives from now on."""
    frames: list[tuple[float, int]] = []

    def listen(socket_: Any) -> None:
        socket_.on("framereceived", lambda data: frames.append((time.monotonic(), len(data))))

    page.on("websocket", listen)
    return frames


def _bytes_per_second(frames: list[tuple[float, int]]) -> list[float]:
    """Bytes of each whole second: one tick."""
    if not frames:
        return [0.0]
    start = frames[0][0]
    seconds: dict[int, int] = {}
    for at, size in frames:
        seconds[int(at - start)] = seconds.get(int(at - start), 0) + size
    return [float(size) for _, size in sorted(seconds.items())[1:-1]]


def _rerun_times(page: Any, frames: list[tuple[float, int]]) -> list[float]:
    """Milliseconds from changing a setting to the last frame of the rerun it causes."""
    times = []
    plus = page.get_by_test_id("stNumberInputStepUp").first  # of the batch size
    for _ in range(10):
        page.wait_for_timeout(400)
        frames.clear()
        pressed = time.monotonic()
        plus.click()
        page.wait_for_timeout(600)
        # A tick of the live chart is one burst of its own; the rerun is the first one.
        last = pressed
        for at, _size in frames:
            if at - last > 0.15 and last > pressed:
                break
            last = at
        times.append((last - pressed) * 1000)
    return times


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    started = time.monotonic()
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        print(f"server answers after                    {time.monotonic() - started:8.2f} s")
        yield url
    finally:
        server.terminate()
        server.wait(20)
