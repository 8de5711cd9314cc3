"""The live view against the goals of its design: how often it moves, and what watching costs.

    python -m benchmarks live-page            about 20 minutes on two cores
    python -m benchmarks live-page --quick    one round each, about 7

A real server, a real Chromium on the same machine, real runs: the sign CNN (batches of 256) and, as
the hardest case, a single-layer perceptron with hundreds of steps a second. Needs playwright and
/usr/bin/chromium.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.far_viewers import far_viewers
from benchmarks.page_switches import ARGUMENTS, CHROMIUM
from benchmarks.results import write

ROOT = Path(__file__).parents[1]
ROUNDS = 6
SECONDS = 10.0
FAR = 30
WORKS = {
    "sign CNN, batch 256": "architecture=sign-cnn&batch_size=256",
    "perceptron, batch 16": "architecture=single-layer-perceptron&batch_size=16",
}
NEWEST = "document.querySelector('.live-plot')?.uplot?.data[0].at(-1) ?? 0"


def main(*, quick: bool = False) -> None:
    from playwright.sync_api import sync_playwright

    lines: list[str] = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        os.environ["LAB_HOME"] = home
        from lab.data import catalog

        catalog.open_pack("drawn-signs")
        lines += _recording(5 if quick else 15)
        with _server() as (url, answered):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            lines += _start(browser, url, answered, presses=3 if quick else 10)
            lines += _movement(browser, url, 30.0 if quick else 90.0)
            lines += [
                "",
                f"Steps per second, in turn without a viewer and with, {SECONDS:.0f} s each: one "
                "page in a browser on the same cores (it draws in software here; its processor "
                "time in cores is given) against the same browser stopped (SIGSTOP), and "
                f"{FAR} viewers elsewhere (streams that nobody draws, read on this machine). "
                "Medians of the rounds, and their range:",
                "",
                f"| run | no viewer | 1 page here costs | browser, cores | {FAR} elsewhere cost |",
                "|---|---|---|---|---|",
            ]
            for name, knobs in WORKS.items():
                lines.append(_watched(browser, url, name, knobs, 2 if quick else ROUNDS))
            browser.close()
    write("Live view" + (", quick" if quick else ""), [], text="\n".join(lines))


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


def _start(browser: Any, url: str, answered: float, *, presses: int) -> list[str]:
    """The first page of a new server, the first live point, a rerun while training."""
    from lab.runs.store import store

    page = browser.new_page()
    began = time.monotonic()
    page.goto(url)
    page.get_by_role("button", name="Start", exact=True).first.wait_for(timeout=60_000)
    first = answered + time.monotonic() - began
    page.wait_for_timeout(15_000)  # a person reads
    points = []
    reruns: list[float] = []
    for number in range(presses):
        page.goto(f"{url}/train?dataset=drawn-signs&architecture=sign-cnn&epochs=1000")
        train = page.get_by_role("button", name="Train", exact=True)
        train.wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        pressed = time.monotonic()
        train.click()
        page.wait_for_url(re.compile("run=r-"), timeout=60_000)
        page.wait_for_function(f"() => {NEWEST} > 0", timeout=60_000)
        points.append(time.monotonic() - pressed)
        page.wait_for_timeout(2000)
        if number < 3:
            reruns += _rerun_times(page)
        store().request(_run_of(page), "stop")
        page.wait_for_timeout(1500)
    page.close()
    return [
        "",
        f"- `streamlit run` to the server's first answer {answered:.1f} s, to an interactive first "
        f"page {first:.1f} s (goal 4)",
        f"- pressing Train to the first point drawn, {presses} times: median "
        f"{statistics.median(points):.2f} s, worst {max(points):.2f} (goal 0.6 median)",
        f"- a setting changed while a run trains, to the end of the page's answer, {len(reruns)} "
        f"times: p50 {statistics.median(reruns):.0f} ms (goal 120)",
    ]


def _movement(browser: Any, url: str, seconds: float) -> list[str]:
    """How often the curve gets longer after the run's first minute, and what Streamlit does."""
    from lab.runs.store import store

    run_id, link = _trained_for_a_minute(browser, url, WORKS["sign CNN, batch 256"])
    page = browser.new_page()
    frames: list[float] = []
    page.on(
        "websocket",
        lambda ws: ws.on("framereceived", lambda _: frames.append(time.monotonic())),
    )
    page.goto(link)
    page.wait_for_timeout(12_000)  # loading is not watching
    frames.clear()
    page.evaluate(
        f"""() => {{
            window.moves = []
            let last = 0
            const look = () => {{
                const now = {NEWEST}
                if (now !== last) window.moves.push(performance.now())
                last = now
                requestAnimationFrame(look)
            }}
            look()
        }}"""
    )
    page.wait_for_timeout(int(seconds * 1000))
    moves = page.evaluate("() => window.moves")
    store().request(run_id, "stop")
    page.context.close()
    gaps = [(b - a) / 1000 for a, b in itertools.pairwise(moves)]
    return [
        f"- curves after the first minute, {seconds:.0f} s: every {statistics.median(gaps):.2f} s "
        f"(median), longest {max(gaps):.2f} (goal 2 on two cores); messages from Streamlit "
        f"meanwhile: {len(frames)} (goal 0)",
    ]


