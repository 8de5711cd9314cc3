"""A training process beside programs that use all cores: how torch's threads should wait.

    for each way of waiting: a short run, quiet -> seconds; the same beside busy programs -> seconds

torch's threads spin between two pieces of work, so that the next one starts at once. Where another
program wants the core, the spinning thread keeps the one that has work from running, and a step
takes many times as long. `lab.process.spin_briefly` limits that; this measures what it costs and
what it is worth. Each run is a process of its own, in turn, because the setting is read once, when
torch is loaded.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import results
from lab.process import SPIN_COUNT, SPIN_VARIABLE

ROOT = Path(__file__).parents[1]

WAYS: dict[str, dict[str, str]] = {
    "torch's default": {SPIN_VARIABLE: "300000"},  # what libgomp takes where nothing is set
    "the lab's": {SPIN_VARIABLE: SPIN_COUNT},
    "without spinning": {SPIN_VARIABLE: "0"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}

WORKS = {
    "sign CNN, batch 64": ("sign-cnn", 64, 40, 160),
    "ResNet-18, 64 pixels, batch 32": ("resnet18", 32, 2, 10),
}
"""Architecture, batch size, steps that warm up, steps that count."""

_WORK = """
import sys, time
from lab.config import RunConfig
from lab.training.control import Control
from lab.training.events import StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from pathlib import Path
import tempfile

architecture, batch, first, steps = sys.argv[1], *map(int, sys.argv[2:5])
config = RunConfig(dataset="drawn-signs", architecture=architecture, batch_size=batch, epochs=1000,
                   image_size=64 if architecture == "resnet18" else None, film_strip=False,
                   layer_statistics="off", validation_fraction=0.1, freeze="scratch")
with tempfile.TemporaryDirectory() as folder:
    began, done = 0.0, 0
    for event in fit(make_plan(config, folder=Path(folder)), Control()):
        if isinstance(event, StepDone):
            done += 1
            if done == first:
                began = time.perf_counter()
            if done == first + steps:
                break
print(time.perf_counter() - began)
"""


def main(*, quick: bool) -> None:
    rounds = 1 if quick else 3
    lines = [
        "Seconds for the same steps, median (lowest to highest) of "
        f"{rounds} rounds in turn, quiet and beside {os.cpu_count()} programs that use all cores.",
        "",
        "| work | threads wait | quiet | busy |",
        "|---|---|---|---|",
    ]
    for title, work in WORKS.items():
        quiet: dict[str, list[float]] = {way: [] for way in WAYS}
        busy: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                quiet[way].append(_seconds(work, WAYS[way]))
            with _busy_programs():
                for way in WAYS:
                    busy[way].append(_seconds(work, WAYS[way]))
        rows = [f"| {title} | {way} | {_text(quiet[way])} | {_text(busy[way])} |" for way in WAYS]
        print(*rows, sep="\n", flush=True)  # the next work takes minutes
        lines += rows
    results.write("Beside busy programs", [], text="\n".join(lines))


def _seconds(work: tuple[str, int, int, int], way: dict[str, str]) -> float:
    """Of the steps that count, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _WORK, *map(str, work)],
        cwd=ROOT,
        env={**os.environ, **way},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


@contextlib.contextmanager
def _busy_programs() -> Iterator[None]:
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _text(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
