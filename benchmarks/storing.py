"""The run store: what inserts cost, what a tick reads, how the list of runs grows.

    python -m benchmarks storing [--quick]

No plain side: a script keeps its losses in a list and loses them with the process.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

from benchmarks.results import write

BATCH = 250
"""Steps written together: a quarter of a second of a run that makes a thousand a second."""


def main(*, quick: bool = False) -> None:
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        lines += _history((1_000, 10_000) if quick else (1_000, 10_000, 100_000))
        lines += _listing((10, 100) if quick else (10, 100, 1_000))
    write("Run store" + (", quick" if quick else ""), [], text="\n".join(lines))


def _history(lengths: tuple[int, ...]) -> list[str]:
    from lab.config import RunConfig
    from lab.runs.history import thinned_steps
    from lab.runs.store import store
    from lab.runs.writing import Smoother
    from lab.training.events import RunStarted, StepDone

    opened = store()
    run_id = opened.create_run(RunConfig(), status="preparing")
    started = RunStarted("cpu", 100, 10, 10, lengths[-1], lengths[-1], 1, 1, ("a", "b"))
    opened.record(run_id, [started])
    smoother = Smoother()
    lines = [
        f"| steps in the history | inserting, µs a step ({BATCH} at a time) | a tick, 50 steps, ms "
        "| a page that opens, ms |",
        "|---|---|---|---|",
    ]
    done = 0
    for length in lengths:
        inserting = []
        while done < length:
            steps = [
                StepDone(step, 1, {"loss": 1 / step, "accuracy": 0.5}, 32, 1e-3, step / 1000)
                for step in range(done + 1, done + 1 + BATCH)
            ]
            insert = partial(opened.record, run_id, steps, smoother=smoother)
            inserting.append(_seconds(insert))
            done += BATCH
        tick = _median(partial(opened.steps, run_id, after=done - 50))
        page = _median(lambda: thinned_steps(opened, run_id), rounds=5)
        per_step = 1e6 * statistics.median(inserting) / BATCH
        lines.append(f"| {length:,} | {per_step:.1f} | {1e3 * tick:.2f} | {1e3 * page:.1f} |")
    return lines


def _listing(counts: tuple[int, ...]) -> list[str]:
    from lab.config import RunConfig
    from lab.runs.store import store

    opened = store()
    lines = ["", "| runs in the store | listing all, ms | one run's row, ms |", "|---|---|---|"]
    ids = [row.id for row in opened.runs()]
    for count in counts:
        while len(ids) < count:
            ids.append(opened.create_run(RunConfig()))
        listing, one = _median(opened.runs), _median(lambda: opened.run(ids[-1]))
        lines.append(f"| {count:,} | {1e3 * listing:.1f} | {1e3 * one:.2f} |")
    return lines


def _median(work: Callable[[], object], rounds: int = 20) -> float:
    work()
    return statistics.median(_seconds(work) for _ in range(rounds))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