def _watched(browser: Any, url: str, name: str, knobs: str, rounds: int) -> str:
    """A row of the table: what one page here, and many viewers elsewhere, cost in steps."""
    from lab.runs.store import store

    run_id, link = _trained_for_a_minute(browser, url, knobs)

    def speed() -> float:
        before, started = store().run(run_id).step, time.monotonic()
        time.sleep(SECONDS)
        return (store().run(run_id).step - before) / (time.monotonic() - started)

    cores: list[float] = []
    page = browser.new_page()
    page.goto(link)
    page.wait_for_timeout(12_000)  # loading is not watching

    def beside_a_stopped_browser() -> float:
        _signal_browser(signal.SIGSTOP)
        try:
            return speed()
        finally:
            _signal_browser(signal.SIGCONT)

    def beside_a_page() -> float:
        page.wait_for_timeout(2000)  # what came meanwhile is drawn
        began, used = time.monotonic(), _browser_seconds()
        watched = _while_the_page_runs(page, speed)
        cores.append((_browser_seconds() - used) / (time.monotonic() - began))
        return watched

    def beside_far_viewers() -> float:
        with far_viewers(FAR, url, run_id) as received:
            time.sleep(4)
            already = received.value
            watched = speed()
            assert received.value > already, "the far viewers receive nothing"
            return watched

    unwatched, here = _costs(beside_a_stopped_browser, beside_a_page, rounds)
    page.context.close()
    alone, elsewhere = _costs(speed, beside_far_viewers, rounds)
    store().request(run_id, "stop")
    costs = [
        f"{statistics.median(each):+.1%} ({min(each):+.1%} to {max(each):+.1%})"
        for each in (here, elsewhere)
    ]
    return (
        f"| {name} | {statistics.median(unwatched + alone):.1f} | {costs[0]} | "
        f"{statistics.median(cores):.3f} | {costs[1]} |"
    )


def _costs(
    without: Callable[[], float], beside: Callable[[], float], rounds: int
) -> tuple[list[float], list[float]]:
    """Returns the speeds without viewers, and the share of speed lost beside them, each against
    the mean of the windows before and after it."""
    alone = [without()]
    lost = []
    for _ in range(rounds):
        watched = beside()
        alone.append(without())
        lost.append(1 - watched / ((alone[-2] + alone[-1]) / 2))
    return alone, lost


def _trained_for_a_minute(browser: Any, url: str, knobs: str) -> tuple[str, str]:
    """A run that nobody watches, and the link to it."""
    from lab.runs.store import store

    page = browser.new_page()
    page.goto(f"{url}/train?dataset=drawn-signs&{knobs}&epochs=10000")
    train = page.get_by_role("button", name="Train", exact=True)
    train.wait_for(timeout=60_000)
    page.wait_for_timeout(1500)
    train.click()
    page.wait_for_url(re.compile("run=r-"), timeout=60_000)
    run_id, link = _run_of(page), page.url
    page.close()
    while store().run(run_id).seconds < 61:
        assert store().run(run_id).is_live
        time.sleep(1)
    return run_id, link


def _browser_seconds() -> float:
    """Processor time of all Chromium processes so far."""
    total = 0
    for process in _browser_processes():
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _signal_browser(number: signal.Signals) -> None:
    for process in _browser_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process.name), number)


def _browser_processes() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"chromium" in (process / "cmdline").read_bytes().split(b"\0")[0]:
                yield process


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
        page.wait_for_timeout(1000)  # each look costs Playwright's two processes something
    return found[0]


def _rerun_times(page: Any) -> list[float]:
    """Milliseconds from a key press in a setting to the end of the page's answer."""
    expand = page.get_by_test_id("stExpandSidebarButton")
    if expand.is_visible():
        expand.click()
    epochs = page.get_by_role("spinbutton", name="Epochs")
    epochs.focus()
    page.evaluate(
        """() => {
            window.answers = []
            document.addEventListener("keydown", () => (window.pressed = performance.now()), true)
            const app = document.querySelector("[data-testid=stApp]")
            new MutationObserver(() => {
                if (app.dataset.testScriptState !== "notRunning" || !window.pressed) return
                window.answers.push(performance.now() - window.pressed)
                window.pressed = 0
            }).observe(app, { attributes: true })
        }"""
    )
    for _ in range(10):
        page.wait_for_timeout(900)
        page.keyboard.press("ArrowUp")
    page.wait_for_timeout(1500)
    return [float(answer) for answer in page.evaluate("() => window.answers")]


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
