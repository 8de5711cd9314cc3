"""Runs train on a Ray cluster, or in processes of this machine that Ray starts (docs/SCALE.md).

The server speaks to the cluster through a process of its own (`ray_driver`). It imports no Ray, and
needs no disk in common with the machines: data sets go out, events and the files of the run's
folder come back. To the queue it is one more engine, and places that are read anew as the cluster
grows.

Threads: a thread that trains keeps a connection of its own; one more asks for the places.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from lab import __version__
from lab.config import RunConfig
from lab.errors import ConfigError, PlaceLostError
from lab.home import home_folder
from lab.installation import child_environment
from lab.progress import Cancelled, Progress, Report
from lab.runs.executors import Place
from lab.runs.executors.folder_sync import Change, FolderWriter
from lab.runs.executors.pack_store import packs_url, put_pack
from lab.runs.executors.ray_job import (
    MOST_PACK_BYTES,
    Batch,
    Failed,
    Finished,
    Job,
    Lost,
    PackFiles,
    Started,
    Wish,
)
from lab.runs.worker import Engine, lab_engine
from lab.training.control import Control
from lab.training.devices import resolve_device
from lab.training.events import Event, SaveReached, StepDone

logger = logging.getLogger(__name__)

CPUS_VARIABLE = "LAB_CPUS_PER_RUN"
DEFAULT_CPUS = 4
"""Cores of a run that trains without a graphics card; fewer where a machine has fewer."""

FIRST_SECONDS = 20.0
"""For which a page waits for the first answer of a cluster."""

PLACES_SECONDS = 5.0
"""Between two looks at the cluster's places."""

HEAD_SECONDS, SILENT_SECONDS = 1.0, 3.0
"""Between two looks whether the head listens, as the driver notices a dead one after 30 s only; and
for which it may leave a question unanswered."""

WISH_SECONDS = 0.05
"""Between two looks for a wish while nothing comes from the trainer."""

STOP = ("stop", "pause")

WAITING = "Waiting for a place in the cluster"


