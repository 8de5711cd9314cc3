"""A robot clicks through all pages for hours, as some people do; the server's memory stays flat.

Four visitors take turns: they open pages, give the widgets there other values, press buttons,
upload pictures, leave and come back as somebody new; now and then a run trains and an old one is
deleted. A line of JSON a minute says what the server takes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import re
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from benchmarks.load.runs import train, wait_for_runs
from benchmarks.page_session import CHANGES, PageError, PageSession
from benchmarks.server import Server, lab_server

VISITORS = 4
SECONDS = 2.0
"""Between two clicks of anybody."""
RUNS = 8
WARM_MINUTES = 10.0
"""Left out of the line: what is kept on purpose fills in them."""
NOT_PRESSED = re.compile(
    "train|start|try|go on|resume|draw the map|judge|did it help|download|delete|remove|stop|"
    "pause|finish|clean|hand out|measure|make the data set|quick|full size",
    re.IGNORECASE,
)
"""Buttons that train, compute for minutes or delete: runs are started and deleted one at a time."""
SMALL_RUN = "dataset=handwritten-digits&architecture=single-layer-perceptron&epochs=1"


def measure(home: Path, *, quick: bool, minutes: float = 120.0) -> list[str]:
    """Clicks for so long; returns a table. The lines of JSON are appended to `LOAD_LOG`, if that
    names a file."""
    if quick:
        minutes, warm, seconds, every = 2.0, 0.1, 0.0, 2.0
    else:
        warm, seconds, every = min(WARM_MINUTES, minutes / 4), SECONDS, 60.0
    os.environ["LAB_HOME"] = str(home)  # old runs are deleted by this process
    log = Path(os.environ.get("LOAD_LOG", home / "clicks.jsonl"))
    with lab_server(home) as server:
        robot = Robot(server, random.Random(1))
        robot.begin()
        samples = []
        began = due = time.monotonic()
        while (now := time.monotonic()) < began + minutes * 60:
            if now >= due:
                due += every
                samples.append({"minute": (now - began) / 60, **robot.state()})
                with open(log, "a", encoding="utf-8") as file:
                    file.write(json.dumps(samples[-1]) + "\n")
            robot.click()
            time.sleep(max(0.0, seconds - (time.monotonic() - now)))
        samples.append({"minute": (time.monotonic() - began) / 60, **robot.state()})
        robot.end()
        after_minutes = {} if quick else {"after": _alone(server)}
    return _table(samples, warm, robot.errors, **after_minutes)


def _alone(server: Server) -> float:
    """Returns the memory once all visitors have been forgotten."""
    time.sleep(200)
    return server.memory_mb


class Robot:
    """All visitors. One error of a page is counted and named, and its visitor comes back."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.server = server
        self._rng = rng
        self._visitors: list[PageSession] = []
        self._streams = [Listening(server) for _ in range(VISITORS)]
        self._turns = itertools.cycle(range(VISITORS))
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def begin(self, runs: int = 2) -> None:
        """Four visitors, and so many runs that have ended."""
        self._visitors = [self._arrive() for _ in range(VISITORS)]
        for _ in range(runs):
            self._train(self._visitors[0])
        wait_for_runs(self.server)

    def end(self) -> None:
        """Everybody leaves."""
        for visitor, stream in zip(self._visitors, self._streams, strict=True):
            visitor.leave()
            stream.listen([])

    def state(self) -> dict[str, Any]:
        process = self.server.process
        return {
            "memory_mb": round(self.server.memory_mb, 1),
            "resident_mb": round(process.memory_info().rss / 1e6, 1),
            "threads": process.num_threads(),
            "files": process.num_fds(),
            "cpu_seconds": round(self.server.cpu_seconds, 1),
            "clicks": self.counts.total(),
            "errors": self.errors.total(),
        }

    def click(self) -> None:
        """One action of the visitor whose turn it is."""
        number = next(self._turns)
        actions = {"widget": 74, "page": 18, "upload": 3, "somebody new": 3, "run": 2}
        action = self._rng.choices(list(actions), list(actions.values()))[0]
        visitor, what = self._visitors[number], action
        try:
            if action == "somebody new":
                visitor.leave()
                self._visitors[number] = self._arrive()
            elif action == "page":
                what = self._open_page(visitor)
            elif action == "upload":
                self._upload(visitor)
            elif action == "run":
                self._train(visitor)
            else:
                what = self._touch(visitor)
        except PageError as error:
            self.errors[f"{what}: {error}"] += 1
            visitor.leave()
            self._visitors[number] = self._arrive()
        self._streams[number].listen(self._visitors[number].topics)
        self.counts[action] += 1

    def _arrive(self) -> PageSession:
        visitor = PageSession(self.server.url)
        visitor.open()
        return visitor

    def _open_page(self, visitor: PageSession) -> str:
        page = self._rng.choice(list(visitor.pages))
        ids = [run["id"] for run in self._runs()]
        query = ""
        if page in ("train", "runs", "inspect", "classify") and self._rng.random() < 0.8:
            query = f"run={self._rng.choice(ids)}"
        elif page == "compare":
            query = f"runs={','.join(self._rng.sample(ids, 2))}"
        visitor.open(page, query)
        return f"open {page}?{query}"

    def _touch(self, visitor: PageSession) -> str:
        choices = [
            (kind, part)
            for kind, part in visitor.widgets
            if not part.form_id and not (kind == "button" and NOT_PRESSED.search(part.label))
        ]
        if not choices:
            visitor.rerun()
            return "rerun"
        kind, part = self._rng.choice(choices)
        value = CHANGES[kind](part, self._rng)
        if value is not None:
            visitor.act(kind, part, **value)
        return f"{kind} {part.label!r} = {value}"

    def _upload(self, visitor: PageSession) -> None:
        visitor.open("classify", f"run={self._rng.choice(self._runs())['id']}")
        visitor.upload({f"{n}.png": picture(self._rng, 300) for n in range(3)})

    def _train(self, visitor: PageSession) -> None:
        train(visitor, SMALL_RUN)
        from lab.runs.store import store

        for run in store().runs(order="oldest", status="completed")[:-RUNS]:
            store().delete(run.id)

    def _runs(self) -> list[dict[str, Any]]:
        return self.server.runs("completed")


