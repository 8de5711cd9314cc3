"""Load: what the lab does with many viewers, runs, pictures and uploads, and after hours of clicks.

    python -m benchmarks load [--quick] [--only NAME] [--minutes N]      (make load)

A real server in a LAB_HOME of its own, and visitors of `benchmarks.page_session`. Memory, counts,
processor time and ratios within one run say the same on a busy machine; seconds do not.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path

from benchmarks.results import write

PARTS = {
    "viewers": "30 people look at a run that trains",
    "runs": "1,000 runs in the store",
    "steps": "A run of 1,000,000 steps",
    "images": "25,000 pictures of one's own",
    "queue": "50 runs of five people in the queue",
    "uploads": "200 uploads in a row",
    "clicks": "Hours of clicks",
}
"""Each a module of this folder with `measure(home, *, quick) -> lines of a table`."""


def main(*, quick: bool = False, only: str | None = None, minutes: float | None = None) -> None:
    if only is not None and only not in PARTS:
        raise SystemExit(f"There is no part {only!r}; there are: {', '.join(PARTS)}.")
    for name in [only] if only else PARTS:
        module = importlib.import_module(f"benchmarks.load.{name}")
        with tempfile.TemporaryDirectory() as home:
            timed = {"minutes": minutes} if name == "clicks" and minutes else {}
            lines: list[str] = module.measure(Path(home), quick=quick, **timed)
        if quick:
            print("\n".join([f"## {PARTS[name]}, quick", "", *lines, ""]), flush=True)
        else:
            write(f"Load: {PARTS[name]}", [], text="\n".join(lines))
