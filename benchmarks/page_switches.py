"""How long a click on the navigation takes, to each page, idle and while a run trains.

    python -m benchmarks page-switches [--quick]     about 5 minutes on two cores

From the click to the new page's title and the end of its script, as the browser sees it; the pages
were open once before. Needs playwright and /usr/bin/chromium.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import write
from benchmarks.server import lab_server

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ROUNDS = 10
WAIT = 60_000.0
"""Milliseconds for one page."""
TRAINED = "architecture=sign-cnn&batch_size=256"
GOALS = (
    "p50 over all pages: idle {idle:.2f} s (goal 0.4), while a run trains {busy:.2f} s (0.8). "
    "A lab with two runs."
)

WATCH = """() => {
    const title = () => document.querySelector("[data-testid=stMain] h1")?.textContent
    const look = () => {
        const state = document.querySelector(".stApp")?.dataset.testScriptState
        const now = title()
        if (now && now !== window.before && state === "notRunning") {
            window.took = performance.now() - window.pressed
        } else requestAnimationFrame(look)
    }
    document.addEventListener("click", () => {
        window.pressed = performance.now()
        window.before = title()
        window.took = 0
        look()
    }, true)
}"""


def main(*, quick: bool = False) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["LAB_HOME"] = folder
        with lab_server(Path(folder), OMP_NUM_THREADS="1") as server:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            lines = switch_lines(browser, server.url, rounds=2 if quick else ROUNDS)
            browser.close()
    write("Page switches" + (", quick" if quick else ""), [], text="\n".join(lines))


def switch_lines(browser: Any, url: str, *, rounds: int) -> list[str]:
    """Returns the table, a row a page of the navigation, and a line of all pages."""
    from lab.runs.store import store

    page = browser.new_page(viewport={"width": 1440, "height": 900})
    run_id = _train(page, url, epochs=2)
    while store().run(run_id).is_live:
        page.wait_for_timeout(500)
    page.wait_for_timeout(30_000)  # what a server prepares in its first minute is over
    idle = _switches(page, url, rounds)
    run_id = _train(page, url, epochs=10_000)
    while not store().run(run_id).step:
        page.wait_for_timeout(500)
    busy = _switches(page, url, rounds)
    store().request(run_id, "stop")
    page.close()
    every = {
        "idle": statistics.median([s for each in idle.values() for s in each]),
        "busy": statistics.median([s for each in busy.values() for s in each]),
    }
    return [
        f"From a click on the navigation to the new page's title and the end of its script, "
        f"{rounds} times each; server, browser and training on the same two shared cores. "
        "Median (longest), in seconds.",
        "",
        "| to the page | idle | while a run trains |",
        "|---|---|---|",
        *(f"| {title} | {_cell(idle[title])} | {_cell(busy[title])} |" for title in idle),
        "",
        GOALS.format(**every),
    ]


def until_still(page: Any, quiet: int, most: int) -> None:
    """Waits until nothing of the page has changed for `quiet` milliseconds; `most` of them at most,
    for a page that keeps counting."""
    page.evaluate(
        """([quiet, most]) => new Promise((done) => {
            let timer = setTimeout(done, quiet)
            setTimeout(done, most)
            new MutationObserver(() => {
                clearTimeout(timer)
                timer = setTimeout(done, quiet)
            }).observe(document.body, { subtree: true, childList: true, attributes: true })
        })""",
        [quiet, most],
    )


def _train(page: Any, url: str, *, epochs: int) -> str:
    """Starts a run on the Train page; returns its id."""
    page.goto(f"{url}/train?dataset=drawn-signs&{TRAINED}&epochs={epochs}")
    train = page.get_by_role("button", name="Train", exact=True)
    train.wait_for(timeout=WAIT)
    page.wait_for_timeout(2000)
    train.click()
    page.wait_for_url("**run=r-*", timeout=WAIT)
    return str(page.url.rpartition("run=")[2].partition("&")[0])


def _switches(page: Any, url: str, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each switch, by the page's title."""
    page.goto(url)
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for(timeout=WAIT)
    page.wait_for_timeout(3000)
    page.evaluate(WATCH)
    took: dict[str, list[float]] = {}
    for title, is_first in _tours(rounds):
        page.evaluate("window.took = 0")
        page.get_by_role("link", name=title, exact=True).first.click()
        page.wait_for_function("() => window.took", timeout=WAIT)
        if not is_first:
            took.setdefault(title, []).append(float(page.evaluate("window.took")) / 1000)
        page.wait_for_timeout(1500)  # a person looks
    return took


def _tours(rounds: int) -> Iterator[tuple[str, bool]]:
    """Yields each page's title, tour by tour, and whether the tour is the first one."""
    from lab.ui.entrance import PAGES

    titles = [page.title for page in PAGES if not page.hidden]
    for number in range(rounds + 1):
        yield from ((title, not number) for title in [*titles[1:], titles[0]])


def _cell(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({max(seconds):.2f})"
