"""A run of a million steps: what its pages and its event stream take, the first time and again.

Its steps are recorded by the store as a trainer's are, some thousands at a time; an epoch has a
thousand. Nothing thins them meanwhile: so the first opening is that of a run of an old version.
"""

from __future__ import annotations

import os
import statistics
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.load.clicks import SMALL_RUN
from benchmarks.load.runs import train, wait_for_runs, wait_idle
from benchmarks.page_session import PageSession
from benchmarks.server import Server, lab_server

COUNT = 1_000_000
BATCH = 2_500
EPOCH = 1_000


def measure(home: Path, *, quick: bool) -> list[str]:
    count, rounds = (20_000, 1) if quick else (COUNT, 5)
    os.environ["LAB_HOME"] = str(home)
    with lab_server(home, warm=not quick) as server:
        with PageSession(server.url) as visitor:
            train(visitor, SMALL_RUN)
            wait_for_runs(server)
        short = server.runs("completed")[0]["id"]
        began = time.monotonic()
        run = record_steps(count)
        recorded = time.monotonic() - began
        lines = [
            f"{count:,} steps, recorded in {recorded:.0f} s. Seconds, and processor seconds of the "
            f"server with what it does afterwards; again: the median of {rounds}.",
            "",
            "| what | first, s | of processor | again, s | of processor |",
            "|---|---|---|---|---|",
        ]
        with PageSession(server.url) as visitor:
            visitor.open()
            wait_idle(server)
            shown: dict[str, Callable[[], object]] = {
                "first message of its event stream": lambda: first_message(server, run),
                "API, its curves": lambda: server.api(f"/runs/{run}/history"),
                "Train, with the run": lambda: visitor.open("train", f"run={run}"),
                "Runs, with the run": lambda: visitor.open("runs", f"run={run}"),
                "Compare, with a short run": lambda: visitor.open("compare", f"runs={run},{short}"),
            }
            for what, show in shown.items():
                first = _costs(server, show)
                again = [_costs(server, show) for _ in range(rounds)]
                later = [statistics.median(each) for each in zip(*again, strict=True)]
                lines.append(
                    f"| {what} | " + " | ".join(f"{s:.2f}" for s in (*first, *later)) + " |"
                )
    return lines


def record_steps(count: int) -> str:
    """Records a run of so many steps in the store of LAB_HOME; returns its id."""
    from lab.config import RunConfig
    from lab.runs.store import store
    from lab.runs.writing import Smoother
    from lab.training.events import RunEnded, RunStarted, StepDone

    runs = store()
    run = runs.create_run(RunConfig(), status="preparing")
    epochs = -(-count // EPOCH)
    runs.record(run, [RunStarted("cpu", 100, 10, 10, EPOCH, count, 1, 1, ("a", "b"))])
    smoother = Smoother()
    for done in range(0, count, BATCH):
        steps = [
            StepDone(
                step,
                1 + (step - 1) // EPOCH,
                {"loss": 1 + 1 / step, "accuracy": step % 7 / 7},
                32,
                1e-3,
                step / 1000,
            )
            for step in range(done + 1, min(done + BATCH, count) + 1)
        ]
        runs.record(run, steps, smoother=smoother)
    runs.record(run, [RunEnded("stopped", "Stopped.", epochs, count, None, {}, {}, count / 1000)])
    return run


def first_message(server: Server, run: str) -> str:
    """Returns what a page that opens the run is sent at once."""
    with urllib.request.urlopen(f"{server.url}/api/runs/{run}/events", timeout=120) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                return str(line[6:], "utf-8")
    raise AssertionError("the stream has ended without a message")


def _costs(server: Server, work: Callable[[], object]) -> tuple[float, float]:
    used, began = server.cpu_seconds, time.monotonic()
    work()
    passed = time.monotonic() - began
    wait_idle(server)
    return passed, server.cpu_seconds - used
