"""What gradient health costs a run: short runs with it and without it, in turn.

    python -m benchmarks health [--quick]

Whole runs, not epochs in turn: how often the lab looks follows from the run's own clock, which
would count the other run's time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.results import write
from lab.config import RunConfig
from lab.data import catalog
from lab.training.control import Control
from lab.training.events import EpochDone
from lab.training.fit import fit
from lab.training.plan import make_plan

WORKS = {
    "sign CNN, batch 256": {"dataset": "drawn-signs", "architecture": "sign-cnn"},
    "deep MLP, batch 256": {"dataset": "drawn-signs", "architecture": "deep-mlp"},
    "simple CNN, batch 32": {
        "dataset": "drawn-cats-dogs",
        "architecture": "simple-cnn",
        "batch_size": 32,
    },
}


EPOCHS = 6


def main(*, quick: bool = False) -> None:
    rounds = 3 if quick else 9
    lines = [
        f"{rounds} runs of {EPOCHS} epochs each, in turn; of each the median epoch but the first. "
        "“Costs” is the median of the pairs, with its quartiles (target: at most 3 %).",
        "",
        "| run | without, s | with, s | costs |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        for name, knobs in WORKS.items():
            config = RunConfig(batch_size=256, film_strip=False, epochs=EPOCHS).changed(**knobs)
            catalog.open_pack(config.dataset)
            lines.append(_row(name, config, rounds))
    write("Gradient health" + (", quick" if quick else ""), [], text="\n".join(lines))


def _row(name: str, config: RunConfig, rounds: int) -> str:
    pairs = []
    for number in range(rounds):
        sides = [config.changed(layer_statistics="off"), config]
        # The other one first in every second pair: a machine that slows down meets both.
        seconds = [_epoch(each) for each in (sides if number % 2 else reversed(sides))]
        pairs.append(seconds if number % 2 else seconds[::-1])
    without, with_it = (statistics.median(side) for side in zip(*pairs, strict=True))
    low, middle, high = statistics.quantiles([b / a - 1 for a, b in pairs])
    costs = f"{middle:+.1%} ({low:+.1%} to {high:+.1%})"
    return f"| {name} | {without:.3f} | {with_it:.3f} | {costs} |"


def _epoch(config: RunConfig) -> float:
    """Seconds of the median epoch of a run."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for event in fit(make_plan(config, folder=Path(folder)), Control()):
            if isinstance(event, EpochDone):
                seconds.append(time.perf_counter() - began)
                began = time.perf_counter()
    return statistics.median(seconds[1:])
