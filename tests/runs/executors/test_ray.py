"""Runs on a Ray cluster of two machines, which are processes here: no disk in common is used."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, PlaceLostError
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.driver import Driver
from lab.experiments.sweeps.study import open_study
from lab.experiments.sweeps.table import create_sweep
from lab.runs.executors.ray_cluster import RayExecutor
from lab.runs.queue import Queue
from lab.runs.store import RunRow, Store
from lab.training.checkpoint import weights_digest
from tests.runs.executors.engines import SLEEPER, slow_engine
from tests.tiny_data import make_tiny_pack

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

PATIENCE = 240
MEMORY = 100_000_000


@dataclass
class Machines:
    """The cluster: its processes, and where each machine keeps its files."""

    cluster: Any
    homes: dict[Path, Any]

    def training(self, run: str) -> Any:
        """Returns the machine that trains the run."""
        return next(node for home, node in self.homes.items() if any(home.glob(f"*/runs/{run}")))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        homes = {}
        for number in range(2):
            home = tmp_path_factory.mktemp(f"machine-{number}")
            env = {"LAB_NODE_HOME": str(home)}
            homes[home] = cluster.add_node(num_cpus=2, object_store_memory=MEMORY, env_vars=env)
        yield Machines(cluster, homes)
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def executor(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    """Starts its driver in the module's LAB_HOME; each run uses that of its own test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("server")))
        patch.setenv("LAB_CPUS_PER_RUN", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        made = RayExecutor(machines.cluster.address, engine=slow_engine)
        assert len(made.places("cpu")) == 4
    yield made
    made.close()


@pytest.fixture
def queue(runs: Store, executor: RayExecutor, tiny: RunConfig) -> Iterator[Queue]:
    """Started once the data set is there: it sweeps what nobody holds."""
    queue = Queue(runs, executor=executor, poll_seconds=0.5)
    queue.start()
    yield queue
    queue.shutdown()


@pytest.fixture
def tiny(runs: Store) -> RunConfig:
    return RunConfig(
        dataset=make_tiny_pack(),
        architecture="sign-cnn",
        batch_size=16,
        epochs=3,
        width_shift=0.05,
        learning_rate=3e-3,
        precision="fp32",
    )


def wait_until(runs: Store, run: str, holds: Callable[[RunRow], bool]) -> RunRow:
    until = time.monotonic() + PATIENCE
    while not holds(row := runs.run(run)):
        assert time.monotonic() < until, f"{row.status}: {row.message} {row.progress_text}"
        time.sleep(0.02)
    return row


def has_state(runs: Store, run: str) -> bool:
    from lab.training.checkpoint import read_resume

    state = read_resume(runs.folder(run))
    return state is not None and state.counters is not None and state.counters.step > 2


def test_a_run_streams_stops_resumes_and_survives_its_machine(
    machines: Machines,
    executor: RayExecutor,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
) -> None:
    whole = queue.submit(tiny)
    # Streamed: steps are in the store while the machine trains.
    assert wait_until(runs, whole, lambda row: row.step > 0).is_live
    assert queue.wait(whole, PATIENCE).status == "completed", runs.run(whole).message
    total = runs.run(whole).total_steps

    stopped, killed = queue.submit(tiny), queue.submit(tiny)
    wait_until(runs, stopped, lambda row: row.step > 4)
    queue.stop(stopped)
    wait_until(runs, killed, lambda row: has_state(runs, killed) or not row.is_live)
    machine = machines.training(killed)
    machines.cluster.remove_node(machine, allow_graceful=False)
    machines.homes = {home: node for home, node in machines.homes.items() if node is not machine}
    # Its machine may be the one that died: then it is interrupted, and stays so.
    wait_until(runs, stopped, lambda row: row.status in ("stopped", "interrupted", "completed"))
    if (row := runs.run(stopped)).status != "completed":
        assert 4 < row.step < total
        queue.resume(stopped)
    for run in (stopped, killed):  # for a moment a run that goes on by itself is interrupted
        wait_until(runs, run, lambda row: row.status == "completed")
    log = [line.text for line in runs.log(killed)]
    assert sum("the machine that trained it died or was taken away" in text for text in log) == 1

    digests = set()
    for run in (whole, stopped, killed):
        folder = runs.folder(run)
        assert list(runs.steps(run).step) == list(range(1, total + 1))
        assert list(runs.steps(run)["loss"]) == list(runs.steps(whole)["loss"])
        assert (run == whole) != any("Resumed after step" in line.text for line in runs.log(run))
        digests.add((weights_digest(folder, "last"), weights_digest(folder, "best")))
        assert not (folder / "resume.safetensors").exists()
        assert (folder / "end.safetensors").exists()
        assert list(folder.glob("probes/epoch-*.npz"))
        assert list(folder.glob("probes/image-*.png"))
        assert (folder / "layers" / "samples.bin").stat().st_size > 0
        assert not list(folder.glob(".*"))  # nothing half-written
    assert len(digests) == 1


def test_a_sweep_of_12_runs_keeps_all_places_busy(
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
) -> None:
    base = tiny.changed(architecture=SLEEPER)
    config = SweepConfig(name="places", base=base, axes={"dropout": [n / 20 for n in range(12)]})
    sweep_id = create_sweep(runs, name=config.name, config_json=config.to_json())
    places = queue.places_for(base)
    busiest, until = 0, time.monotonic() + PATIENCE
    with open_study(sweep_id, config, runs.database) as study:
        driver = Driver(sweep_id, config, study, queue=queue, check=lambda c: c)
        while driver.poll() and time.monotonic() < until:
            users = [run for run in queue.places().values() if run]
            busiest = max(busiest, len(users))
            time.sleep(0.02)
    done = runs.runs(origin=f"sweep:{sweep_id}")
    assert [row.status for row in done] == ["completed"] * 12
    assert busiest == places


def test_a_lost_cluster_is_told_and_runs_are_found_again(
    executor: RayExecutor,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
) -> None:
    run = queue.submit(tiny)
    wait_until(runs, run, lambda row: has_state(runs, run))
    assert executor._process is not None
    executor._process.kill()  # what Ray does to its process when the head is gone
    wait_until(runs, run, lambda row: row.status == "completed")
    lost = [
        line for line in runs.log(run) if "the connection to the Ray cluster is lost" in line.text
    ]
    assert len(lost) == 1
    assert list(runs.steps(run).step) == list(range(1, runs.run(run).total_steps + 1))


def test_a_cluster_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = RayExecutor("127.0.0.1:1")
    try:
        with pytest.raises(PlaceLostError, match=r"The Ray cluster at \S+ cannot be reached"):
            nowhere.places("cpu")
        monkeypatch.setenv("LAB_CPUS_PER_RUN", "many")
        with pytest.raises(ConfigError, match="LAB_CPUS_PER_RUN is 'many'; it must be a number"):
            RayExecutor("127.0.0.1:1")
    finally:
        with contextlib.suppress(Exception):
            nowhere.close()
