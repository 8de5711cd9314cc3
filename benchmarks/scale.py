"""How runs on many places behave: Ray on two machines that are processes here, and a queue of up to
200 simulated machines.

    python -m benchmarks scale [--quick]

Nothing trains: engines sleep, because the cores of one computer are not those of many. What is
measured is the way of a step into the store, what it costs, how long a start takes, and how places
are kept busy. Under other load only the processor times hold.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.progress import Report
from lab.runs.executors import Place
from lab.runs.executors.local import LocalExecutor
from lab.runs.executors.ray_cluster import RayExecutor
from lab.runs.queue import Queue
from lab.runs.store import Store, close_stores
from lab.training.control import Control
from lab.training.events import EpochDone, Event, RunEnded, RunStarted, StepDone

CONFIG = RunConfig(device="cpu", epochs=1)

MOST_TIMES_AS_LONG = 5
"""As it would take without the queue and the store: what takes longer is broken off."""


def sleeping_engine(
    config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """`batch_size` steps of `learning_rate` seconds each; a step's loss is when it was done, its
    accuracy the processor time of its process."""
    steps = config.batch_size
    yield RunStarted("cpu", 1, 1, 1, steps, steps, 1, 1, ("a", "b"))
    for number in range(1, steps + 1):
        time.sleep(config.learning_rate)
        values = {"loss": time.time(), "accuracy": time.process_time()}
        yield StepDone(number, 1, values, 1, 1e-3, number * config.learning_rate)
    numbers = {"loss": 1.0, "accuracy": 0.5}
    yield EpochDone(1, steps, "all", numbers, numbers, 1e-3, 1.0, 1.0, True)
    yield RunEnded("completed", "", 1, steps, 1, numbers, {}, 1.0)


class Timed(Store):
    """A store that notes how old each step is when it has been written."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: list[float] = []
        self.writes: list[float] = []

    def record(self, run_id: str, events: Sequence[Event], **options: Any) -> str | None:
        began = time.perf_counter()
        answer = super().record(run_id, events, **options)
        self.writes.append(time.perf_counter() - began)
        now = time.time()
        self.ages += [now - e.values["loss"] for e in events if isinstance(e, StepDone)]
        return answer


class Simulated(LocalExecutor):
    """Machines that only sleep, in threads of this process."""

    def __init__(self, count: int) -> None:
        super().__init__(sleeping_engine, lambda config: "cpu")
        self._count = count

    def places(self, device: str) -> tuple[Place, ...]:
        return tuple(Place(f"machine-{n}", device) for n in range(self._count))

    def engine(self, place: Place) -> Any:
        return sleeping_engine


class Fewer(RayExecutor):
    """Some of the cluster's places."""

    most = 4

    def places(self, device: str) -> tuple[Place, ...]:
        return super().places(device)[: self.most]


def _steps(count: int, seconds: float) -> RunConfig:
    return CONFIG.changed(batch_size=count, learning_rate=seconds)


def _ms(values: Sequence[float]) -> str:
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * p))] * 1000 for p in (0.5, 0.95)]
    return f"p50 {at[0]:.0f} ms, p95 {at[1]:.0f} ms"


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(queue: Queue, runs: Sequence[str]) -> float:
    began = time.monotonic()
    for run in runs:
        row = queue.wait(run, 600)
        assert row.status == "completed", row.message
    return time.monotonic() - began


