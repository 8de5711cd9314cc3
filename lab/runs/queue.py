"""The queue of runs: one at a time trains on each place, the others wait.

    submit, resume ──> queued runs (in the store) ──> dispatcher: which device, which places?
                                                          │
                                             worker of each place, one thread each:
                                             take the place, claim the first run, `execute`

Places are what the executor has (`lab.runs.executors`): the CPU and each graphics card of this
machine, or those of a cluster.

Threads and processes:
- Queued runs are in the store, so any page of any server sees and moves the same ones. Servers
  may share a LAB_HOME: whoever has a place's lock takes the first run that waits for its device.
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
from collections.abc import Callable, Iterator

from lab.config import RunConfig
from lab.data.person_quota import require_person_quota
from lab.errors import ConfigError, LabError, PlaceLostError
from lab.home import require_quota
from lab.process import lower_priority
from lab.runs import locks
from lab.runs.assignments import assignment as find_assignment
from lab.runs.class_rules import check_budget, check_line
from lab.runs.executors import Executor, Place
from lab.runs.executors.choice import (
    close_executors,
    device_for,
    executor,
    keeps_device,
    places_of,
)
from lab.runs.executors.local import LocalExecutor
from lab.runs.foreground import run_in_foreground
from lab.runs.listeners.kinds import chosen
from lab.runs.recorder import forward_request
from lab.runs.status import Request
from lab.runs.store import RunRow, Store, store
from lab.runs.worker import (
    Engine,
    Resolve,
    end_early,
    execute,
    failure_message,
    in_hand,
    is_in_hand,
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

MOST_LOSSES = 3
"""How often a run that lost its place, because a machine died, goes on by itself."""

UNTRAINED_SECONDS = 10.0
"""Between claiming a run and training it lies less."""

Forecast = Callable[[Store, RunConfig, str], float | None]
"""(store, config, device) -> the seconds that such a run will take; None where nobody knows."""

_queues: dict[str, Queue] = {}
_queues_guard = threading.Lock()


def queue() -> Queue:
    """This process's queue for the LAB_HOME and LAB_DATABASE_URL of now, started. Raises
    ConfigError for a wrong LAB_EXECUTOR or LAB_LISTENERS."""
    chosen()
    opened = store()
    with _queues_guard:
        if opened.url not in _queues:
            _queues[opened.url] = Queue(opened, executor=executor())
        _queues[opened.url].start()
        return _queues[opened.url]


def shutdown_queues(timeout: float = 10.0) -> None:
    """Pause what trains and end all queues of this process; `queue` starts anew."""
    with _queues_guard:
        ended = list(_queues.values())
        _queues.clear()
    for each in ended:
        each.shutdown(timeout)
    close_executors()


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
        executor: Executor | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.store = runs
        self.executor: Executor = executor or LocalExecutor(engine, resolve)
        self._poll_seconds = poll_seconds
        self.forecast: Forecast | None = None
        """What estimates how long a run will take, once somebody has set it."""
        self._guard = threading.Lock()
        self._controls: dict[str, Control] = {}  # of the runs that train in this process
        self._workers: dict[Place, _Worker] = {}
        self._held: dict[str, tuple[str, int]] = {}  # by run: how many places of which device
        self._losses: dict[str, int] = {}  # by run: how often in a row it lost its place
        self._untrained: dict[str, float] = {}  # by run: since when it is ours and idle
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
        require_person_quota()
        run_id = self.store.create_run(
            config, name=name, origin=origin, assignment=assignment, most_seconds=most_seconds
        )
        self._wake.set()
        return run_id

    def resume(self, run_id: str) -> None:
        """Put a paused, stopped, interrupted or failed run at the front of the queue. Raises
        StateError when its person has as many waiting as the teacher allows."""
        check_line(self.store.database)
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
                with self._guard:
                    # Behind the recorded ending its trainer still tidies up the run's folder.
                    working = run_id in self._controls
                if not row.is_live and not working:
                    return row
                if deadline is not None and time.monotonic() >= deadline:
                    state = row.status if row.is_live else "tidied up"
                    raise TimeoutError(f"run {run_id} is still {state} after {timeout:g} s")
                self._changed.wait(0.2)  # another process may train it: nobody notifies us then

    # --- places ---------------------------------------------------------------------------------
    def places(self) -> dict[Place, str | None]:
        """Returns all places that there are, each with the run that this process trains there."""
        with self._guard:
            users = {place: worker.run_id for place, worker in self._workers.items()}
        return {place: users.get(place) for place in self.executor.all_places()}

    def has(self, place: Place) -> bool:
        """Whether the place is there now: a cluster grows and shrinks, and may be out of reach."""
        try:
            return place in self.executor.places(place.device)
        except PlaceLostError:
            return False

    def places_for(self, config: RunConfig) -> int:
        """Returns how many such runs train at a time."""
        return max(1, places_of(self.executor, self.executor.resolve(config)) // config.workers)

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
        """The dispatcher thread: starts a worker for every place where a queued run may train."""
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
        self._take_back()
        resume_with_room(self.store)
        devices = set()
        rows = self.store.queued(here=True)
        if rows:
            self.store.owner()  # other machines see that somebody is here for them
        for row in rows:
            try:
                devices.add(self._find_device(row))
            except PlaceLostError as error:  # try again soon
                self.store.report_waiting(row.id, str(error))
            except LabError as error:  # the run failed just now, or was taken out meanwhile
                logger.info("run %s gets no device: %s", row.id, error)
                self._notify()
        for device in devices:
            try:
                places = self.executor.places(device)
            except PlaceLostError as error:  # try again soon
                self._report_waiting(device, str(error))
                continue
            if not places:
                self._report_waiting(device, f"Waits until there is a place for {device}.")
            for place in places:
                with self._guard:
                    worker = self._workers.get(place)
                    if worker is None or not worker.is_alive():
                        if self._closing.is_set():
                            return
                        worker = self._workers[place] = _Worker(self, place)
                        worker.start()
                worker.wake.set()

    def _take_back(self) -> None:
        """Interrupts runs that count as this process's though nobody trains them, and puts them
        back: the database was away when they lost their place or when they were claimed."""
        active = [row for row in self.store.owned() if row.is_active]
        lost = [r for r in active if not is_in_hand(r.id) and r.id not in self.store.waiting]
        me = self.store.owner() if lost else ""
        now = time.monotonic()
        self._untrained = {
            row.id: self._untrained.get(row.id, now) for row in lost if row.owner == me
        }
        for row in lost:
            if now - self._untrained.get(row.id, now) < UNTRAINED_SECONDS:
                continue
            message = "Interrupted: the database was out of reach. It can be resumed."
            if self.store.interrupt(row.id, me, message):
                control = Control()
                if row.requested in ("stop", "pause"):
                    control.request_stop()
                self._go_on_elsewhere(row.id, control, PlaceLostError(message))

    def _report_waiting(self, device: str, text: str) -> None:
        """Record why the first run that waits for this device does not begin."""
        for run in self.store.queued(device)[:1]:
            if run.progress_text != text:
                self.store.report_waiting(run.id, text)

    def _find_device(self, row: RunRow) -> str:
        """Returns the run's device, and records it when it is new. One that is not there ends the
        run as failed and raises ConfigError; PlaceLostError where nobody can say."""
        if row.device and not keeps_device(row):
            return row.device
        try:
            device, moved = device_for(self.executor, row)
        except PlaceLostError:
            raise
        except Exception as error:
            if row.step and row.config.workers > 1:  # some of its places have gone
                raise PlaceLostError(
                    f"Waits for its {row.config.workers} places. {error}"
                ) from error
            message = failure_message(error, row)
            end_early(self.store, row.id, "failed", message)
            raise ConfigError(message) from error
        if device == row.device:
            return device
        if moved:
            self.store.write_log(row.id, "warning", moved)
        expected = None
        if self.forecast is not None:
            with contextlib.suppress(Exception):  # of a network or data that the run will report
                expected = self.forecast(self.store, row.config, device)
        self.store.set_device(row.id, device, expected_seconds=expected)
        return device

    @contextlib.contextmanager
    def _first_that_waits(self, queued: list[RunRow], place: Place) -> Iterator[RunRow | None]:
        """Holds a place for each worker of the first run in line. None where fewer are free: then
        the line waits, as a run that needs many would never begin if others went past it."""
        device, there = place.device, places_of(self.executor, place.device)
        with self._guard:
            first = next((row for row in queued if row.id not in self._held), None)
            wanted = first.settings.get("workers", 1) if first else 0
            free = there - sum(count for kind, count in self._held.values() if kind == device)
            if first and wanted <= free:
                self._held[first.id] = device, wanted
        if first is None:
            yield None
        elif wanted > free:
            if wanted <= there:
                text = f"Waits until {wanted} of {there} places are free."
            else:  # places have gone since it was queued
                text = f"Waits for {wanted} places; the cluster has {there} now."
            if wanted > 1 and first.progress_text != text:
                self.store.report_waiting(first.id, text)
            yield None
        else:
            try:
                yield first
            finally:
                with self._guard:
                    del self._held[first.id]
                    idle = list(self._workers.values()) if wanted > 1 else []
                for worker in idle:
                    worker.wake.set()

    def _train(self, run_id: str, place: Place) -> None:
        """Claim and train one run; the calling worker holds the place."""
        if not self.store.claim(run_id):
            return  # taken out of the queue, or claimed by somebody else, just now
        control = Control()
        with self._guard:
            self._controls[run_id] = control
            if self._closing.is_set():
                control.request_pause()
        try:
            execute(self.store, run_id, control=control, engine=self.executor.engine(place))
            self._losses.pop(run_id, None)
        except PlaceLostError as error:
            self._go_on_elsewhere(run_id, control, error)
        except BaseException:  # the store's error or a SystemExit; the run's own are recorded
            logger.exception("run %s was given up", run_id)
            with contextlib.suppress(Exception):
                self.store.interrupt(run_id, self.store.owner(), "Interrupted; it can be resumed.")
        finally:
            with self._guard:
                if self._controls.get(run_id) is control:
                    del self._controls[run_id]
            self._notify()

    def _go_on_elsewhere(self, run_id: str, control: Control, error: PlaceLostError) -> None:
        """Put a run that lost its place back to the front, unless that happened too often."""
        losses = self._losses[run_id] = self._losses.get(run_id, 0) + 1
        if control.wanted in ("stop", "pause"):
            return
        if losses > MOST_LOSSES:
            del self._losses[run_id]
            text = f"Its place was lost {losses} times; it does not go on by itself any more."
            return self.store.write_log(run_id, "warning", text)
        logger.warning("run %s goes on from its last state: %s", run_id, error)
        with contextlib.suppress(LabError):  # a person was faster
            self.store.enqueue(run_id, front=True)
        self._wake.set()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Worker(threading.Thread):
    """Trains runs on one place, one after the other."""

    def __init__(self, owner: Queue, place: Place) -> None:
        super().__init__(name=f"trainer-{place.name}-idle", daemon=True)
        self.wake = threading.Event()
        self.run_id: str | None = None
        """Of the run that it trains."""
        self._queue = owner
        self._place = place

    def run(self) -> None:
        lower_priority()
        while not self._queue._closing.is_set():
            try:
                worked = self._next_run()
            except Exception:  # the store's; what goes wrong in a run is recorded, not raised
                logger.exception("the worker of %s could not take its next run", self._place.name)
                worked = False
            self.wake.wait(TURN_SECONDS if worked else None)
            self.wake.clear()

    def _next_run(self) -> bool:
        """Train the first run that waits for this kind of device; False when none does."""
        queue, place = self._queue, self._place
        queued = queue.store.queued(place.device)
        if not queued or not queue.has(place):
            return False
        with queue.executor.turn(
            place,
            cancelled_within=self._cancelled_within,
            on_wait=lambda: queue.store.report_waiting(
                queued[0].id, locks.waiting_text(place.name)
            ),
        ) as held:
            queued = queue.store.queued(place.device) if held else []
            with queue._first_that_waits(queued, place) as row:
                if row is None:
                    return False
                self.run_id, self.name = row.id, f"trainer-{row.id}"
                try:
                    with in_hand(row.id):
                        queue._train(row.id, place)
                finally:
                    self.run_id, self.name = None, f"trainer-{place.name}-idle"
        return True

    def _cancelled_within(self, seconds: float) -> bool:
        return self._queue._closing.wait(seconds)

    def _report_waiting(self, run_id: str) -> None:
        self._queue.store.report_waiting(run_id, locks.waiting_text(self._place.name))
