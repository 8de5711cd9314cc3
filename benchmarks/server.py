"""A real server of the lab in a process of its own, and what it costs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
COLD = """
from lab.ui import startup
startup._warm_up = lambda: None
from streamlit.web.cli import main
main()
"""


class Server:
    """Answers at `url`; `seconds_to_answer` after it was started."""

    def __init__(self, url: str, pid: int, seconds_to_answer: float) -> None:
        self.url = url
        self.seconds_to_answer = seconds_to_answer
        self.process = psutil.Process(pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory_mb(self) -> float:
        """Memory of its own in use now: what is mapped from files, as libraries and packs are, does
        not count."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024 / 1e6

    @property
    def uploaded_mb(self) -> float:
        """What Streamlit keeps of uploaded files, by its own account; takes six seconds."""
        time.sleep(6)  # it shows what it has counted for five seconds
        with urllib.request.urlopen(f"{self.url}/_stcore/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        sizes = [line for line in lines if 'cache_type="UploadedFileManager"' in line]
        return sum(float(line.split()[-1]) for line in sizes) / 1e6

    def runs(self, *statuses: str) -> list[dict[str, Any]]:
        """Returns the runs in one of these states, all of them without."""
        query = "&".join(f"status={status}" for status in statuses)
        runs: list[dict[str, Any]] = json.loads(self.api(f"/runs?{query}"))["runs"]
        return runs

    def api(self, path: str) -> bytes:
        """Returns the body that the API answers."""
        with urllib.request.urlopen(f"{self.url}/api{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body


@contextmanager
def lab_server(
    home: Path, *, warm: bool = True, code: str = COLD, **environment: str
) -> Iterator[Server]:
    """A server on LAB_HOME `home`; ended when the block is left. Its log is `home`/server.log.

    `warm`: with what a server prepares in its first minute, half a minute of processor time; `code`
    is what starts one without.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *(("-m", "streamlit") if warm else ("-c", code))]
    command += ["run", "streamlit_app.py"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    url, started = f"http://127.0.0.1:{port}", time.monotonic()
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "server.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, "LAB_HOME": str(home)},
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                    break
                except OSError:
                    assert process.poll() is None, (home / "server.log").read_text()
                    time.sleep(0.05)
            yield Server(url, process.pid, time.monotonic() - started)
        finally:
            process.terminate()
            process.wait(20)
