"""The one process of a server that speaks to Ray: `python -m lab.runs.executors.ray_driver`.

A process of its own, because Ray ends a process that has lost its cluster: the server lives, and
starts another one when the cluster is back.

    server ── a connection a run ──> driver ── a streaming task a run ──> trainer on some machine
                                       └────── one actor of wishes <── asks and waits ──┘

The first line of its input is a JSON object, its answer a line with the address to connect to, or
with the error. It ends when its input ends. Threads: one a connection, one a run for its wishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from multiprocessing.connection import Connection, Listener
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lab.runs.executors import ray_trainer
from lab.runs.executors.folder_sync import FolderReader
from lab.runs.executors.ray_job import (
    NO_MORE,
    Batch,
    Finished,
    Job,
    Lost,
    PackFiles,
    Wish,
    files_of,
)

MOST_PACK_BYTES = 1_000_000_000
"""What is sent of a data set at most, and what of all data sets stays ready to be sent."""

WISH_SECONDS = 30.0
"""After which a trainer asks anew for wishes."""

SENT_AHEAD = 16
"""Batches that wait for the server before the trainer waits for it."""


@ray.remote(num_cpus=0)
class Wishes:
    """The last wish of each run that trains."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wish] = {}
        self._changed = asyncio.Condition()

    async def put(self, session: str, wish: Wish) -> None:
        async with self._changed:
            self._wishes[session] = wish
            self._changed.notify_all()
        if wish.number == NO_MORE:
            await asyncio.sleep(2 * WISH_SECONDS)  # by then the trainer has heard it
            del self._wishes[session]

    async def get(self, session: str, number: int) -> Wish:
        """Waits for a wish with another number; returns the old one when none comes."""
        nothing = Wish(number, "run")

        def is_new() -> bool:
            return self._wishes.get(session, nothing).number != number

        async with self._changed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_new), WISH_SECONDS)
            return self._wishes.get(session, nothing)


@ray.remote(num_returns="streaming", max_retries=0, scheduling_strategy="SPREAD")
def trainer(
    job: Job, session: str, files: list[Any], pack: list[Any], wishes: Any, threads: int
) -> Iterator[Batch]:
    """`ray_trainer.train` as a task; `files` and `pack` are references to what it needs."""

    def ask(number: int) -> Wish:
        while True:
            wish: Wish = ray.get(wishes.get.remote(session, number))
            if wish.number != number:
                return wish

    yield from ray_trainer.train(
        job,
        files=(pair for reference in files for pair in ray.get(reference)),
        pack=lambda: (change for reference in pack for change in ray.get(reference)),
        wishes=ask,
        threads=threads,
    )


