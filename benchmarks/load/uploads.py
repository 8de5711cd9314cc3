"""Two hundred pictures uploaded to the Classify page one after another, then taken away, then the
tab is closed: what stays in memory."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from benchmarks.load.clicks import SMALL_RUN, picture
from benchmarks.load.runs import train, wait_for_runs
from benchmarks.page_session import PageError, PageSession
from benchmarks.server import Server, lab_server

COUNT = 200
SIDE = 800
"""Of a square picture of noise: a file of 2 MB."""
REMOVED_EVERY = 50


def measure(home: Path, *, quick: bool) -> list[str]:
    count, every, left = (8, 4, 0.0) if quick else (COUNT, REMOVED_EVERY, 150.0)
    os.environ["LAB_HOME"] = str(home)
    with lab_server(home) as server:
        with PageSession(server.url) as visitor:
            train(visitor, SMALL_RUN)
            wait_for_runs(server)
        lines = upload_many(server, count=count, every=every)
        if left:
            time.sleep(left)  # Streamlit keeps a session for somebody who comes back
            lines.append(f"| the tab is closed, {left:.0f} s later | {server.memory_mb:.0f} | |")
    return lines


def upload_many(server: Server, *, count: int, every: int) -> list[str]:
    """One visitor's uploads, and the table of them; raises AssertionError where one that was
    removed stays."""
    rng = random.Random(2)
    of_others = server.uploaded_mb
    lines = [
        f"{count} PNG files of {len(picture(rng, SIDE)) / 1e6:.1f} MB, one by one; all are removed "
        f"on the page after every {every}. Memory of the server's own, in MB.",
        "",
        "| after | memory | of it uploads, by Streamlit's account |",
        "|---|---|---|",
    ]
    run = server.runs("completed")[0]["id"]
    with PageSession(server.url) as visitor:
        visitor.open("classify", f"run={run}")
        _upload(visitor, rng)  # what the first answer needs stays
        visitor.press("Remove all")
        lines.append(f"| the first one, removed | {server.memory_mb:.0f} | |")
        for number in range(1, count + 1):
            _upload(visitor, rng)
            if number % every == 0:
                there = server.memory_mb, server.uploaded_mb
                visitor.press("Remove all")
                now = server.memory_mb, server.uploaded_mb
                lines.append(f"| {number} uploads | {there[0]:.0f} | {there[1]:.0f} |")
                lines.append(f"| ... all removed | {now[0]:.0f} | {now[1]:.0f} |")
                kept = now[1] - of_others
                assert there[1] > now[1], "there are no uploads"
                assert kept <= 0, f"{kept:.1f} MB of uploads stay in memory"
        _upload(visitor, rng)
    return lines


def _upload(visitor: PageSession, rng: random.Random) -> None:
    visitor.upload({f"{rng.randrange(10**9)}.png": picture(rng, SIDE)})
    until = time.monotonic() + 120
    while visitor.topics:  # it is classified in the background
        if time.monotonic() > until:
            raise PageError("the picture is not answered")
        time.sleep(0.2)
        visitor.rerun()
