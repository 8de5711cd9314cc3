"""Several lab servers with a LAB_HOME each on one database: their queue under fire, and kill -9.

    python -m benchmarks shared-queue [--quick]

Uses LAB_DATABASE_URL, which must name an empty database, or a PostgreSQL server of its own (on this
machine, without fsync). First all threads of all servers submit, move, remove and claim runs at
random. Then no call may have failed, no position may be there twice, and no run may be lost or
claimed twice. Then each server holds some runs, one is killed, and another one must mark the dead
one's runs as interrupted, and none else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lab.config import RunConfig
from lab.errors import NotFoundError, StateError
from lab.people import Person, acting_as
from lab.runs import leases
from lab.runs.store import Store, close_stores, store
from lab.runs.worker import recover

CONFIG = RunConfig(device="cpu")
PEOPLE = [Person(f"p-{name}", name, "admin") for name in ("Anna", "Ben", "Chun")]
HELD = 3


# --- one server -----------------------------------------------------------------------------------
def change_at_random(runs: Store, changes: int, seed: int) -> dict[str, Any]:
    """Returns what was done, and how many seconds each call took."""
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    submitted, claimed, errors, seconds = [], [], [], []
    for _ in range(changes):
        kind = chance.choice(["submit", "submit", "submit", "move", "move", "remove", "claim"])
        queued = [] if kind == "submit" else runs.queued()
        began = time.perf_counter()
        try:
            if kind == "submit" or not queued:
                kind = "submit"
                with acting_as(chance.choice(PEOPLE)):
                    submitted.append(runs.create_run(CONFIG, name="shared"))
            elif kind == "claim":
                if runs.claim(queued[0].id):
                    claimed.append(queued[0].id)
            elif kind == "move":
                runs.move(chance.choice(queued).id, chance.choice([-5, -1, 1, 5]))
            else:
                runs.remove(chance.choice(queued).id)
        except (StateError, NotFoundError):
            kind = "too late"  # another one claimed or removed it meanwhile, which is said rightly
        except Exception as error:
            errors.append(f"{kind}: {type(error).__name__}: {error}")
        seconds.append(time.perf_counter() - began)
        done[kind] += 1
    return {
        "submitted": submitted,
        "claimed": claimed,
        "errors": errors,
        "seconds": seconds,
        "done": done,
    }


def serve(changes: int, threads: int, seed: int) -> None:
    """What one server does, as told on stdin: "change", "hold", "recover"; answers in JSON."""
    runs = store()
    runs.owner()
    say({"ready": True})
    held: list[str] = []
    for line in sys.stdin:
        if line.strip() == "change":
            seeds = [1000 * seed + n for n in range(threads)]
            with ThreadPoolExecutor(threads) as pool:
                each = partial(change_at_random, runs, changes // threads)
                say({"results": list(pool.map(each, seeds))})
        elif line.strip() == "hold":
            held += [runs.create_run(CONFIG, name="held", status="preparing") for _ in range(HELD)]
            say({"held": held})
        elif line.strip() == "recover":
            say({"interrupted": recover(runs)})


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


# --- all of them ----------------------------------------------------------------------------------
class Served:
    """A server in a process of its own."""

    def __init__(self, home: Path, seed: int, changes: int, threads: int, lease: float) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.shared_queue", "--serve", str(seed)),
                *("--changes", str(changes), "--threads", str(threads), "--lease", str(lease)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LAB_HOME": str(home)},
        )

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def ask(self, word: str) -> dict[str, Any]:
        self.tell(word)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def servers(count: int, changes: int, threads: int, lease: float) -> Iterator[list[Served]]:
    with tempfile.TemporaryDirectory(prefix="lab-shared-") as folder:
        started = [
            Served(Path(folder, f"home-{n}"), n, changes // count, threads, lease)
            for n in range(count)
        ]
        try:
            for each in started:
                each.answer()
            yield started
        finally:
            for each in started:
                each.kill()
                each.process.communicate()


def check_changes(runs: Store, started: Sequence[Served]) -> dict[str, Any]:
    """Has all servers change the queue at once; returns what was measured. Raises AssertionError
    for anything that was lost, was there twice, or failed."""
    began = time.perf_counter()
    for each in started:
        each.tell("change")
    results = [result for each in started for result in each.answer()["results"]]
    seconds = time.perf_counter() - began
    errors = [error for result in results for error in result["errors"]]
    assert not errors, errors
    rows = {row.id: row for row in runs.runs()}
    submitted = [run for result in results for run in result["submitted"]]
    assert sorted(rows) == sorted(submitted), "runs are lost"
    claimed = [run for result in results for run in result["claimed"]]
    assert len(set(claimed)) == len(claimed), "a run was claimed twice"
    active = {run for run, row in rows.items() if row.status == "preparing"}
    assert active == set(claimed), "a claim is lost"
    positions = [row.queue_position for row in runs.queued()]
    assert positions == list(range(1, len(positions) + 1)), positions
    calls = sorted(second for result in results for second in result["seconds"])
    done = sum((Counter(result["done"]) for result in results), Counter())
    return {
        "changes": len(calls),
        "changes a second": len(calls) / seconds,
        "median, ms": 1000 * calls[len(calls) // 2],
        "95 %, ms": 1000 * calls[len(calls) * 95 // 100],
        "longest, ms": 1000 * calls[-1],
        "waiting in the end": len(positions),
        **done,
    }


def check_kill(runs: Store, started: Sequence[Served], longest: float = 120.0) -> float:
    """Kills one server; returns the seconds until another one has recovered its runs. Raises
    AssertionError when it takes `longest`, or when it takes a living one's."""
    held = [each.ask("hold")["held"] for each in started]
    before = {row.id for row in runs.runs(status="preparing")}
    chosen = random.randrange(len(started))
    dead, living = started[chosen], started[chosen - 1]
    owner = runs.run(held[chosen][0]).owner
    expected = {row.id for row in runs.runs(status="preparing") if row.owner == owner}
    dead.kill()
    began, interrupted = time.monotonic(), set()
    while expected - interrupted and time.monotonic() < began + longest:
        interrupted |= set(living.ask("recover")["interrupted"])
        time.sleep(0.2)
    assert interrupted == expected, (interrupted, expected)
    left = {row.id for row in runs.runs(status="preparing")}
    assert left == before - expected, "a living server's run was taken for dead"
    return time.monotonic() - began