class Listening:
    """What the live parts of a visitor's page do: one stream of all their topics."""

    def __init__(self, server: Server) -> None:
        address = urlsplit(server.url)
        self._address = (address.hostname, address.port)
        self._topics: list[str] = []
        self._socket: socket.socket | None = None

    def listen(self, topics: list[str]) -> None:
        """Reads what has come; opens another stream where the page has other topics now."""
        if self._socket is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while self._socket.recv(1 << 20):
                    pass
        if topics == self._topics:
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._topics = topics
        if topics:
            query = "&".join(f"topic={topic}" for topic in topics)
            self._socket = socket.create_connection(self._address)
            self._socket.sendall(
                f"GET /api/events?{query} HTTP/1.1\r\nHost: {self._address[0]}\r\n\r\n".encode()
            )
            self._socket.setblocking(False)


def picture(rng: random.Random, size: int) -> bytes:
    """A file of noise, which no cache has seen."""
    noise = np.random.Generator(np.random.Philox(rng.randrange(2**32)))
    data = io.BytesIO()
    Image.fromarray(noise.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


# --- the line -------------------------------------------------------------------------------------
def slope(minutes: list[float], values: list[float]) -> tuple[float, float, float]:
    """Returns the slope an hour of a line through the samples, and its 95 % interval.

    Neighbours are alike, so pieces of an hour's sixth are drawn again and again (a block
    bootstrap of what the line leaves over), not single samples.
    """
    x, y = np.array(minutes) / 60, np.array(values)
    line = np.polyfit(x, y, 1)
    fitted = np.polyval(line, x)
    block = max(1, min(len(x) // 3, 10))
    rng = np.random.Generator(np.random.Philox(0))
    slopes = []
    for _ in range(2000):
        starts = rng.integers(0, len(x) - block + 1, -(-len(x) // block))
        rest = np.concatenate([(y - fitted)[s : s + block] for s in starts])[: len(x)]
        slopes.append(np.polyfit(x, fitted + rest, 1)[0])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return float(line[0]), float(low), float(high)


def _table(
    samples: list[dict[str, Any]], warm: float, errors: Counter[str], after: float | None = None
) -> list[str]:
    rest = [each for each in samples if each["minute"] >= warm]
    minutes = [each["minute"] for each in rest]
    first, last = samples[0], samples[-1]
    hours = last["minute"] / 60
    lines = [
        f"{last['clicks']:,} clicks in {hours:.1f} h by {VISITORS} visitors; the line is of all "
        f"samples but the first {warm:.0f} minutes.",
        "",
        "| of the server | first | last | highest | a line through it, an hour (95 %) |",
        "|---|---|---|---|---|",
    ]
    for name, title in (
        ("memory_mb", "memory of its own, MB"),
        ("resident_mb", "resident, MB"),
        ("threads", "threads"),
        ("files", "open files"),
    ):
        values = [each[name] for each in rest]
        middle, low, high = slope(minutes, values)
        lines.append(
            f"| {title} | {first[name]:.0f} | {last[name]:.0f} | {max(values):.0f} | "
            f"{middle:+.1f} ({low:+.1f} to {high:+.1f}) |"
        )
    cpu = (last["cpu_seconds"] - first["cpu_seconds"]) / max(1, last["clicks"] - first["clicks"])
    lines += ["", f"Processor time a click, training included: {cpu:.2f} s."]
    if after is not None:
        lines.append(f"Memory when all have left: {after:.0f} MB.")
    lines.append(f"Pages that showed an error: {errors.total()}.")
    lines += [f"- {count} times: {error}" for error, count in errors.most_common(20)]
    return lines
