"""Runs on a Ray cluster of two machines, which are processes here: no disk in common is used."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.config import RunConfig
from lab.data.catalog import open_pack
from lab.errors import ConfigError, PlaceLostError
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.driver import Driver
from lab.experiments.sweeps.study import open_study
from lab.experiments.sweeps.table import create_sweep
from lab.runs.executors import ray_cluster
from lab.runs.executors.ray_cluster import RayExecutor
from lab.runs.queue import Queue
from lab.runs.store import RunRow, Store
from lab.training.checkpoint import read_resume, weights_digest
from tests.runs.executors.engines import HELD_AT, HOLD, SLEEPER, held_engine
from tests.tiny_data import make_tiny_pack

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

PATIENCE = 240
MEMORY = 100_000_000
BUCKET = "bucket"
"""Where data sets are kept that are too large to be sent."""

HEAD = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}


@dataclass
class Machines:
    """The cluster: its processes, and where each machine keeps its files."""

    cluster: Any
    port: int
    hold: Path
    homes: dict[Path, Any]

    def of(self, run: str) -> Path:
        """Returns the home of the machine that trains the run."""
        return next(home for home in self.homes if any(home.glob(f"*/runs/{run}")))

    def kill(self, home: Path) -> None:
        self.cluster.remove_node(self.homes.pop(home), allow_graceful=False)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    homes = [tmp_path_factory.mktemp(f"machine-{number}") for number in range(2)]
    cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "gcs_server_port": port})
    machines = Machines(cluster, port, homes[0].parent / HOLD, {})
    try:
        for home in homes:
            env = {"LAB_NODE_HOME": str(home)}
            node = cluster.add_node(num_cpus=2, object_store_memory=MEMORY, env_vars=env)
            machines.homes[home] = node
        yield machines
    finally:
        machines.cluster.shutdown()


@pytest.fixture(scope="module")
def executor(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    """Starts its driver in the module's LAB_HOME; each run uses that of its own test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("server")))
        patch.setenv("LAB_CPUS_PER_RUN", "1")
        patch.setenv("LAB_PACKS_URL", (machines.hold.parent / BUCKET).as_uri())
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "10")  # a dead head: 30 by itself
        made = RayExecutor(machines.cluster.address, engine=held_engine)
        assert len(made.places("cpu")) == 4
    yield made
    made.close()


@pytest.fixture
def queue(
    runs: Store, executor: RayExecutor, machines: Machines, tiny: RunConfig
) -> Iterator[Queue]:
    """Started once the data set is there: it sweeps what nobody holds."""
    queue = Queue(runs, executor=executor, poll_seconds=0.5)
    queue.start()
    yield queue
    machines.hold.unlink(missing_ok=True)
    queue.shutdown()


@pytest.fixture
def tiny(runs: Store) -> RunConfig:
    return RunConfig(
        dataset=make_tiny_pack(),
        architecture="sign-cnn",
        batch_size=16,
        epochs=2,
        width_shift=0.05,
        learning_rate=3e-3,
        precision="fp32",
    )


@pytest.fixture
def large(runs: Store) -> str:
    """A data set that no machine has yet."""
    return make_tiny_pack("large", seed=7)


def wait_until(runs: Store, run: str, holds: Callable[[RunRow], bool]) -> RunRow:
    until = time.monotonic() + PATIENCE
    while not holds(row := runs.run(run)):
        assert time.monotonic() < until, f"{row.status}: {row.message} {row.progress_text}"
        time.sleep(0.02)
    return row


def wait_until_held(runs: Store, *held: str) -> None:
    """Until the steps before the hold are in the store while the machine trains, with a state."""
    for run in held:
        row = wait_until(runs, run, lambda row: row.step >= HELD_AT or not row.is_live)
        assert (row.status, row.step) == ("running", HELD_AT), row.message
        assert read_resume(runs.folder(run)) is not None


def texts(runs: Store, run: str) -> str:
    return "\n".join(line.text for line in runs.log(run))


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


def test_a_cluster_that_grows_gets_its_new_places_used(
    machines: Machines,
    executor: RayExecutor,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "PLACES_SECONDS", 0.2)
    machines.hold.touch()
    sleeper = tiny.changed(architecture=SLEEPER)
    before = queue.places_for(sleeper)
    ids = [queue.submit(sleeper) for _ in range(before + 1)]
    for run in ids[:-1]:
        wait_until(runs, run, lambda row: row.status == "running")
    assert runs.run(ids[-1]).status == "queued"
    env = {"LAB_NODE_HOME": str(tmp_path_factory.mktemp("machine-new"))}
    new = machines.cluster.add_node(num_cpus=1, object_store_memory=MEMORY, env_vars=env)
    wait_until(runs, ids[-1], lambda row: row.status == "running")
    assert sorted(filter(None, queue.places().values())) == sorted(ids)
    machines.hold.unlink()
    for run in ids:
        assert queue.wait(run, PATIENCE).status == "completed"
    machines.cluster.remove_node(new)
    until = time.monotonic() + PATIENCE
    while len(executor.places("cpu")) > before and time.monotonic() < until:
        time.sleep(0.05)
    assert queue.places_for(sleeper) == before


def test_a_data_set_that_is_too_large_to_be_sent_goes_by_an_address(
    machines: Machines,
    large: str,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "MOST_PACK_BYTES", 0)
    run = queue.submit(tiny.changed(dataset=large, architecture=SLEEPER))
    assert queue.wait(run, PATIENCE).status == "completed", runs.run(run).message
    pack = open_pack(large)
    there = machines.hold.parent / BUCKET / pack.meta.content_hash
    assert (there / "pack.json").is_file()
    fetched = [c for home in machines.homes for c in home.glob(f"*/packs/{large}/images.npy")]
    assert len(fetched) == 1
    assert pack.folder is not None
    assert fetched[0].read_bytes() == (pack.folder / "images.npy").read_bytes()
    assert not fetched[0].samefile(pack.folder / "images.npy")  # no link, as on a shared disk


