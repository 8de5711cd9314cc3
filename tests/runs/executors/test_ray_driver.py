"""What the driver says of a run that the cluster loses; no cluster is started for that."""

import threading
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

import ray
from ray import exceptions
from ray.exceptions import RayTaskError

from lab.runs.executors import ray_driver
from lab.runs.executors.ray_job import Job, Lost, PackFiles
from tests.runs.executors.engines import held_engine
from tests.runs.fakes import CONFIG

FULL = "the memory in which Ray passes data sets and files on is full"
DISK = "a machine's disk is so full"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.OutOfMemoryError("killed"), "its machine ran out of memory and ended it"),
        (exceptions.ObjectStoreFullError("full"), FULL),
        (exceptions.OutOfDiskError("full"), DISK),
        (
            # As a trainer's own, which found no room for what it sends.
            RayTaskError(
                "trainer", "traceback", exceptions.ObjectStoreFullError("full")
            ).as_instanceof_cause(),
            FULL,
        ),
        (exceptions.NodeDiedError("x"), "the machine that trained it died or was taken away"),
        (exceptions.WorkerCrashedError(), "its process was ended from outside, or crashed"),
        (exceptions.ObjectLostError("id", None, ""), "the cluster lost it (ObjectLostError: "),
    ],
)
def test_a_loss_is_one_sentence(error: Any, sentence: str) -> None:
    assert ray_driver._sentence(error).startswith(sentence)


def test_a_data_set_for_which_the_cluster_has_no_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(value: Any) -> Any:
        raise exceptions.ObjectStoreFullError("full")

    monkeypatch.setattr(ray, "put", put)
    monkeypatch.setattr(ray_driver, "_machines", lambda: (0, [2]))
    (tmp_path / "meta.json").write_text("{}")
    driver: Any = ray_driver.Driver.__new__(ray_driver.Driver)
    driver._cpus_per_run = 1
    driver._wishes = SimpleNamespace(put=SimpleNamespace(remote=lambda *_: None))
    driver._packs, driver._guard, driver._line = {}, threading.Lock(), threading.Lock()
    files = PackFiles("tiny", "0123", tmp_path, 2)
    job = Job("r-1", CONFIG, "cpu", held_engine, tmp_path, False, files, "1")
    ours, its = Pipe()
    with ours:
        thread = threading.Thread(target=driver.serve, args=(its,))
        thread.start()
        ours.send(job)
        (lost,) = ours.recv()
    thread.join()
    assert isinstance(lost, Lost)
    assert lost.sentence.startswith(FULL)
