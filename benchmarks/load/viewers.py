"""Thirty people look at one run that trains: what it costs the run, and how often their pages move.

Each is a session of the Train page that holds the event stream of the run's live view, in a process
of its own: as from another machine, though its reading is done on this one.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page_session import PageSession
from benchmarks.server import Server, lab_server

COUNTS = (5, 10, 30)
SETTINGS = "dataset=drawn-signs&architecture=sign-cnn&batch_size=256&epochs=10000"


def measure(home: Path, *, quick: bool) -> list[str]:
    counts, rounds, seconds = ((30,), 1, 5.0) if quick else (COUNTS, 3, 12.0)
    os.environ["LAB_HOME"] = str(home)
    from lab.runs.store import store

    lines = [
        "Steps a second with the viewers against the mean of those just before and just after, "
        f"{seconds:.0f} s each, {rounds} rounds: median (lowest to highest). Processor time is of "
        "the server without its training threads, in parts of one core; a tick is what a "
        "viewer's page is sent.",
        "",
        "| viewers | steps a second cost | of a core | memory, MB | tick p50, s | p95 | opening "
        "the page, processor s |",
        "|---|---|---|---|---|---|---|",
    ]
    with lab_server(home) as server, PageSession(server.url) as teacher:
        teacher.open("train", SETTINGS)
        teacher.press("Train")
        run_id = teacher.query.removeprefix("run=")
        while store().run(run_id).seconds < (5 if quick else 61):
            assert store().run(run_id).status in ("preparing", "running", "queued")
            time.sleep(1)
        teacher.open("storage")  # looks away

        def watch() -> tuple[float, float]:
            """Returns steps a second, and the part of a core that is not the training's."""
            before, used, began = store().run(run_id).step, _page_seconds(server), time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            steps = store().run(run_id).step - before
            return steps / passed, (_page_seconds(server) - used) / passed

        alone: list[tuple[float, float]] = []
        for count in counts:
            costs, cores, memory, ticks, openings = [], [], [], [], []
            for _ in range(rounds):
                before = watch()
                used = _page_seconds(server)
                with viewers(count, server.url, run_id) as seen:
                    openings.append((_page_seconds(server) - used) / count)
                    seen()  # loading is not watching
                    steps, core = watch()
                    memory.append(server.memory_mb)
                    ticks += [seconds for _, seconds in seen()]
                after = watch()
                alone += [before, after]
                costs.append(1 - steps / ((before[0] + after[0]) / 2))
                cores.append(core)
            low, high = np.percentile(ticks, [50, 95])
            lines.append(
                f"| {count} | {_percent(costs)} | {statistics.median(cores):.1%} | "
                f"{max(memory):.0f} | {low:.2f} | {high:.2f} | "
                f"{statistics.median(openings):.2f} |"
            )
        lines.insert(
            4, f"| 0 | ({statistics.median(s for s, _ in alone):.1f} steps a second) | "
            f"{statistics.median(c for _, c in alone):.1%} | | | | |"
        )  # fmt: skip
        store().request(run_id, "stop")
        while store().run(run_id).is_live:
            time.sleep(0.1)
        lines += ["", _first_minute(teacher, server.url, max(counts), rounds, quick=quick)]
    return lines


def _first_minute(teacher: PageSession, url: str, count: int, rounds: int, *, quick: bool) -> str:
    """What a whole class costs a new run that it opens at once: steps after its first minute."""
    from lab.runs.store import store

    seconds = 10 if quick else 60

    def steps(watched: bool) -> int:
        teacher.open("train", SETTINGS)
        teacher.press("Train")
        run_id = teacher.query.removeprefix("run=")
        teacher.open("storage")
        with viewers(count, url, run_id) if watched else contextlib.nullcontext():
            while (run := store().run(run_id)).seconds < seconds:
                assert run.is_live, run.message
                time.sleep(0.05)
        store().request(run_id, "stop")
        while store().run(run_id).is_live:
            time.sleep(0.1)
        return run.step

    alone, watched = [steps(False)], []
    for _ in range(rounds):
        watched.append(steps(True))
        alone.append(steps(False))
    costs = [
        1 - beside / ((before + after) / 2)
        for beside, (before, after) in zip(watched, itertools.pairwise(alone), strict=True)
    ]
    return (
        f"The first {seconds} s of a run, {count} pages opened as it begins: "
        f"{statistics.median(watched):,.0f} steps in place of {statistics.median(alone):,.0f}, "
        f"{_percent(costs)}, the opening of the pages included."
    )


def _page_seconds(server: Server) -> float:
    """Processor time so far of all threads but those that train: these are nicer (lab.process)."""
    training = 0.0
    for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            fields = (thread / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[16]) > 0:
            training += int(fields[11]) + int(fields[12])
    return server.cpu_seconds - training / os.sysconf("SC_CLK_TCK")


def _percent(values: list[float]) -> str:
    return f"{statistics.median(values):+.1%} ({min(values):+.1%} to {max(values):+.1%})"


@contextmanager
def viewers(count: int, url: str, run_id: str) -> Iterator[Any]:
    """`count` visitors of a run's page for as long as the block lasts; they have opened it when it
    begins. Yields a function that returns viewer and seconds since that viewer's tick before, of
    all ticks since the last call."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_look, args=(count, url, run_id, theirs), daemon=True
    )
    process.start()

    def seen() -> list[tuple[int, float]]:
        ours.send(None)
        assert ours.poll(120), "the viewers do not answer"
        gaps: list[tuple[int, float]] = ours.recv()
        return gaps

    try:
        assert ours.poll(300), "the viewers have not opened the page"
        assert ours.recv() == count
        yield seen
    finally:
        process.terminate()
        process.join(10)


def _look(count: int, url: str, run_id: str, pipe: Any) -> None:
    sessions = [PageSession(url) for _ in range(count)]
    ticks: list[list[float]] = [[] for _ in range(count)]
    for number, session in enumerate(sessions):
        session.open("train", f"run={run_id}")
        topics = "&".join(f"topic={topic}" for topic in session.topics)
        assert topics, "the page has no live view"
        threading.Thread(target=_read, args=(url, topics, ticks[number]), daemon=True).start()
    pipe.send(count)
    while True:
        pipe.recv()
        gaps = [
            (viewer, b - a)
            for viewer, times in enumerate(ticks)
            for a, b in itertools.pairwise(times[:])
        ]
        for times in ticks:
            del times[:-1]
        pipe.send(gaps)


def _read(url: str, topics: str, ticks: list[float]) -> None:
    """Notes when each message of the stream comes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"GET /api/events?{topics} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
        )
        while data := connection.recv(1 << 20):
            if b"data: {" in data:
                ticks.append(time.monotonic())
