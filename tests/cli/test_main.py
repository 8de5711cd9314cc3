"""What every command has in common."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_has_seen_enough_is_no_error(options: list[str]) -> None:
    command = [sys.executable, "-m", "lab", "recipes", "list", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as lab:
        assert lab.stdout is not None
        assert lab.stderr is not None
        lab.stdout.close()  # before anything is written
        assert lab.stderr.read() == ""
        assert lab.wait(60) == 141
