import subprocess
import sys


def test_the_run_store_and_the_queue_come_up_without_torch() -> None:
    """The first page needs them within seconds; torch alone takes some."""
    script = """
import sys
import lab.runs.history, lab.runs.queue, lab.runs.store
from lab.runs.queue import queue
queue()
heavy = {"torch", "torchvision", "streamlit", "pandas", "lab.training.fit"} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
