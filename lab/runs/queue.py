"""The queue of runs: one at a time trains on each device, the others wait.

    submit, resume ──> queued runs (in the store) ──> dispatcher: which device?
                                                          │
                                             worker of that device, one thread each:
                                             take the device's lock, claim the first run, `execute`

Threads and processes:
- Queued runs are in the store, so any page of any server sees and moves the same ones. Servers
  may share a LAB_HOME: whoever has a device's lock takes the first run that waits for that device.
- Workers are daemon threads named "trainer-<run id>" while they train. They never call st.*, and
  pages never touch them: requests go through the store and, in the same process, through Control.
- A command line trains in its own main thread (`run_in_foreground`), by the same code and lock.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from lab.config import RunConfig
from lab.errors import ConfigError, LabError
from lab.home import require_quota
from lab.process import lower_priority
from lab.runs import locks
from lab.runs.assignments import assignment as find_assignment
from lab.runs.class_rules import check_budget
from lab.runs.foreground import run_in_foreground
from lab.runs.recorder import forward_request
from lab.runs.status import Request
from lab.runs.store import RunRow, Store, store
from lab.runs.worker import (
    Engine,
    Resolve,
    end_early,
    execute,
    failure_message,
    lab_device,
    lab_engine,
    recover,
    resume_with_room,
    sweep,
    write_waiting,
)
from lab.training.control import Control

__all__ = ["Queue", "queue", "recover", "run_in_foreground", "shutdown_queues"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""How often an idle queue looks for runs of other processes, and for processes that died."""

TURN_SECONDS = 3 * locks.POLL_SECONDS
"""Pause between two runs of one queue, in which a waiting process gets the device."""

Forecast = Callable[[Store, RunConfig, str], float | None]
"""(store, config, device) -> the seconds that such a run will take; None where nobody knows."""

_queues: dict[str, Queue] = {}
_queues_guard = threading.Lock()


def queue() -> Queue:
    """This process's queue for the LAB_HOME and LAB_DATABASE_URL of now, started."""
    opened = store()
    with _queues_guard:
        if opened.url not in _queues:
            _queues[opened.url] = Queue(opened)
        _queues[opened.url].start()
        return _queues[opened.url]


def shutdown_queues(timeout: float = 10.0) -> None:
    """Pause what trains and end all queues of this process; `queue` starts anew."""
    with _queues_guard:
        ended = list(_queues.values())
        _queues.clear()
    for each in ended:
        each.shutdown(timeout)


# A server that is closed in good order leaves paused runs, which resume exactly where they were.
atexit.register(shutdown_queues)