def measure(count: int, changes: int, threads: int, lease: float) -> dict[str, Any]:
    """Both checks, on the database of LAB_DATABASE_URL."""
    with servers(count, changes, threads, lease) as started:
        figures = check_changes(store(), started)
        figures["recovered after, s"] = check_kill(store(), started)
    return figures


def main(*, quick: bool = False) -> None:
    with contextlib.ExitStack() as used:
        home = used.enter_context(tempfile.TemporaryDirectory(prefix="lab-shared-"))
        settings = {"LAB_HOME": home}
        if "LAB_DATABASE_URL" not in os.environ:
            from tests.postgresql import serve as serve_postgresql

            try:
                server = used.enter_context(contextlib.contextmanager(serve_postgresql)())
            except pytest.skip.Exception as missing:
                print(f"  not measured: {missing}")
                return
            settings["LAB_DATABASE_URL"] = server.url("postgres")
        used.enter_context(mock.patch.dict(os.environ, settings))
        used.callback(close_stores)
        changes = 200 if quick else 1000
        figures = measure(count=2, changes=changes, threads=4, lease=leases.LEASE_SECONDS)
    for name, value in figures.items():
        print(f"  {name:24} {value:10,.1f}")


def _serve() -> None:
    """What `Served` starts."""
    parser = argparse.ArgumentParser()
    for name, kind in (("serve", int), ("changes", int), ("threads", int), ("lease", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    leases.LEASE_SECONDS = options.lease
    leases.RENEW_SECONDS = options.lease / 6
    leases.SUSPECT_SECONDS = options.lease / 3
    serve(options.changes, options.threads, options.serve)


if __name__ == "__main__":
    _serve()