def test_runs_stream_stop_resume_obey_and_survive_their_machine(
    machines: Machines,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
) -> None:
    """One of three runs is stopped and resumed, one loses its machine, one is left alone."""
    machines.hold.touch()
    ids = [queue.submit(tiny) for _ in range(3)]
    wait_until_held(runs, *ids)
    homes = [machines.of(run) for run in ids]
    killed = next(run for run, home in zip(ids, homes, strict=True) if homes.count(home) == 1)
    whole, stopped = (run for run in ids if run != killed)
    queue.stop(stopped)
    wait_until(runs, stopped, lambda row: row.status == "stopped")
    machines.kill(machines.of(killed))
    machines.hold.unlink()
    queue.resume(stopped)
    for run in ids:  # for a moment a run that goes on by itself is interrupted
        wait_until(runs, run, lambda row: row.status == "completed")
    assert texts(runs, killed).count("the machine that trained it died or was taken away") == 1
    digests = set()
    for run in ids:
        folder = runs.folder(run)
        assert list(runs.steps(run).step) == list(range(1, runs.run(run).total_steps + 1))
        assert list(runs.steps(run)["loss"]) == list(runs.steps(whole)["loss"])
        assert (run != whole) == ("Resumed after step" in texts(runs, run))
        digests.add((weights_digest(folder, "last"), weights_digest(folder, "best")))
        assert not (folder / "resume.safetensors").exists()
        assert (folder / "end.safetensors").exists()
        assert list(folder.glob("probes/epoch-*.npz"))
        assert list(folder.glob("probes/image-*.png"))
        assert (folder / "layers" / "samples.bin").stat().st_size > 0
        assert not list(folder.glob(".*"))  # nothing half-written
    assert len(digests) == 1

    # Another one starts from its weights, gets another rate, and is finished early.
    machines.hold.touch()
    next_one = queue.submit(tiny.changed(start_from=whole, start_with="weights"))
    wait_until_held(runs, next_one)
    assert f"weights of run {whole}" in texts(runs, next_one)
    runs.request_rate(next_one, 1e-4)
    wait_until(runs, next_one, lambda row: row.requested is None)
    machines.hold.unlink()
    queue.finish(next_one)
    assert queue.wait(next_one, PATIENCE).status == "completed"
    assert runs.run(next_one).step < runs.run(whole).total_steps


def test_kept_features_stay_on_the_machine(
    machines: Machines,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
    lab_home: Path,
) -> None:
    whole = queue.submit(tiny)
    assert queue.wait(whole, PATIENCE).status == "completed", runs.run(whole).message
    config = tiny.changed(start_from=whole, start_with="weights", width_shift=0.0)
    run = queue.submit(config.changed(freeze="head_only"))
    assert queue.wait(run, PATIENCE).status == "completed", runs.run(run).message
    assert "numbers an image are kept" in texts(runs, run)
    kept = [f for home in machines.homes for f in home.glob("*/features/*/features.npy")]
    assert len(kept) == 1
    assert not list(lab_home.rglob("features.npy"))


def test_two_workers_train_one_run_and_one_of_them_dies(
    machines: Machines,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
) -> None:
    config = tiny.changed(dropout=0.0)
    one = queue.submit(config)
    assert queue.wait(one, PATIENCE).status == "completed", runs.run(one).message
    machines.hold.touch()
    assert queue.places_for(config.changed(workers=2)) == queue.places_for(config) // 2
    two = queue.submit(config.changed(workers=2))
    wait_until_held(runs, two)
    os.kill(process_named(f"{two} worker 2"), signal.SIGKILL)
    machines.hold.unlink()
    wait_until(runs, two, lambda row: row.status == "completed")
    assert texts(runs, two).count("its process was ended from outside, or crashed") == 1
    assert "Workers: 2" in texts(runs, two)
    assert list(runs.steps(two).step) == list(range(1, runs.run(two).total_steps + 1))
    losses = [list(runs.steps(run)["loss"]) for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    with pytest.raises(ConfigError, match=r"workers is 5, and the cluster has \d places for cpu"):
        queue.executor.resolve(tiny.changed(workers=5))


def process_named(text: str) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes():
                return int(folder.name)
    raise AssertionError(f"no process is named {text}")


def test_a_dead_head_is_told_and_runs_are_found_again(
    machines: Machines,
    executor: RayExecutor,
    queue: Queue,
    runs: Store,
    tiny: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.cluster_utils import Cluster

    machines.hold.touch()
    run = queue.submit(tiny)
    wait_until_held(runs, run)
    machines.cluster.remove_node(machines.cluster.head_node, allow_graceful=False)
    waiting = wait_until(runs, run, lambda row: "Ray cluster at" in row.progress_text)
    assert waiting.status == "queued"
    with pytest.raises(PlaceLostError, match=r"The Ray cluster at \S+ (cannot be reached|is lost)"):
        executor.places("cpu")
    machines.cluster.shutdown()
    machines.hold.unlink()
    monkeypatch.setenv("LAB_NODE_HOME", str(machines.hold.parent / "machine-3"))
    head = {**HEAD, "gcs_server_port": machines.port, "num_cpus": 1}
    machines.cluster = Cluster(initialize_head=True, head_node_args=head)
    wait_until(runs, run, lambda row: row.status == "completed")
    assert texts(runs, run).count("the connection to the Ray cluster is lost") == 1
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
