"""Faults of the database and the disk: locked, killed while locked, full.

    python -m benchmarks.store_faults [--times N] [--lock SECONDS] [--only locked|killed|full]

Each try trains a small network with `python -m lab train` in a LAB_HOME of its own and injects one
fault at a random moment. Then the run must have the curve and the weights of the undisturbed one.
A full disk needs root: a tmpfs of 256 MB is mounted, of which 200 must be free to begin.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.runs.rows import RunRow
from lab.runs.spill import NAME
from lab.runs.store import close_stores, store
from lab.runs.worker import recover
from lab.training.checkpoint import weights_digest

TRAIN = [
    "train",
    "--dataset",
    "drawn-signs",
    "--architecture",
    "sign-cnn",
    "--epochs",
    "1",
    "--device",
    "cpu",
    "--precision",
    "fp32",
]
DISK = "256m"


def lab(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def finished(*arguments: str) -> int:
    process = lab(*arguments)
    process.communicate()
    return process.returncode


def run() -> RunRow:
    return store().runs()[0]


def result(row: RunRow) -> tuple[object, ...]:
    """What must be the same however the run was disturbed."""
    steps = store().steps(row.id)
    curve = steps.step.tolist(), steps["loss"].tolist(), steps["loss_smoothed"].round(9).tolist()
    return row.status, row.test, weights_digest(store().folder(row.id), "best"), curve


@contextlib.contextmanager
def home(kind: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lab-fault-") as name:
        if kind == "full":
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", name], check=True
            )
        os.environ["LAB_HOME"] = name
        try:
            yield Path(name)
        finally:
            close_stores()
            if kind == "full":
                subprocess.run(["umount", name], check=True)


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    while process.poll() is None:
        if (rows := store().runs()) and rows[0].step >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"it ended before step {step}: {process.communicate()}")


def locked(folder: Path, step: int, seconds: float) -> str:
    """Another program holds the database; the run must complete and be recorded."""
    process = lab(*TRAIN)
    wait_for_step(process, step)
    other = sqlite3.connect(folder / "lab.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    spill = folder / "runs" / run().id / NAME
    most = 0
    while time.monotonic() < began + seconds:
        most = max(most, spill.stat().st_size if spill.exists() else 0)
        time.sleep(0.1)
    other.close()
    process.communicate()
    assert process.returncode == 0, process.returncode
    return f"{most:,} bytes waited"


def killed(folder: Path, step: int, seconds: float) -> str:
    """The process dies while its events wait; recovered, the run goes on."""
    process = lab(*TRAIN)
    wait_for_step(process, step)
    other = sqlite3.connect(folder / "lab.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    recorded = run().step
    time.sleep(random.uniform(0.3, seconds))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    other.close()
    recover(store())
    row = run()
    assert row.status == "interrupted", row.status
    waited = row.step - recorded
    assert finished("resume", row.id) == 0
    return f"{waited} steps waited"


def full(folder: Path, step: int, seconds: float) -> str:
    """The disk fills up, with the run's own writes or another's; freed, the run goes on."""
    process = lab(*TRAIN)
    ballast = folder / "ballast"
    wait_for_step(process, step)
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while process.poll() is None:
            file.write(bytes(1 << 16))
    while process.poll() is None:  # what the run frees is taken, too
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            file.write(bytes(1 << 12))
        time.sleep(0.05)
    output = " ".join((process.communicate()[0] or "").split())
    ballast.unlink()
    recover(store())
    row = run()
    # The last line tells it; the row does, too, unless there was no room for that: "interrupted".
    assert "disk is full" in output or row.status == "completed", (row.status, output)
    if row.status != "completed":
        assert finished("resume", row.id) == 0
    return f"{row.status} at step {row.step}: {output[-200:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--lock", type=float, default=8.0)
    parser.add_argument("--only", choices=["locked", "killed", "full"])
    options = parser.parse_args()
    with home("reference"):
        assert finished(*TRAIN) == 0
        expected, total = result(run()), run().step
    kinds = {"locked": locked, "killed": killed, "full": full}
    if os.geteuid():
        del kinds["full"]
    for kind, inject in kinds.items():
        if options.only not in (None, kind):
            continue
        for number in range(options.times):
            with home(kind) as folder:
                step = random.randint(1, total - 5)
                told = inject(folder, step, options.lock)
                same = result(run()) == expected
                print(kind, number + 1, f"from step {step} of {total}:", told, same, flush=True)
                assert same


if __name__ == "__main__":
    main()