class Queue:
    """The queued runs of one store and the threads that train them. Methods may be called from any
    thread; they leave a request and return at once. They raise NotFoundError and ConfigError."""

    def __init__(
        self,
        runs: Store,
        *,
        engine: Engine = lab_engine,
        resolve: Resolve = lab_device,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.store = runs
        self._engine = engine
        self._resolve = resolve
        self._poll_seconds = poll_seconds
        self.forecast: Forecast | None = None
        """What estimates how long a run will take, once somebody has set it."""
        self._guard = threading.Lock()
        self._controls: dict[str, Control] = {}  # of the runs that train in this process
        self._workers: dict[str, _Worker] = {}  # by device
        self._dispatcher: threading.Thread | None = None
        self._wake = threading.Event()  # wakes the dispatcher
        self._closing = threading.Event()
        self._changed = threading.Condition()  # notified when a run of this process ends

    # --- requests -------------------------------------------------------------------------------
    def submit(
        self,
        config: RunConfig,
        name: str | None = None,
        origin: str = "",
        *,
        assignment: str = "",
    ) -> str:
        """Put a new run at the end of the queue; returns its id. `origin`: see `Store.runs`;
        `assignment`: the id of the one that it answers.

        Raises ConfigError for what the assignment or the class's budget does not allow,
        ResourceError when the lab's folder holds all that it may."""
        single = ":" not in origin.removeprefix("fix:")
        most_seconds = check_budget(self.store.database, config, single=single)
        if assignment:
            find_assignment(self.store.database, assignment).check(config)
        require_quota()
        run_id = self.store.create_run(
            config, name=name, origin=origin, assignment=assignment, most_seconds=most_seconds
        )
        self._wake.set()
        return run_id

    def resume(self, run_id: str) -> None:
        """Put a paused, stopped, interrupted or failed run at the front of the queue."""
        self.store.enqueue(run_id, front=True)
        self._wake.set()

    def stop(self, run_id: str) -> None:
        """End the run within one step; a run that waits is taken out of the queue."""
        self._request(run_id, "stop")

    def pause(self, run_id: str) -> None:
        """End the run within one step and leave the device to the next one."""
        self._request(run_id, "pause")

    def finish(self, run_id: str) -> None:
        """End the training of a running run and go on to the test set."""
        self._request(run_id, "finish")

    def move(self, run_id: str, places: int) -> None:
        """Move a queued run by `places`: negative is earlier, positive later."""
        self.store.move(run_id, places)

    def remove(self, run_id: str) -> None:
        """Take a queued run out of the queue; it stays as a stopped one."""
        self.store.remove(run_id)
        self._notify()

    def wait(self, run_id: str, timeout: float | None = None) -> RunRow:
        """Wait until nobody works on the run and it is not queued; returns its row.

        Raises TimeoutError after `timeout` seconds. For command lines and tests: a page polls.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                row = self.store.run(run_id)
                if not row.is_live:
                    return row
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"run {run_id} is still {row.status} after {timeout:g} s")
                self._changed.wait(0.2)  # another process may train it: nobody notifies us then

    def _request(self, run_id: str, request: Request) -> None:
        self.store.request(run_id, request)
        with self._guard:
            control = self._controls.get(run_id)
        if control is not None:
            forward_request(request, control)
        self._notify()

    # --- life -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Recover from crashes and start the dispatcher, unless it runs already."""
        with self._guard:
            if self._dispatcher is None and not self._closing.is_set():
                self._dispatcher = threading.Thread(
                    target=self._dispatch, name="run-dispatcher", daemon=True
                )
                self._dispatcher.start()

    def shutdown(self, timeout: float = 10.0) -> None:
        """Pause what trains here and end the threads, waiting for them up to `timeout` seconds.
        Waiting runs stay queued. The queue cannot be started again."""
        self._closing.set()
        self._wake.set()
        deadline = time.monotonic() + timeout
        with self._guard:
            threads = [t for t in (self._dispatcher, *self._workers.values()) if t is not None]
            for control in self._controls.values():
                if control.wanted == "run":
                    control.request_pause()
            for worker in self._workers.values():
                worker.wake.set()
        for thread in threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _dispatch(self) -> None:
        """The dispatcher thread: starts a worker for every device that a queued run needs."""
        try:
            sweep(self.store)
        except Exception:  # it is not worth a queue that stands still
            logger.exception("what dead processes left could not be swept")
        while not self._closing.is_set():
            try:
                self._poll()
            except Exception:  # a full disk, a locked store: try again soon
                logger.exception("the queue could not be polled")
            self._wake.wait(self._poll_seconds)
            self._wake.clear()

    def _poll(self) -> None:
        write_waiting(self.store)
        recover(self.store)
        resume_with_room(self.store)
        devices = set()
        for row in self.store.queued(here=True):
            try:
                devices.add(row.device or self._find_device(row))
            except LabError as error:  # the run failed just now, or was taken out meanwhile
                logger.info("run %s gets no device: %s", row.id, error)
                self._notify()
        for device in devices:
            with self._guard:
                worker = self._workers.get(device)
                if worker is None or not worker.is_alive():
                    if self._closing.is_set():
                        return
                    worker = self._workers[device] = _Worker(self, device)
                    worker.start()
            worker.wake.set()

    def _find_device(self, row: RunRow) -> str:
        """Resolve the run's device. One that is not there ends the run as failed and raises
        ConfigError."""
        try:
            device = self._resolve(row.config)
        except Exception as error:
            message = failure_message(error, row)
            end_early(self.store, row.id, "failed", message)
            raise ConfigError(message) from error
        expected = None
        if self.forecast is not None:
            with contextlib.suppress(Exception):  # of a network or data that the run will report
                expected = self.forecast(self.store, row.config, device)
        self.store.set_device(row.id, device, expected_seconds=expected)
        return device

    def _train(self, run_id: str) -> None:
        """Claim and train one run; the calling worker holds the device."""
        if not self.store.claim(run_id):
            return  # taken out of the queue, or claimed by somebody else, just now
        control = Control()
        with self._guard:
            self._controls[run_id] = control
            if self._closing.is_set():
                control.request_pause()
        try:
            execute(self.store, run_id, control=control, engine=self._engine)
        except BaseException:  # the store's error or a SystemExit; the run's own are recorded
            logger.exception("run %s was given up", run_id)
            with contextlib.suppress(Exception):
                self.store.interrupt(run_id, self.store.owner(), "Interrupted; it can be resumed.")
        finally:
            with self._guard:
                if self._controls.get(run_id) is control:
                    del self._controls[run_id]
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Worker(threading.Thread):
    """Trains the runs of one device, one after the other."""

    def __init__(self, owner: Queue, device: str) -> None:
        super().__init__(name=f"trainer-{device}-idle", daemon=True)
        self.wake = threading.Event()
        self._queue = owner
        self._device = device

    def run(self) -> None:
        lower_priority()
        while not self._queue._closing.is_set():
            try:
                worked = self._next_run()
            except Exception:  # the store's; what goes wrong in a run is recorded, not raised
                logger.exception("the worker of %s could not take its next run", self._device)
                worked = False
            self.wake.wait(TURN_SECONDS if worked else None)
            self.wake.clear()

    def _next_run(self) -> bool:
        """Train the first run that waits for this device; False when none does."""
        queued = self._queue.store.queued(self._device)
        if not queued:
            return False
        with locks.device_turn(
            self._device,
            cancelled_within=self._cancelled_within,
            on_wait=lambda: self._report_waiting(queued[0].id),
        ) as held:
            queued = self._queue.store.queued(self._device) if held else []
            if queued:
                self.name = f"trainer-{queued[0].id}"
                try:
                    self._queue._train(queued[0].id)
                finally:
                    self.name = f"trainer-{self._device}-idle"
        return bool(queued)

    def _cancelled_within(self, seconds: float) -> bool:
        return self._queue._closing.wait(seconds)

    def _report_waiting(self, run_id: str) -> None:
        self._queue.store.report_waiting(run_id, locks.waiting_text(self._device))
