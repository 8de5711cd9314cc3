"""What a listener costs a run: the sign CNN on drawn signs with none and with each, in turn.

    python -m benchmarks listeners [--quick]

Each run of a round goes from its first step to its end, test included; imports and the first use of
each library come before. The listeners that are not installed are left out. No plain side: a script
calls these libraries in its loop.

Whole runs scatter by several percent, so a listener's cost is also counted directly: the processor
time of all that is not the training thread (other threads, processes that the library starts), less
the same of the run without a listener in that round. OMP_NUM_THREADS=1 keeps torch's own threads
out of it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass

import psutil

from benchmarks.results import write
from lab.config import RunConfig
from lab.training.events import Event, RunEnded, RunStarted

NAMES = ("tensorboard", "mlflow", "wandb", "trackio")


@dataclass
class Cost:
    """One run, from its first event to its last; seconds."""

    wall: float = 0.0
    processor: float = 0.0
    """Of this process and of those that the library started."""
    training: float = 0.0
    """Processor time of the thread that trains, which hands the events over."""

    @property
    def beside(self) -> float:
        """Processor time of all others: recorder, listener, the library's processes."""
        return self.processor - self.training

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._count(-1)
            self.wall -= time.perf_counter()
        if isinstance(event, RunEnded):
            self.wall += time.perf_counter()

    def end(self) -> None:
        """The listener has written everything, which the run does not wait for."""
        self._count(1)

    def _count(self, sign: int) -> None:
        self.processor += sign * _processor()
        self.training += sign * time.thread_time()


def main(*, quick: bool = False) -> None:
    os.environ.pop("LAB_LISTENERS", None)
    rounds, epochs = (3, 2) if quick else (5, 10)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        there = [name for name in NAMES if _installed(name)]
        costs: dict[str, list[Cost]] = {name: [] for name in ("", *there)}
        for name in costs:
            _train(name, epochs=1)
        for number in range(rounds):
            order = list(costs)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                costs[name].append(_train(name, epochs=epochs))
    lines = [
        "| listener | time, ratio to none | processor time, ratio to none | beside training |",
        "|---|---|---|---|",
    ]
    for name in there:
        pairs = list(zip(costs[name], costs[""], strict=True))
        wall = [one.wall / none.wall for one, none in pairs]
        processor = [one.processor / none.processor for one, none in pairs]
        counted = [(one.beside - none.beside) / none.processor for one, none in pairs]
        lines.append(f"| {name} | {_spread(wall)} | {_spread(processor)} | {_shares(counted)} |")
    none = [cost.processor for cost in costs[""]]
    text = (
        f"The sign CNN on drawn signs, {epochs} epochs, median (lowest to highest) of {rounds} "
        f"rounds in turn; without a listener a run takes {statistics.median(none):.1f} s of "
        "processor time."
    )
    write("Listeners" + (", quick" if quick else ""), [], text="\n".join([text, "", *lines]))


def _installed(name: str) -> bool:
    from lab.errors import ConfigError
    from lab.runs.listeners.kinds import chosen

    os.environ["LAB_LISTENERS"] = name
    try:
        chosen()
    except ConfigError as error:
        print(error)
        return False
    finally:
        del os.environ["LAB_LISTENERS"]
    return True


def _train(name: str, *, epochs: int) -> Cost:
    from lab.runs.foreground import run_in_foreground
    from lab.runs.listeners.background import wait_for_listeners

    config = RunConfig(dataset="drawn-signs", architecture="sign-cnn", epochs=epochs, device="cpu")
    cost = Cost()
    os.environ["LAB_LISTENERS"] = name
    try:
        row = run_in_foreground(config, on_event=cost)
        wait_for_listeners()
        cost.end()
    finally:
        del os.environ["LAB_LISTENERS"]
    assert row.status == "completed", row.message
    return cost


def _processor() -> float:
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _shares(values: list[float]) -> str:
    return f"{statistics.median(values):.2%} ({min(values):.2%} to {max(values):.2%})"
