"""The script of docs/SCALE.md does what it says: a cluster with a token, and one run on it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

SCRIPT = Path(__file__).parents[3] / "docs" / "local_cluster.sh"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_script_trains_a_run_on_a_cluster_and_takes_it_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    run = ("--dataset", "handwritten-digits", "--architecture", "mlp", "--epochs", "1", "--json")
    # Not pytest's folder: its name is too long for the sockets that Ray makes in it.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", str(SCRIPT), *run],
            env={**os.environ, "PYTHON": sys.executable, "PORT": str(port), "TMPDIR": folder},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert not list(Path(folder).glob("tmp.*"))  # its own folder is gone
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "run_ended"
    assert events[-1]["status"] == "completed"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
