"""What the server says of a cluster that falls silent; its driver is a thread here, without Ray."""

import contextlib
import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Listener
from types import SimpleNamespace
from typing import Any

import pytest

from lab.api import run_feed
from lab.errors import PlaceLostError
from lab.runs.executors import choice, ray_cluster
from lab.runs.executors.ray_cluster import RayExecutor
from lab.runs.executors.ray_job import Started
from lab.runs.queue import Queue
from lab.runs.store import RunRow, Store
from lab.training import devices
from tests.runs.fakes import CONFIG, started, step

PATIENCE = 60


class Quiet(RayExecutor):
    """On a cluster of one place, which is taken unless it `trains`: then it takes one step. The
    driver answers while `answers`."""

    def __init__(self, address: str) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.trains = False
        self._ends = contextlib.ExitStack()
        super().__init__(address, sends_data=False)

    def _start_driver(self) -> None:
        listener = self._ends.enter_context(Listener(authkey=self._key))
        self._driver_address = str(listener.address)
        process: Any = SimpleNamespace(poll=lambda: None, kill=lambda: None)
        self._process = process
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: Listener) -> None:
        with contextlib.suppress(OSError):
            while True:
                asked = listener.accept()
                threading.Thread(target=self._answer, args=(asked,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            while True:
                if connection.recv() == "places":
                    self.answers.wait(PATIENCE)
                    connection.send({"cuda": 0, "cpu": 1})
                elif self.trains:
                    connection.send([Started("a-machine"), started(), step(1)])

    def _end_driver(self) -> None:
        self._ends.close()


class Head:
    """Listens at a port, as a cluster's head does, until it dies."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                listening.accept()[0].close()

    def die(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()

    def come_back(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._listen()


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setattr(ray_cluster, "HEAD_SECONDS", 0.02)
    monkeypatch.setattr(ray_cluster, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(ray_cluster, "PLACES_SECONDS", 0.1)
    made = Head()
    yield made
    made.die()


@pytest.fixture
def executor(head: Head) -> Iterator[Quiet]:
    made = Quiet(f"127.0.0.1:{head.port}")
    yield made
    made.close()


def test_a_server_asks_its_machines_for_all_but_the_devices(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "RayExecutor", Quiet)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("LAB_EXECUTOR", f"ray://127.0.0.1:{head.port}")
    assert not devices.trains_elsewhere()
    choice.executor()
    assert devices.trains_elsewhere()
    choice.close_executors()
    assert not devices.trains_elsewhere()


def waiting(
    runs: Store, executor: RayExecutor, start_queue: Callable[..., Queue]
) -> Callable[[str], RunRow]:
    """A run that waits for its place; returns what waits until its row says some text."""
    run = start_queue(executor=executor).submit(CONFIG)

    def until(text: str) -> RunRow:
        end = time.monotonic() + PATIENCE
        while text not in (row := runs.run(run)).progress_text:
            assert time.monotonic() < end, f"{row.status}: {row.progress_text} {row.message}"
            time.sleep(0.01)
        return row

    return until


def test_a_run_that_waits_for_a_place_says_that_the_head_is_gone(
    runs: Store, head: Head, executor: Quiet, start_queue: Callable[..., Queue]
) -> None:
    until = waiting(runs, executor, start_queue)
    assert until("Waiting for a place in the cluster").status == "preparing"
    executor.answers.clear()  # a driver without its head waits, too
    head.die()
    row = until("Waits for the cluster. The Ray cluster at 127.0.0.1")
    assert "cannot be reached" in row.progress_text
    with pytest.raises(PlaceLostError, match="cannot be reached"):
        executor.places("cpu")
    head.come_back()
    executor.answers.set()
    until("Waiting for a place in the cluster")
    assert len(executor.places("cpu")) == 1


def test_a_run_that_trains_on_without_the_head_says_so(
    runs: Store,
    head: Head,
    executor: Quiet,
    start_queue: Callable[..., Queue],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_feed, "executor", lambda: executor)
    executor.trains = True
    run = start_queue(executor=executor).submit(CONFIG)
    feed = run_feed.RunFeed(runs, run)

    def until(holds: Callable[[str], bool]) -> str:
        end = time.monotonic() + PATIENCE
        while not holds(text := str(feed.snapshot("")["progress"]["text"])):
            assert time.monotonic() < end, text
            time.sleep(0.01)
        return text

    until(lambda text: text == "Step 1 of 10")
    head.die()
    text = until(lambda text: "Ray" in text)
    assert text.startswith("Step 1 of 10 · The Ray cluster at 127.0.0.1:")
    assert text.endswith(" cannot be reached (Connection refused); the lab tries again.")
    assert runs.run(run).status == "running"
    assert run_feed.words_until([], runs.run(run)) == ""
    head.come_back()
    until(lambda text: text == "Step 1 of 10")


def test_a_head_that_listens_and_does_not_answer_is_told(
    runs: Store, executor: Quiet, start_queue: Callable[..., Queue]
) -> None:
    until = waiting(runs, executor, start_queue)
    until("Waiting for a place in the cluster")
    executor.answers.clear()
    until("does not answer; the lab asks again.")
    executor.answers.set()
    until("Waiting for a place in the cluster")
