"""What a listener costs a run: the sign CNN on drawn signs with none and with each, in turn.

    python -m benchmarks listeners [--quick]

Each run of a round goes from its first step to its end, test included; imports and the first use of
each library come before. The listeners that are not installed are left out. No plain side: a script
calls these libraries in its loop.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass

import psutil

from benchmarks.results import write
from lab.config import RunConfig
from lab.training.events import Event, RunEnded, RunStarted

NAMES = ("tensorboard", "mlflow", "wandb", "trackio")


@dataclass
class Cost:
    """One run, from RunStarted to RunEnded; seconds."""

    wall: float = 0.0
    processor: float = 0.0
    """Of this process and of those that the library started."""
    threads: float = 0.0
    """Processor time of the listener's own threads alone."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted | RunEnded):
            sign = -1 if isinstance(event, RunStarted) else 1
            self.wall += sign * time.perf_counter()
            self.processor += sign * _processor()
            self.threads += sign * _threads()


def main(*, quick: bool = False) -> None:
    os.environ.pop("LAB_LISTENERS", None)
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        there = [name for name in NAMES if _installed(name)]
        costs: dict[str, list[Cost]] = {name: [] for name in ("", *there)}
        for name in costs:
            _train(name, epochs=1)
        for number in range(rounds):
            order = list(costs)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                costs[name].append(_train(name, epochs=2 if quick else 3))
    lines = [
        "| listener | time, ratio to none | processor time, ratio to none | its own threads |",
        "|---|---|---|---|",
    ]
    for name in there:
        pairs = list(zip(costs[name], costs[""], strict=True))
        wall = [one.wall / none.wall for one, none in pairs]
        processor = [one.processor / none.processor for one, none in pairs]
        threads = [one.threads / one.processor for one, _ in pairs]
        lines.append(f"| {name} | {_spread(wall)} | {_spread(processor)} | {_share(threads)} |")
    none = [cost.processor for cost in costs[""]]
    text = (
        f"The sign CNN on drawn signs, median (lowest to highest) of {rounds} rounds in turn; "
        f"without a listener a run takes {statistics.median(none):.1f} s of processor time."
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

    config = RunConfig(dataset="drawn-signs", architecture="sign-cnn", epochs=epochs, device="cpu")
    cost = Cost()
    os.environ["LAB_LISTENERS"] = name
    try:
        row = run_in_foreground(config, on_event=cost)
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


def _threads() -> float:
    ids = {each.native_id for each in threading.enumerate() if each.name.startswith("listener")}
    return sum(
        each.user_time + each.system_time for each in psutil.Process().threads() if each.id in ids
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _share(values: list[float]) -> str:
    return f"{statistics.median(values):.2%}"
