"""What telling costs a run that trains: its events, the store, and the pages that watch it.

    python -m benchmarks live-page            about 25 minutes on two cores
    python -m benchmarks live-page --quick    one round each

A real server, a real Chromium on the same machine, real runs: the sign CNN (batches of 256) and, as
the hardest case, a single-layer perceptron with hundreds of steps a second. Needs playwright and
/usr/bin/chromium.
"""

from __future__ import annotations

import contextlib
import itertools
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
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.far_pages import far_pages
from benchmarks.results import write

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ROUNDS = 2
SECONDS = 40.0
PAGES = (1, 5)
WORKS = {
    "sign CNN, batch 256": "architecture=sign-cnn&batch_size=256",
    "perceptron, batch 16": "architecture=single-layer-perceptron&batch_size=16",
}


def main(*, quick: bool = False) -> None:
    from playwright.sync_api import sync_playwright

    lines: list[str] = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        os.environ["LAB_HOME"] = home
        from lab.data import catalog

        catalog.open_pack("drawn-signs")
        lines += _recording(5 if quick else 15)
        with _server() as (url, answered):
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=ARGUMENTS
            )
            lines += _start(browser, url, answered)
            lines += _looked_at(browser, url, 60.0 if quick else 225.0)
            lines += [
                "",
                "Steps per second of a run after its first minute, when a page looks every "
                f"{_looks():.1f} seconds or more rarely, while pages are open on it: in a browser "
                "on the same cores (it draws in software here; its processor time in cores is "
                "given), and on other machines, where only the server's own cost is left (made by "
                "clients that ask like a browser and draw nothing). Costs are against the speed "
                "without a page before and after:",
                "",
                "| run | no page | 1 here | 5 here | 5 elsewhere "
                "| 1 here costs | 5 here cost | 5 elsewhere cost | browser, 1 page | 5 pages |",
                "|---|---|---|---|---|---|---|---|---|---|",
            ]
            for name, knobs in WORKS.items():
                lines.append(_watched(browser, url, name, knobs, 1 if quick else ROUNDS))
            browser.close()
    write("Telling" + (", quick" if quick else ""), [], text="\n".join(lines))


def _recording(rounds: int) -> list[str]:
    """An epoch of the sign CNN whose events go into the store against one whose events go nowhere,
    in turn."""
    from lab.config import RunConfig
    from lab.runs.queue import run_in_foreground
    from lab.training.control import Control
    from lab.training.events import EpochDone, Event
    from lab.training.fit import fit
    from lab.training.plan import make_plan

    config = RunConfig(
        dataset="drawn-signs",
        architecture="sign-cnn",
        batch_size=64,
        epochs=rounds + 2,
        film_strip=False,
        layer_statistics="off",
    )
    told: list[float] = []
    untold: list[float] = []
    mark = 0.0
    with tempfile.TemporaryDirectory() as folder:
        silent = fit(make_plan(config, folder=Path(folder)), Control())

        def listen(event: Event) -> None:
            nonlocal mark
            if isinstance(event, EpochDone):
                told.append(time.perf_counter() - mark)
                began = time.perf_counter()
                next(e for e in silent if isinstance(e, EpochDone))
                untold.append(time.perf_counter() - began)
                mark = time.perf_counter()

        run_in_foreground(config, on_event=listen)
        list(silent)
    cost = statistics.median(told[1:]) / statistics.median(untold[1:]) - 1
    return [
        "Events and store, no page: an epoch of the sign CNN (batches of 64) takes "
        f"{statistics.median(told[1:]):.2f} s, with its events thrown away "
        f"{statistics.median(untold[1:]):.2f} s: {cost:+.1%}.",
    ]


def _start(browser: Any, url: str, answered: float) -> list[str]:
    """The first page of a new server, the first live point, a rerun while training."""
    from lab.runs.store import store

    page = browser.new_page()
    frames = _count_frames(page)
    began = time.monotonic()
    page.goto(url)
    page.get_by_role("heading", name="Start with one click").wait_for(timeout=60_000)
    first = answered + time.monotonic() - began
    page.wait_for_timeout(15_000)  # a person reads
    points = []
    reruns: list[float] = []
    for _ in range(3):
        page.goto(f"{url}/train?dataset=drawn-signs&architecture=sign-cnn&epochs=1000")
        train = page.get_by_role("button", name="Train", exact=True)
        train.wait_for(timeout=60_000)
        page.get_by_text("steps per epoch").first.wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        pressed = time.monotonic()
        train.click()
        page.wait_for_url(re.compile("run=r-"), timeout=60_000)
        page.wait_for_function(
            "document.querySelector('.live-chart .js-plotly-plot')?.data?.[0].x.length > 0",
            timeout=60_000,
        )
        points.append(time.monotonic() - pressed)
        page.wait_for_timeout(3000)
        reruns += _rerun_times(page, frames)
        store().request(_run_of(page), "stop")
        page.wait_for_timeout(2000)
    page.close()
    return [
        "",
        f"- `streamlit run` to the server's first answer {answered:.1f} s, to an interactive first "
        f"page {first:.1f} s (target 5)",
        "- pressing Train to the first live point "
        + ", ".join(f"{seconds:.1f}" for seconds in points)
        + " s (target 1)",
        f"- changing a knob while a run trains, to the end of the page's answer: p50 "
        f"{statistics.median(reruns):.0f} ms",
    ]


