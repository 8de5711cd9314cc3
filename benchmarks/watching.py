"""What watching costs the server: processor time of one run's feed with no, one and 30 viewers.

    python -m benchmarks watching [--quick]

The server answers in a process of its own, the viewers read plain HTTP in this one, and a third
records the steps and epochs of a run as a trainer does, four times a second. No plain side: a
script has no viewers.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.results import write

VIEWERS = (0, 1, 30)
STEPS_PER_SECOND = 40
PER_EPOCH = 200

_SERVER = """
import sys, uvicorn
import lab.evaluate.predictions  # a server has torch long since, which its first verdicts import
from starlette.applications import Starlette
from lab.api.routes import routes
uvicorn.run(Starlette(routes=routes()), port=int(sys.argv[1]), log_level="error", ws="none")
"""

_TRAINER = f"""
import sys, time
from lab.runs.store import store
from lab.runs.writing import Smoother
from lab.training.events import EpochDone, StepDone
smoother, done, began = Smoother(), 0, time.monotonic()
while True:
    due = int((time.monotonic() - began) * {STEPS_PER_SECOND})
    events = []
    for n in range(done + 1, due + 1):
        epoch = (n - 1) // {PER_EPOCH} + 1
        events.append(StepDone(n, epoch, {{"loss": 1 / n, "accuracy": 0.5}}, 32, 1e-3, n / 40))
        if n % {PER_EPOCH} == 0:
            values = {{"loss": 1 / n, "accuracy": 0.5}}
            events.append(EpochDone(epoch, n, "all", values, values, 1e-3, n / 40, 1000.0, True))
    if events:
        store().record(sys.argv[1], events, smoother=smoother)
    done = due
    time.sleep(0.25)
"""


def main(*, quick: bool = False) -> None:
    seconds = 6 if quick else 15
    rows = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        run_id = _running()
        with _process(_TRAINER, run_id), _server() as (process, port):
            for count in VIEWERS:
                with _viewers(count, port, run_id) as received:
                    time.sleep(3)  # snapshots are not watching
                    before, used, began = sum(received), _used(process), time.monotonic()
                    time.sleep(seconds)
                    spent = time.monotonic() - began
                    used = (_used(process) - used) / spent * 60
                    rate = (sum(received) - before) / spent / 1000
                    rows.append(f"| {count} | {used:.2f} | {used / 60:.2%} | {rate:.1f} |")
    text = "\n".join(
        [
            f"A run that records {STEPS_PER_SECOND} steps a second; the server's processor time, "
            "all its threads:",
            "",
            "| viewers | CPU seconds a minute | of one core | kB a second, all viewers |",
            "|---|---|---|---|",
            *rows,
        ]
    )
    write("Watching" + (", quick" if quick else ""), [], text=text)


def _running() -> str:
    from lab.config import RunConfig
    from lab.runs.store import store
    from lab.training.events import RunStarted

    run_id = store().create_run(RunConfig(epochs=1000), status="preparing")
    total = 1000 * PER_EPOCH
    store().record(run_id, [RunStarted("cpu", 6400, 100, 100, PER_EPOCH, total, 1, 1, ("a", "b"))])
    return run_id


@contextmanager
def _process(script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", script, *arguments])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _process(_SERVER, str(port)) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)
        yield process, port


@contextmanager
def _viewers(count: int, port: int, run_id: str) -> Iterator[list[int]]:
    """So many viewers; yields the bytes that each has received."""
    received = [0] * count
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]

    def read(place: int) -> None:
        request = f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        sockets[place].sendall(request.encode())
        while data := sockets[place].recv(65536):
            received[place] += len(data)

    threads = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    yield received
    assert all(received), "a viewer received nothing"
    for each in sockets:
        each.shutdown(socket.SHUT_RDWR)
        each.close()


def _used(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds of the process so far."""
    text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")
