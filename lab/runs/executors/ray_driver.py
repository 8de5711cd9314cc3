"""The one process of a server that speaks to Ray: `python -m lab.runs.executors.ray_driver`.

A process of its own, because Ray ends a process that has lost its cluster: the server lives, and
starts another one when the cluster is back.

    server ── a connection a run ──> driver ── a streaming task a run ──> trainer on some machine
                                       └────── one actor of wishes <── asks and waits ──┘

A run over several workers has a streaming task for the first one and a plain task for each other,
in places that are reserved for all of them together. Not Ray Train's TorchTrainer: it asks its
workers every 2 seconds how they are, takes reports only when all of them wait for that, puts files
on a storage that all machines share, and has no way to stop a run and keep its state.

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
from dataclasses import replace
from multiprocessing.connection import Connection, Listener
from typing import Any

import ray
from ray import exceptions
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from lab.errors import LabError, PlaceLostError
from lab.runs.executors import ray_trainer
from lab.runs.executors.folder_sync import FolderReader
from lab.runs.executors.ray_job import (
    MOST_PACK_BYTES,
    NO_MORE,
    Batch,
    Failed,
    Finished,
    Item,
    Job,
    Lost,
    PackFiles,
    Started,
    Wish,
    files_of,
)

WISH_SECONDS = 30.0
"""After which a trainer asks anew for wishes."""

END_SECONDS = 5.0
"""For which the workers of a run are waited for, one of which has ended."""

NOTICE_SECONDS = 30.0
"""In which the first worker mostly notices by itself that another one is lost."""

SENT_AHEAD = 16
"""Batches that wait for the server before the trainer waits for it."""


@ray.remote(num_cpus=0)
class Wishes:
    """The last wish of each run that trains."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wish] = {}
        self._heard: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def put(self, session: str, wish: Wish) -> None:
        async with self._changed:
            old = self._wishes.get(session)
            if old is not None and wish.rate is None and self._heard.get(session) != old.number:
                wish = replace(wish, rate=old.rate)  # or it would be lost
            self._wishes[session] = wish
            self._changed.notify_all()
        if wish.number == NO_MORE:
            await asyncio.sleep(2 * WISH_SECONDS)  # by then the trainer has heard it
            del self._wishes[session]
            self._heard.pop(session, None)

    async def get(self, session: str, number: int) -> Wish:
        """Waits for a wish with another number; returns the old one when none comes."""
        nothing = Wish(number, "run")

        def is_new() -> bool:
            return self._wishes.get(session, nothing).number != number

        async with self._changed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_new), WISH_SECONDS)
            wish = self._wishes.get(session, nothing)
            self._heard[session] = wish.number
            return wish


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
        host=_address_here(),
    )


@ray.remote(max_retries=0)
def follower(job: Job, pack: list[Any], rank: int, address: str, threads: int) -> None:
    """`ray_trainer.follow` as a task."""
    ray_trainer.follow(
        job,
        pack=lambda: (change for reference in pack for change in ray.get(reference)),
        rank=rank,
        address=address,
        threads=threads,
        host=_address_here(),
    )


class _Session:
    """What the threads of one run's session know in common."""

    def __init__(self, connection: Connection, wishes: Any) -> None:
        self.connection = connection
        self.name = os.urandom(8).hex()
        self.is_left = threading.Event()
        """Set once the server has given the run up."""
        self.ends = threading.Event()
        self._wishes = wishes
        self._stream: Any = None
        self._guard = threading.Lock()

    def begin(self, stream: Any) -> None:
        with self._guard:
            self._stream = stream
        if self.is_left.is_set():
            self._cancel()

    def listen(self) -> None:
        """Pass wishes on; when the server gives the run up, end its trainer."""
        try:
            while True:
                self.wish(self.connection.recv())
        except (OSError, EOFError):
            self.is_left.set()
            self._cancel()

    def wish(self, wish: Wish) -> None:
        self._wishes.put.remote(self.name, wish)

    def watch(self, others: list[Any]) -> None:
        """End the first worker's task once another one is lost, which it may wait for in vain."""
        while not self.ends.wait(1.0) and not self.is_left.is_set():
            done, _ = ray.wait(others, num_returns=len(others), timeout=0)
            if any(_failure(reference) for reference in done):
                self.ends.wait(NOTICE_SECONDS)
                return self._cancel()

    def _cancel(self) -> None:
        # To cancel a task that comes to its end can crash this process (Ray 2.60).
        with self._guard:
            if self._stream is not None and not self.ends.is_set():
                ray.cancel(self._stream, force=True)