def on_ray(*, quick: bool) -> None:
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100_000_000}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory}
    )
    executor = None
    os.environ["LAB_CPUS_PER_RUN"] = "1"  # so that there are four places
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, **memory)
        began = time.monotonic()
        executor = Fewer(cluster.address, engine=sleeping_engine, sends_data=False)
        executor.places("cpu")
        print(f"  joining the cluster            {time.monotonic() - began:6.1f} s")
        runs = Timed()
        queue = Queue(runs, executor=executor, poll_seconds=1.0)
        queue.start()
        starts = []
        for _ in range(5):  # Ray begins on the one machine, then on the other
            began = time.time()
            run = queue.submit(_steps(2, 0.001))
            _wait(queue, [run])
            starts.append(float(runs.steps(run)["loss"][0]) - began)
        print(f"  submit to first step: cold {starts[0]:.2f} s, warm {min(starts[2:]):.2f} s")
        for seconds in (0.002, 0.05):
            count = (300 if quick else 2000) if seconds < 0.01 else 100
            runs.ages.clear()
            driver = executor._process.pid if executor._process else 0
            before = _cpu_of(driver), time.process_time()
            run = queue.submit(_steps(count, seconds))
            _wait(queue, [run])
            cpu = [_cpu_of(driver) - before[0], time.process_time() - before[1]]
            of_trainer = runs.steps(run)["accuracy"]
            cpu.append(float(of_trainer[-1] - of_trainer[0]))
            each = ", ".join(f"{c / count * 1e6:.0f}" for c in cpu)
            print(
                f"  steps of {seconds * 1000:g} ms: machine -> store {_ms(runs.ages)}; processor "
                f"time a step (driver, server, trainer): {each} us"
            )
        queue.shutdown()
        for places, state in itertools.product((1, 2, 4), ("cold", "warm")):
            executor.most = places
            queue = Queue(runs, executor=executor, poll_seconds=1.0)
            assert len(executor.places("cpu")) == places
            began = time.monotonic()
            count = 8 if quick else 20
            ids = [queue.submit(_steps(20, 0.1)) for _ in range(count)]
            queue.start()
            _wait(queue, ids)
            seconds = time.monotonic() - began
            queue.shutdown()
            busy = count * 2.0 / places / seconds
            print(
                f"  {count} runs that sleep 2 s on {places} places, {state}: {seconds:5.1f} s, "
                f"places {busy:.0%} busy"
            )
    finally:
        if executor is not None:
            executor.close()
        cluster.shutdown()


def simulated(machines: int, runs_each: int) -> None:
    """Runs of 20 steps, a step every half second, on so many machines at once."""
    runs = Timed()
    queue = Queue(runs, executor=Simulated(machines), poll_seconds=1.0)
    count = machines * runs_each
    began = time.perf_counter()
    ids = [runs.create_run(_steps(20, 0.5)) for _ in range(count)]
    queued = (time.perf_counter() - began) / count
    began = time.perf_counter()
    for run in ids[-20:]:
        runs.move(run, -count)
    moved = (time.perf_counter() - began) / 20
    cpu, began = time.process_time(), time.monotonic()
    queue.start()
    until = began + MOST_TIMES_AS_LONG * 10.0 * runs_each
    while time.monotonic() < until and runs.runs(status=("queued", "preparing", "running")):
        time.sleep(1)
    done = len(runs.runs(status="completed"))
    seconds = time.monotonic() - began
    cpu = time.process_time() - cpu
    queue.shutdown()
    print(
        f"  {machines:3} machines, {count:4} runs: enter {queued * 1000:.1f} ms, move "
        f"{moved * 1000:.1f} ms; {done} completed in {seconds:.0f} s "
        f"({done * 10.0 / machines / seconds:.0%} busy), "
        f"processor {cpu / seconds:.0%}; step -> store {_ms(runs.ages)}; a write "
        f"{statistics.median(runs.writes) * 1000:.1f} ms"
    )


def main(*, quick: bool = False) -> None:
    for title, work in (
        ("Ray, two machines on this computer", lambda: on_ray(quick=quick)),
        *(
            (f"Simulated machines: {n}", lambda n=n: simulated(n, 2 if quick else 5))
            for n in ((10, 50) if quick else (25, 50, 100, 200))
        ),
    ):
        print(title)
        with tempfile.TemporaryDirectory() as home:
            os.environ["LAB_HOME"] = home
            work()
            close_stores()