class Driver:
    """What the server asks of its cluster."""

    def __init__(self, cpus_per_run: int) -> None:
        self._cpus_per_run = cpus_per_run
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        wishes: Any = Wishes
        self._wishes = wishes.options(scheduling_strategy=here).remote()
        self._packs: OrderedDict[str, tuple[int, list[Any]]] = OrderedDict()
        self._guard = threading.Lock()

    def serve(self, connection: Connection) -> None:
        """Answer one connection: the places that there are, or the batches of a run."""
        with contextlib.suppress(OSError, EOFError), connection:
            asked = connection.recv()
            if asked == "places":
                connection.send(self.places())
            else:
                self._train(asked, connection)

    def places(self) -> dict[str, int]:
        """Returns how many runs train at a time, by kind of device."""
        cards, cores = _machines()
        per_run = self._cpus(cores)
        return {"cuda": cards, "cpu": sum(each // per_run for each in cores)}

    def _cpus(self, cores: list[int]) -> int:
        """Returns the cores of a run; no more than the smallest machine has."""
        return max(1, min([self._cpus_per_run, *cores]))

    def _train(self, job: Job, connection: Connection) -> None:
        session = os.urandom(8).hex()
        cpus = self._cpus(_machines()[1]) if job.device == "cpu" else 1
        stream: Any = trainer.options(
            name=job.run_id,
            num_cpus=cpus,
            num_gpus=int(job.device == "cuda"),
            _generator_backpressure_num_objects=SENT_AHEAD,
        ).remote(job, session, self._files(job), self._pack(job.pack), self._wishes, cpus)
        # To cancel a task that comes to its end can crash this process (Ray 2.60).
        ends = threading.Event()
        threading.Thread(
            target=self._listen, args=(session, connection, stream, ends), daemon=True
        ).start()
        try:
            for reference in stream:
                batch: Batch = ray.get(reference)
                if isinstance(batch[-1], Finished):
                    ends.set()
                connection.send(batch)
        except exceptions.RayError as error:
            ends.set()
            connection.send([Lost(_sentence(error))])
        finally:
            self._wishes.put.remote(session, Wish(NO_MORE, "run"))

    def _listen(
        self, session: str, connection: Connection, stream: Any, ends: threading.Event
    ) -> None:
        """Pass wishes on; when the server gives the run up, end its trainer."""
        try:
            while True:
                self._wishes.put.remote(session, connection.recv())
        except (OSError, EOFError):
            if not ends.is_set():
                ray.cancel(stream, force=True)

    def _files(self, job: Job) -> list[Any]:
        return [
            ray.put([(run_id, change)])
            for run_id, (folder, names) in files_of(job).items()
            for change in FolderReader(folder, keep=set(names).__contains__).changes()
        ]

    def _pack(self, pack: PackFiles | None) -> list[Any]:
        """The data set in the cluster's memory, put there once; nothing of one that is too large
        to be sent."""
        if pack is None or pack.size_bytes > MOST_PACK_BYTES:
            return []
        with self._guard:
            if pack.content_hash not in self._packs:
                changes = FolderReader(pack.folder, keep=lambda name: "/" not in name).changes()
                references = [ray.put([change]) for change in changes]
                self._packs[pack.content_hash] = pack.size_bytes, references
                while sum(size for size, _ in self._packs.values()) > MOST_PACK_BYTES:
                    self._packs.popitem(last=False)
            self._packs.move_to_end(pack.content_hash)
            return self._packs[pack.content_hash][1]


def _machines() -> tuple[int, list[int]]:
    """Returns how many cards there are, and the cores of each machine without any."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    cards = sum(int(machine.get("GPU", 0)) for machine in machines)
    return cards, [int(m["CPU"]) for m in machines if not m.get("GPU") and m.get("CPU")]


def _sentence(error: exceptions.RayError) -> str:
    """Why a trainer is lost, for a person."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its machine ran out of memory and ended it"
    if isinstance(error, exceptions.NodeDiedError):
        return "the machine that trained it died or was taken away"
    if isinstance(error, exceptions.WorkerCrashedError):
        return "its process was ended from outside, or crashed"
    text = str(error).strip().partition("\n")[0]
    return f"the cluster lost it ({type(error).__name__}: {text[:200]})"


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Ray prints is no answer
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "30")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=settings["address"] or "local",
            namespace="epochlab",
            include_dashboard=None if settings["address"] else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **settings["options"],
        )
        driver = Driver(settings["cpus_per_run"])
    except Exception as error:
        print(json.dumps({"error": str(error).strip().partition("\n")[0][:300]}), file=answer)
        raise SystemExit(1) from error
    with Listener(authkey=bytes.fromhex(settings["key"]), backlog=64) as listener:
        print(json.dumps({"address": listener.address}), file=answer, flush=True)
        threading.Thread(target=_accept, args=(listener, driver), daemon=True).start()
        sys.stdin.read()  # until the server ends
    ray.shutdown()


def _accept(listener: Listener, driver: Driver) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError):
            connection = listener.accept()
            threading.Thread(target=driver.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    from lab.runs.executors import ray_driver

    ray_driver.main()  # under its own name, which the machines of the cluster know, too