class RayExecutor:
    """The places of a cluster; `address` is that of its head, "" starts Ray on this machine."""

    def __init__(
        self,
        address: str,
        *,
        engine: Engine = lab_engine,
        sends_data: bool = True,
        **options: Any,
    ) -> None:
        self._address = address
        self._where = f"The Ray cluster at {address}" if address else "Ray"
        self._engine = engine
        self._sends_data = sends_data  # an engine that only counts needs none
        self._options = options  # of ray.init
        self._cpus = _cpus_per_run()
        self._packs_url = packs_url()
        self._guard = threading.Lock()  # the driver process
        self._process: subprocess.Popen[str] | None = None
        self._key = os.urandom(32)
        self._driver_address = ""
        self._places: Mapping[str, int] | None = None
        self._error = ""
        self._known = threading.Event()  # once the cluster has answered, or cannot be reached
        self._closing = threading.Event()
        threading.Thread(target=self._watch, name="cluster-places", daemon=True).start()

    # --- for the queue ----------------------------------------------------------------------------
    def places(self, device: str) -> tuple[Place, ...]:
        """Raises PlaceLostError while the cluster cannot be reached."""
        count = self._counts().get(device, 0)
        return tuple(Place(f"cluster {device} {n}", device) for n in range(1, count + 1))

    def all_places(self) -> tuple[Place, ...]:
        return tuple(place for device in self._counts() for place in self.places(device))

    def resolve(self, config: RunConfig) -> str:
        return resolve_device(config, self.devices())

    def devices(self) -> Mapping[str, int]:
        """Returns how many places of each kind the cluster has, the fastest first."""
        return {**self._counts(), "mps": 0}

    def engine(self, place: Place) -> Engine:
        return functools.partial(self._train, place)

    def turn(
        self,
        place: Place,
        *,
        cancelled_within: Callable[[float], bool],
        on_wait: Callable[[], None],
    ) -> AbstractContextManager[bool]:
        return contextlib.nullcontext(True)  # the cluster itself hands its places out

    def close(self) -> None:
        self._closing.set()
        if self._process is not None and not self._driver_address:
            self._process.kill()  # it still looks for the cluster
        with self._guard:
            self._end_driver()

    def trouble(self) -> str:
        return f"{self._where} {error}." if (error := self._error) else ""

    # --- the cluster ------------------------------------------------------------------------------
    def _counts(self) -> Mapping[str, int]:
        self._known.wait(FIRST_SECONDS)
        if self._places is None or not any(self._places.values()):
            silent = "does not answer yet" if self._places is None else "has no place to train yet"
            raise PlaceLostError(f"{self._where} {self._error or silent}.")
        return self._places

    def _watch(self) -> None:
        """Keeps the places up to date, and the cluster found again once it is lost."""
        asked_at = 0.0
        while not self._closing.is_set():
            try:
                self._require_head()
                if self._places is None or time.monotonic() - asked_at > PLACES_SECONDS:
                    self._places, self._error = self._ask_places(), ""
                    asked_at = time.monotonic()
            except PlaceLostError as error:
                self._places, self._error = None, str(error)
            except (OSError, EOFError):
                self._places, self._error = None, "is lost; the lab looks for it again"
            except Exception as error:  # a folder that cannot be written
                logger.exception("the cluster cannot be asked")
                self._places, self._error = None, f"cannot be asked: {error}"
            self._known.set()
            self._closing.wait(HEAD_SECONDS)

    def _ask_places(self) -> Mapping[str, int]:
        """Raises PlaceLostError where no head listens, OSError, EOFError."""
        with self._connect() as connection:
            connection.send("places")
            silent_at = time.monotonic() + SILENT_SECONDS
            while not connection.poll(HEAD_SECONDS):
                self._require_head()
                if time.monotonic() > silent_at:
                    self._places, self._error = None, "does not answer; the lab asks again"
            places: Mapping[str, int] = connection.recv()
            return places

    def _require_head(self) -> None:
        """Raises PlaceLostError where no head listens."""
        if self._address:
            _require_head(self._address)

    def _connect(self) -> Connection:
        """Returns a new connection to the driver, which is started when it does not live. Raises
        PlaceLostError with the rest of a sentence, OSError, EOFError."""
        with self._guard:
            if self._closing.is_set():
                raise PlaceLostError("is left")
            if self._process is None or self._process.poll() is not None:
                self._start_driver()
            return Client(self._driver_address, authkey=self._key)

    def _start_driver(self) -> None:
        self._end_driver()  # what is left of the one before
        self._require_head()
        with (home_folder() / "ray-driver.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lab.runs.executors.ray_driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=child_environment(),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        settings = {
            "address": self._address,
            "key": self._key.hex(),
            "cpus_per_run": self._cpus,
            "options": self._options,
        }
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(settings), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline() or "{}")
        if "address" not in answer:
            self._end_driver()
            reason = answer.get("error") or f"see {home_folder() / 'ray-driver.log'}"
            raise PlaceLostError(f"cannot be reached ({reason}); the lab tries again")
        self._driver_address = answer["address"]

    def _end_driver(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process, self._driver_address = None, ""

    # --- one run ----------------------------------------------------------------------------------
    def _train(
        self, place: Place, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Iterator[Event]:
        """The engine: what happens on the cluster, told here. Raises PlaceLostError when the
        trainer is lost."""
        job = self._job(place, config, folder, control, report)
        report(Progress(0, 0, WAITING))
        try:
            connection = self._connect()
        except (PlaceLostError, OSError, EOFError) as error:
            # Known at once, or the run and all behind it would try, and lose, again and again.
            self._places, self._error = None, "is lost; the lab looks for it again"
            raise PlaceLostError("The Ray cluster is lost.") from error
        writer = FolderWriter(folder)
        with connection, contextlib.closing(writer):
            connection.send(job)
            for batch in _batches(connection, control, waiting=self._waiting(report)):
                steps = [item.step for item in batch if isinstance(item, StepDone)]
                for item in batch:
                    if isinstance(item, Change):
                        writer.apply(item)
                    elif isinstance(item, Progress):
                        report(item)
                    elif isinstance(item, Started):
                        report(Progress(0, 0, f"Preparing on {item.machine}"))
                    elif isinstance(item, Failed):
                        raise _error(item)
                    elif isinstance(item, Lost):
                        raise PlaceLostError(f"Interrupted: {item.sentence}.")
                    elif isinstance(item, Finished):
                        return
                    else:
                        yield item
                if steps:  # recorded now: the recorder's own look comes up to 0.25 s later
                    yield SaveReached(steps[-1])

    def _waiting(self, report: Report) -> Callable[[], None]:
        """Returns what says, when called, whether the cluster is there for a run that waits."""
        told = ""

        def tell() -> None:
            nonlocal told
            if (trouble := self.trouble()) != told:
                told = trouble
                report(Progress(0, 0, f"Waits for the cluster. {trouble}" if trouble else WAITING))

        return tell

    def _job(
        self, place: Place, config: RunConfig, folder: Path, control: Control, report: Report
    ) -> Job:
        from lab.training.checkpoint import read_resume

        state = read_resume(folder)
        begun = state is not None and state.counters is not None
        return Job(
            run_id=folder.name,
            config=config,
            device=place.device,
            engine=self._engine,
            folder=folder,
            begun=begun,
            pack=self._pack(config, folder, begun, control, report) if self._sends_data else None,
            version=__version__,
        )

    def _pack(
        self, config: RunConfig, folder: Path, begun: bool, control: Control, report: Report
    ) -> PackFiles:
        """The data set that the run trains on, made here at first use; a large one is put where
        the machines reach it."""
        from lab.data.catalog import open_pack
        from lab.training.checkpoint import CheckpointMetadata

        def cancelled() -> bool:
            return control.wanted in STOP

        version = CheckpointMetadata.read(folder).dataset_hash if begun else config.dataset_version
        pack = open_pack(config.dataset, version=version, progress=report, cancel=cancelled)
        assert pack.folder is not None
        files = [file for file in pack.folder.iterdir() if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        url = self._packs_url if size > MOST_PACK_BYTES else ""
        made = PackFiles(config.dataset, pack.meta.content_hash, pack.folder, size, url)
        if url:
            put_pack(made, progress=report, cancel=cancelled)
        return made


def _require_head(address: str) -> None:
    """Raises PlaceLostError where no head listens, which Ray would find out after a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PlaceLostError(f"cannot be reached ({reason}); the lab tries again") from error


def _batches(
    connection: Connection, control: Control, waiting: Callable[[], None]
) -> Iterator[Batch]:
    """Yields what comes, and tells the trainer what is wished meanwhile; calls `waiting` again and
    again until the first batch."""
    told, number, is_started = "run", 0, False
    try:
        while True:
            wanted, rate = control.wanted, control.take_rate()
            if wanted in STOP and not is_started:
                raise Cancelled  # it waits for a place: nobody would hear
            if not is_started:
                waiting()
            if wanted != told or rate is not None:
                number, told = number + 1, wanted
                connection.send(Wish(number, wanted, rate))
            if connection.poll(WISH_SECONDS):
                batch: Batch = connection.recv()
                is_started = True  # the first one says so
                yield batch
    except (OSError, EOFError) as error:
        raise PlaceLostError(
            "Interrupted: the connection to the Ray cluster is lost; the lab looks for it again."
        ) from error


def _error(failed: Failed) -> Exception:
    error = failed.error
    if failed.details:
        error.add_note(failed.details)
    return error


def _cpus_per_run() -> int:
    text = os.environ.get(CPUS_VARIABLE, "").strip() or str(DEFAULT_CPUS)
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ConfigError(
            f"{CPUS_VARIABLE} is {text!r:.40}; it must be a number of cores, such as "
            f"{DEFAULT_CPUS}."
        )
    return int(text)
