"""The short form of `make faults`: three kills, a few flipped bits of every kind of file, and one
kill of a server."""

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_three_kills_and_damaged_files() -> None:
    table = run("benchmarks", "faults", "--times", "3")
    assert "| kill -9: a run that goes on | 1 |" in table, table
    assert "| a flipped bit or a cut: resume state | 30 | 30 noticed" in table, table


def test_a_server_is_killed_and_loses_nothing() -> None:
    table = run("benchmarks.server_faults", "--times", "1", "--quick")
    assert table.count("| nothing |") == 1, table
