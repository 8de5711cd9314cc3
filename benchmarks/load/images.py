"""A data set of 25,000 pictures of one's own: added, looked at, trained on, deleted.

A zip of JPEG files in ten class folders goes in by the command line, which imports as the pages do,
in a process whose memory is nobody else's.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.load.runs import wait_for_runs, wait_idle
from benchmarks.page_session import PageSession
from benchmarks.server import ROOT, lab_server

COUNT = 25_000
SIZE = (200, 150)
CLASSES = 10
SIDE = 64


def measure(home: Path, *, quick: bool) -> list[str]:
    count = 300 if quick else COUNT
    os.environ["LAB_HOME"] = str(home)
    from lab.runs.store import store

    archive = home.parent / f"{home.name}.zip"
    try:
        _write(archive, count)
        lines = [
            f"{count:,} JPEG files of {SIZE[0]} x {SIZE[1]}, a zip of "
            f"{archive.stat().st_size / 1e6:,.0f} MB, stored at {SIDE} x {SIDE}.",
            "",
            "| what | processor s | peak resident, MB |",
            "|---|---|---|",
        ]
        lab = [sys.executable, "-m", "lab", "datasets"]
        add = [*lab, "add", "own", str(archive), "--image-size", str(SIDE)]
        lines.append(_row("importing (`lab datasets add`)", add, home))
        with lab_server(home) as server, PageSession(server.url) as visitor:
            visitor.open()
            wait_idle(server)
            for what, page, query in (
                ("Data page, the first time", "data", "dataset=own"),
                ("Data page, again", "data", "dataset=own"),
                ("Train page", "train", "dataset=own&architecture=single-layer-perceptron"),
            ):
                used = server.cpu_seconds
                visitor.open(page, query)
                wait_idle(server)
                lines.append(f"| {what} | {server.cpu_seconds - used:.2f} | |")
            used, before = server.cpu_seconds, server.memory_mb
            visitor.press("Train")
            run = server.runs()[0]["id"]
            assert store().run(run).config.dataset == "own"
            while not server.runs()[0]["step"]:
                time.sleep(0.1)
            lines.append(f"| from Train to the first step | {server.cpu_seconds - used:.2f} | |")
            server_memory = server.memory_mb
            visitor.press("Stop")
            wait_for_runs(server)
        lines.append(_row("deleting (`lab datasets remove`)", [*lab, "remove", "own"], home))
        lines += ["", f"Memory of the server's own while it trains: {server_memory:.0f} MB, "
                  f"before {before:.0f}."]  # fmt: skip
    finally:
        archive.unlink(missing_ok=True)
    return lines


def _write(file: Path, count: int) -> None:
    """Each picture is another one: copies would be noticed."""
    rng = np.random.Generator(np.random.Philox(1))
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):
            small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            small[..., 0] = 25 * (number % CLASSES)
            data = io.BytesIO()
            Image.fromarray(small).resize(SIZE).save(data, "JPEG", quality=85)
            archive.writestr(f"class {number % CLASSES}/{number:06d}.jpg", data.getvalue())


def _row(what: str, command: Sequence[str], home: Path) -> str:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "LAB_HOME": str(home)}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return f"| {what} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss * 1024 / 1e6:.0f} |"
