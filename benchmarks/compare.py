"""The Compare page with 200 runs of 2,000 points: how long until its curves are drawn.

    python -m benchmarks compare            seven rounds, about two minutes
    python -m benchmarks compare --quick    two rounds

A scratch store, a real server, a real Chromium. Needs playwright and /usr/bin/chromium.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.live_page import _server
from benchmarks.page_switches import ARGUMENTS, CHROMIUM
from benchmarks.results import write

RUNS = 200
STEPS = 2_000
PER_EPOCH = 100
ROUNDS, QUICK_ROUNDS = 7, 2
TARGET_SECONDS = 1.5
DRAWN = "document.querySelector('.js-plotly-plot .scatterlayer path.js-line')"
TRAINING = "&compare_curve=Training+loss"


def main(*, quick: bool = False) -> None:
    from playwright.sync_api import sync_playwright

    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        os.environ["LAB_HOME"] = home
        ids = _fill()
        reading = _reading(ids, rounds)
        with _server() as (url, _):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            found = _opening(browser, url, ids, rounds)
            browser.close()
    lines = [
        f"{RUNS} runs of {STEPS:,} steps and {STEPS // PER_EPOCH} epochs each, "
        f"{RUNS * STEPS:,} points; {rounds} rounds. Seconds until the curves are drawn, "
        f"median (lowest to highest), target at most {TARGET_SECONDS:g}:",
        "",
        *(f"- {what}: {_said(seconds)}" for what, seconds in found.items()),
        f"- of that, reading one figure of all runs from the store: {_said(reading)}",
    ]
    write("Compare" + (", quick" if quick else ""), [], text="\n".join(lines))


def _fill() -> list[str]:
    """Runs as a random search would leave them, written straight into the store's tables."""
    from lab.config import RunConfig
    from lab.runs import schema
    from lab.runs.store import store

    rng = np.random.Generator(np.random.Philox(0))
    steps = np.arange(1, STEPS + 1)
    ids = []
    for number in range(RUNS):
        config = RunConfig(
            architecture=("mlp", "simple-cnn", "sign-cnn")[number % 3],
            learning_rate=float(10 ** rng.uniform(-4, -2)),
            batch_size=int(2 ** rng.integers(4, 9)),
            seed=number,
        )
        run_id = store().create_run(config, name=f"trial {number}", status="completed")
        ids.append(run_id)
        loss = (0.1 + 2 * np.exp(-steps / rng.uniform(200, 900))).tolist()
        noisy = (np.array(loss) * rng.lognormal(0, 0.2, STEPS)).tolist()
        with store()._database.write() as connection:
            connection.execute(
                schema.steps.insert(),
                [
                    {
                        "run_id": run_id, "step": k, "epoch": (k - 1) // PER_EPOCH + 1,
                        "loss": noisy[k - 1], "loss_smoothed": loss[k - 1],
                        "accuracy": 1 / (1 + noisy[k - 1]),
                        "accuracy_smoothed": 1 / (1 + loss[k - 1]),
                        "learning_rate": config.learning_rate, "seconds": k * 0.01, "samples": 32,
                    }
                    for k in steps.tolist()
                ],
            )  # fmt: skip
            ends = range(PER_EPOCH, STEPS + 1, PER_EPOCH)
            connection.execute(
                schema.epochs.insert(),
                [
                    {
                        "run_id": run_id, "epoch": k // PER_EPOCH, "step": k, "phase": "all",
                        "train_loss": loss[k - 1], "train_accuracy": 1 / (1 + loss[k - 1]),
                        "val_loss": noisy[k - 1], "val_accuracy": 1 / (1 + noisy[k - 1]),
                        "learning_rate": config.learning_rate, "seconds": k * 0.01,
                        "images_per_second": 3200.0, "is_best": False,
                    }
                    for k in ends
                ],
            )  # fmt: skip
            connection.execute(
                schema.runs.update()
                .where(schema.runs.c.id == run_id)
                .values(
                    step=STEPS, epoch=STEPS // PER_EPOCH, steps_per_epoch=PER_EPOCH,
                    total_steps=STEPS, val_samples=500, test_samples=2000, seconds=STEPS * 0.01,
                    best_epoch=STEPS // PER_EPOCH, best_val_accuracy=1 / (1 + noisy[-1]),
                    test_accuracy=1 / (1 + loss[-1]), test_loss=loss[-1], best_val_loss=noisy[-1],
                )
            )  # fmt: skip
    return ids


def _reading(ids: list[str], rounds: int) -> list[float]:
    from lab.runs.store import store

    return [
        _seconds(lambda: store().curves(ids, "loss_smoothed", points=100)) for _ in range(rounds)
    ]


def _opening(browser: Any, url: str, ids: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds by what was done. The first visit, which nobody counts, warms server and browser: it
    loads what every page of the lab needs."""
    link = f"{url}/compare?runs={','.join(ids)}"
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()

    def open_link(address: str) -> None:
        page.goto(address)
        page.wait_for_function(DRAWN, timeout=60_000)

    def click() -> None:
        page.get_by_role("link", name="Compare", exact=True).first.click()
        page.wait_for_function(DRAWN, timeout=60_000)

    def leave() -> None:
        page.get_by_role("link", name="Home", exact=True).first.click()
        page.get_by_text("Start with one click").wait_for()
        page.wait_for_timeout(1500)

    found: dict[str, list[float]] = {}
    for name, extra in (("validation accuracy", ""), ("training loss", TRAINING)):
        open_link(link + extra)
        clicks, links = [], []
        for _ in range(rounds):
            page.wait_for_timeout(1500)
            leave()
            clicks.append(_seconds(click))
        for _ in range(rounds):
            page.wait_for_timeout(1500)
            links.append(_seconds(lambda extra=extra: open_link(link + extra)))  # type: ignore[misc]
        found[f"a click on Compare, {name}"] = clicks
        found[f"its link, the whole lab loaded anew, {name}"] = links
    context.close()
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _said(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
