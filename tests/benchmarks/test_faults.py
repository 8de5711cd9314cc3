"""The short form of `make faults`: three kills, and a few flipped bits of every kind of file."""

import os
import subprocess
import sys
from pathlib import Path


def test_three_kills_and_damaged_files() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "faults", "--times", "3"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert any("kill -9: a run that goes on | 1 |" in line for line in table), done.stdout
    assert any("a flipped bit or a cut: resume state | 30 | 30 noticed" in line for line in table)
