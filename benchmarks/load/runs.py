"""A store with a thousand runs: what the pages, the command line and the API take to show them.

A few runs are trained by the server; the rest are copies of them, rows and folders (files as hard
links), with other names, people and times.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.page_session import PageSession
from benchmarks.server import ROOT, Server, lab_server

COUNT = 1000
SETTINGS = (
    "dataset=handwritten-digits&architecture=sign-cnn&epochs=3",
    "dataset=handwritten-digits&architecture=single-layer-perceptron&epochs=3",
    "dataset=drawn-signs&architecture=single-layer-perceptron&epochs=2",
)
PAGES = ("", "runs", "compare", "train", "experiments", "inspect", "classify", "board", "storage")


def measure(home: Path, *, quick: bool) -> list[str]:
    count, rounds = (60, 1) if quick else (COUNT, 3)
    os.environ["LAB_HOME"] = str(home)
    with lab_server(home) as server:
        with PageSession(server.url) as visitor:
            for settings in SETTINGS[: 1 if quick else None]:
                train(visitor, settings)
            wait_for_runs(server)
        few = _costs(server, home, rounds)
    copy_runs(home, count)
    with lab_server(home) as server:
        many = _costs(server, home, rounds)
    lines = [
        f"Processor seconds of the server (of the command, for the command line): {rounds} times, "
        "the median.",
        "",
        f"| what | 3 runs | {count:,} runs |",
        "|---|---|---|",
    ]
    return lines + [f"| {what} | {few[what]:.2f} | {many[what]:.2f} |" for what in few]


def train(visitor: PageSession, settings: str) -> None:
    visitor.open("train", settings)
    visitor.press("Train")


def wait_for_runs(server: Server, seconds: float = 600.0) -> None:
    """Waits until all runs have ended, and the server's own preparations."""
    until = time.monotonic() + seconds
    while server.runs("queued", "preparing", "running"):
        assert time.monotonic() < until, "the runs have not ended"
        time.sleep(0.5)
    wait_idle(server)


def wait_idle(server: Server) -> None:
    """Waits until the server does nothing any more."""
    used = -1.0
    while server.cpu_seconds - used > 0.03:
        used = server.cpu_seconds
        time.sleep(1)


def copy_runs(home: Path, count: int) -> None:
    """Fills the store up to `count` completed runs; no server may be running."""
    with closing(sqlite3.connect(home / "lab.sqlite")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        ids = [row[0] for row in connection.execute("SELECT id FROM runs WHERE status='completed'")]
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in ("runs", "steps", "epochs", "log")
        }
        for number in range(count - len(ids)):
            old, new = ids[number % len(ids)], f"r-copy-{number:06d}"
            own = {
                "id": f"'{new}'",
                "run_id": f"'{new}'",
                "seq": "NULL",
                "name": f"name || ' {number}'",
                "person_name": f"'Person {number % 30}'",
                "person": f"'p-{number % 30:04d}'",
                "created_at": f"created_at - {3600 * number}",
                "starred": str(int(number % 50 == 0)),
                "tag": f"'week {number % 12}'",
            }
            for table, names in columns.items():
                values = ", ".join(own.get(name, name) for name in names)
                where = "id" if table == "runs" else "run_id"
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} "
                    f"WHERE {where} = ?",
                    (old,),
                )
            subprocess.run(
                ["cp", "-al", str(home / "runs" / old), str(home / "runs" / new)], check=True
            )
        connection.commit()


def _costs(server: Server, home: Path, rounds: int) -> dict[str, float]:
    costs: dict[str, float] = {}
    ids = [row["id"] for row in server.runs()[:4]]
    with PageSession(server.url) as visitor:
        visitor.open()
        wait_idle(server)
        for page in PAGES:
            opened = [_cost(server, lambda p=page: visitor.open(p)) for _ in range(rounds + 1)]
            title = page.capitalize() or "Home"
            costs[f"{title}, the first time"] = opened[0]
            costs[f"{title}, again"] = statistics.median(opened[1:])
        query = f"runs={','.join(ids)}"
        compare = [_cost(server, lambda: visitor.open("compare", query)) for _ in range(rounds + 1)]
        costs["Compare of 4 runs, again"] = statistics.median(compare[1:])
        costs["Runs with one chosen, again"] = statistics.median(
            _cost(server, lambda: visitor.open("runs", f"run={ids[0]}")) for _ in range(rounds + 1)
        )
    api = [_cost(server, lambda: server.api("/runs?limit=1000")) for _ in range(rounds + 1)]
    costs["API, list of runs"] = statistics.median(api[1:])
    costs["API, list of runs, MB"] = len(server.api("/runs?limit=1000")) / 1e6
    command = [sys.executable, "-m", "lab", "runs"]
    costs["`lab runs`"] = statistics.median(_cost_of(command, home) for _ in range(rounds))
    costs["memory of its own, MB"] = server.memory_mb
    return costs


def _cost(server: Server, work: Callable[[], object]) -> float:
    """Processor seconds of the server, with what it does afterwards."""
    used = server.cpu_seconds
    work()
    wait_idle(server)
    return server.cpu_seconds - used


def _cost_of(command: list[str], home: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, cwd=ROOT, env={**os.environ, "LAB_HOME": str(home)}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