def _watched(browser: Any, url: str, name: str, knobs: str, rounds: int) -> str:
    """A row of the table: steps per second while so many pages show the run."""
    from lab.runs.store import store

    run_id, link = _trained_for_a_minute(browser, url, knobs)

    def speed() -> float:
        before, started = store().run(run_id).step, time.monotonic()
        time.sleep(SECONDS)
        return (store().run(run_id).step - before) / (time.monotonic() - started)

    alone: list[float] = []
    here: dict[int, list[float]] = {count: [] for count in PAGES}
    elsewhere: list[float] = []
    browsing: dict[int, list[float]] = {count: [] for count in PAGES}
    for _ in range(rounds):
        time.sleep(2)
        alone.append(speed())
        with far_pages(max(PAGES), url, "train", f"run={run_id}") as far:
            time.sleep(5)
            before = [each.ticks for each in far]
            elsewhere.append(speed())
            looks = [each.ticks - n for each, n in zip(far, before, strict=True)]
            asked = min(each.expected(SECONDS) for each in far)
            assert min(looks) > 0.6 * asked, f"a far page looked {min(looks)} of {asked:.0f} times"
        for count in PAGES:
            pages = [browser.new_page() for _ in range(count)]
            for each in pages:
                each.goto(link)
            pages[0].wait_for_timeout(10_000 + 3000 * count)  # loading is not watching
            began, used = time.monotonic(), _browser_seconds()
            here[count].append(_while_the_page_runs(pages[0], speed))
            used = _browser_seconds() - used
            browsing[count].append(used / (time.monotonic() - began))
            for each in pages:
                each.context.close()
    time.sleep(2)
    alone.append(speed())
    store().request(run_id, "stop")
    without = [(before + after) / 2 for before, after in itertools.pairwise(alone)]
    watched = [*here.values(), elsewhere]
    speeds = " | ".join(f"{statistics.median(found):.1f}" for found in [alone, *watched])
    costs = " | ".join(
        f"{statistics.median(1 - s / n for s, n in zip(found, without, strict=True)):.1%}"
        for found in watched
    )
    cores = " | ".join(f"{statistics.median(browsing[count]):.2f}" for count in PAGES)
    return f"| {name} | {speeds} | {costs} | {cores} |"


def _looked_at(browser: Any, url: str, seconds: float) -> list[str]:
    """What the looks of one page cost a run in so many seconds, told within the run: what steps
    right behind a look take longer than those before the next one. A machine that grows slower does
    not change it, as it does a comparison of minutes with a page and without."""
    import numpy as np

    from lab.runs.store import store

    run_id, link = _trained_for_a_minute(browser, url, WORKS["sign CNN, batch 256"])
    page = browser.new_page()
    asked: list[float] = []
    page.on("websocket", lambda ws: ws.on("framesent", lambda _: asked.append(time.time())))
    page.goto(link)
    page.wait_for_timeout(12_000)  # loading is not watching

    def behind() -> float:
        """From training time to the clock on the wall, or up to a quarter of a second more: a step
        is not in the store at once."""
        time.sleep(0.05)
        newest = store().steps(run_id, after=store().run(run_id).step - 3)
        return time.time() - float(newest.seconds[-1])

    offset = min(behind() for _ in range(20))
    began = time.time()
    page.wait_for_timeout(int(seconds * 1000))
    ended = time.time()
    steps = store().steps(run_id)
    store().request(run_id, "stop")
    page.context.close()
    done = np.asarray(steps.seconds) + offset
    took = np.diff(done)
    looks = np.array([at for at in asked if began <= at <= ended])
    since = done[1:] - looks[np.searchsorted(looks, done[1:]).clip(1, len(looks)) - 1]
    within = (done[1:] > looks[0]) & (done[1:] < ended) & (np.diff(steps.epoch) == 0)
    quiet = took[within & (since >= 2.5)].mean()
    lost = (took[within & (since < 2)] - quiet).sum()
    return [
        f"- one page in a browser on the same cores, for {seconds:.0f} s after the first minute: "
        f"{len(looks)} looks (the live view's every {_looks():.1f} s, and those at verdicts and "
        f"film strip), {lost / len(looks):.2f} s of training lost to each, "
        f"**{lost / took[within].sum():.1%}** in all (target 3%)",
    ]


def _trained_for_a_minute(browser: Any, url: str, knobs: str) -> tuple[str, str]:
    """A run that nobody watches, and the link to it."""
    from lab.runs.store import store

    page = browser.new_page()
    page.goto(f"{url}/train?dataset=drawn-signs&{knobs}&epochs=10000")
    train = page.get_by_role("button", name="Train", exact=True)
    train.wait_for(timeout=60_000)
    page.get_by_text("steps per epoch").first.wait_for(timeout=60_000)
    train.click()
    page.wait_for_url(re.compile("run=r-"), timeout=60_000)
    run_id, link = _run_of(page), page.url
    page.close()
    while store().run(run_id).seconds < 61:
        assert store().run(run_id).is_live
        time.sleep(1)
    return run_id, link


def _looks() -> float:
    """Seconds between two looks while it is measured."""
    from lab.ui.widgets.pace import pace

    from lab.runs.rows import RunRow

    seconds = pace(cast("RunRow", SimpleNamespace(is_live=True, seconds=100.0)), 1.0)
    assert seconds is not None
    return seconds


def _browser_seconds() -> float:
    """Processor time of all Chromium processes so far."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"chromium" in (process / "cmdline").read_bytes().split(b"\0")[0]:
                fields = (process / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _run_of(page: Any) -> str:
    found = re.search(r"run=(r-[\w-]+)", page.url)
    assert found is not None
    return found.group(1)


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
def _server() -> Iterator[tuple[str, float]]:
    """Its URL, and the seconds until it answered."""
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
        yield url, time.monotonic() - started
    finally:
        server.terminate()
        server.wait(20)