class Driver:
    """What the server asks of its cluster."""

    def __init__(self, cpus_per_run: int) -> None:
        self._cpus_per_run = cpus_per_run
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        wishes: Any = Wishes
        self._wishes = wishes.options(scheduling_strategy=here).remote()
        self._packs: OrderedDict[str, tuple[int, list[Any]]] = OrderedDict()
        self._guard = threading.Lock()
        self._line = threading.Lock()  # held while a run waits for several places at once

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
        session = _Session(connection, self._wishes)
        threading.Thread(target=session.listen, daemon=True).start()
        cpus = self._cpus(_machines()[1]) if job.device == "cpu" else 1
        place = {"CPU": cpus, **({"GPU": 1} if job.device == "cuda" else {})}
        try:
            with self._reserved(job.config.workers, place, session) as group:
                if not session.is_left.is_set():
                    self._train_on(group, place, job, session)
        except exceptions.RayError as error:  # such as no room for what the trainer needs
            session.connection.send([Lost(_sentence(error))])
        finally:
            session.wish(Wish(NO_MORE, "run"))

    @contextlib.contextmanager
    def _reserved(
        self, workers: int, place: dict[str, int], session: _Session
    ) -> Iterator[PlacementGroup | None]:
        """Places for all workers of a run, of which later runs take none while it waits; None is
        for one worker, whose task waits by itself."""
        group: PlacementGroup | None = None
        try:
            with self._line:
                if workers > 1:
                    group = placement_group([place] * workers, strategy="PACK")
                    while not group.wait(0.2) and not session.is_left.is_set():
                        pass
            yield group
        finally:
            if group is not None:
                remove_placement_group(group)

    def _train_on(
        self, group: PlacementGroup | None, place: dict[str, int], job: Job, session: _Session
    ) -> None:
        pack, cpus = self._pack(job.pack), place["CPU"]

        def options(rank: int) -> dict[str, Any]:
            needs: dict[str, Any] = {"num_cpus": cpus, "num_gpus": place.get("GPU", 0)}
            if group is not None:
                needs["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, rank)
            return {"name": f"{job.run_id} worker {rank + 1}" if rank else job.run_id, **needs}

        stream: Any = trainer.options(
            **options(0), _generator_backpressure_num_objects=SENT_AHEAD
        ).remote(job, session.name, self._files(job), pack, self._wishes, cpus)
        session.begin(stream)
        others: list[Any] = []
        try:
            for reference in stream:
                batch: Batch = ray.get(reference)
                if isinstance(batch[0], Started) and batch[0].address:
                    for rank in range(1, job.config.workers):
                        task: Any = follower.options(**options(rank))
                        others.append(task.remote(job, pack, rank, batch[0].address, cpus))
                    threading.Thread(target=session.watch, args=(others,), daemon=True).start()
                if isinstance(batch[-1], Finished):
                    session.ends.set()
                session.connection.send(_with_cause(batch, others))
        except exceptions.RayError as error:
            session.ends.set()
            session.connection.send([_cause(others) or Lost(_sentence(error))])
        finally:
            if others:
                ray.wait(others, num_returns=len(others), timeout=END_SECONDS)

    def _files(self, job: Job) -> list[Any]:
        return [
            ray.put([(run_id, change)])
            for run_id, (folder, names) in files_of(job).items()
            for change in FolderReader(folder, keep=set(names).__contains__).changes()
        ]

    def _pack(self, pack: PackFiles | None) -> list[Any]:
        """The data set in the cluster's memory, put there once; nothing of one that is too large
        to be sent."""
        if pack is None or pack.url or pack.size_bytes > MOST_PACK_BYTES:
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


def _failure(reference: Any) -> Failed | Lost | None:
    """Why a worker's task ended, which is done; None for one that came to its end."""
    try:
        ray.get(reference)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, LabError):
            return Failed(error.cause)
        first = str(error.cause).partition("\n")[0]
        kind = MemoryError if isinstance(error.cause, MemoryError) else RuntimeError
        return Failed(kind(f"{type(error.cause).__name__}: {first}"), str(error))
    except exceptions.RayError as error:
        return Lost(_sentence(error))
    return None


def _cause(others: list[Any]) -> Failed | Lost | None:
    """Why the first worker lost another one: what befell that, not how others noticed."""
    if not others:
        return None
    done, _ = ray.wait(others, num_returns=len(others), timeout=END_SECONDS)
    failures = [failure for each in done if (failure := _failure(each)) is not None]
    return next((failure for failure in failures if not _is_loss(failure)), None)


def _is_loss(item: Item) -> bool:
    """Whether a worker only noticed that another one is lost."""
    return isinstance(item, Failed) and isinstance(item.error, PlaceLostError)


def _with_cause(batch: Batch, others: list[Any]) -> Batch:
    """The batch, with what befell another worker in place of the first one's loss of it."""

    def explained(item: Item) -> Item:
        return (_cause(others) or item) if _is_loss(item) else item

    return [explained(item) for item in batch] if others else batch


def _address_here() -> str:
    address: Any = ray.util.get_node_ip_address
    return str(address())


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
    if isinstance(error, exceptions.ObjectStoreFullError):
        return (
            "the memory in which Ray passes data sets and files on is full on a machine; give it "
            "more (ray start --object-store-memory)"
        )
    if isinstance(error, exceptions.OutOfDiskError):
        return "a machine's disk is so full that Ray stores nothing more on it; free some space"
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
