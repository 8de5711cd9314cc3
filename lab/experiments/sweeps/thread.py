"""What a person asks of sweeps: start, stop all, resume; and the thread that drives them.

Threads and processes: one daemon thread "sweep-driver" a process drives all sweeps that no other
process drives. A lock file a sweep says who does, and the system frees it when a process dies;
among several machines the sweep's row says it, and its driver's lease (`lab.runs.leases`). No page
needs to be open; a server that starts takes up working sweeps (`drive`).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading

from filelock import FileLock, Timeout

from lab.data.catalog import describe
from lab.errors import ConfigError, LabError
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.driver import Check, Driver, resolved, stop_runs
from lab.experiments.sweeps.study import open_study
from lab.experiments.sweeps.table import (
    WORKING,
    create_sweep,
    leave_sweep,
    set_sweep_status,
    sweep,
    sweeps,
    take_sweep,
)
from lab.home import home_folder
from lab.runs.queue import Queue
from lab.runs.queue import queue as process_queue
from lab.runs.store import store

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5


# --- what a person asks -------------------------------------------------------------------------
def start_sweep(config: SweepConfig) -> str:
    """Enter the sweep and have it driven in this process; returns its id.

    Raises LabError when not one of its combinations can be trained.
    """
    sweep_id = enter_sweep(config)
    drive()
    return sweep_id


def enter_sweep(config: SweepConfig) -> str:
    """`start_sweep` for somebody who drives it by a `DriverThread` of his own."""
    left_out(config)
    config = pinned(config)
    return create_sweep(store(), name=config.name, config_json=config.to_json())


def pinned(config: SweepConfig) -> SweepConfig:
    """Returns the sweep on the version of its data set that is the newest now: all its runs train
    on the same pictures, also those that start after somebody has saved another version."""
    if config.base.dataset_version or "dataset" in config.axes:
        return config
    version = describe(config.base.dataset).content_hash
    return config.model_copy(update={"base": config.base.changed(dataset_version=version)})


def left_out(config: SweepConfig, *, check: Check = resolved) -> dict[int, str]:
    """The combinations that do not fit together and will be left out, by number, with the reason;
    as far as combinations are known beforehand. Raises LabError when it is all of them."""
    points = config.points
    if points is None:
        check(config.base)
        return {}
    impossible = {}
    for number, point in enumerate(points):
        try:
            check(config.run_config(point, config.seeds[0]))
        except LabError as error:
            impossible[number] = str(error)
    if len(impossible) == len(points):
        raise ConfigError(f"None of the {len(points)} combinations can be trained. {impossible[0]}")
    return impossible


def stop_sweep(sweep_id: str, *, queue: Queue | None = None) -> None:
    """Stop all: what trains ends within one step, what waits leaves the queue; can be resumed.

    The state comes first: from then on no driver queues another run.
    """
    queue = queue or process_queue()
    set_sweep_status(queue.store, sweep_id, "stopped")
    stop_runs(queue, sweep(queue.store, sweep_id))


def resume_sweep(sweep_id: str) -> None:
    """Go on with a stopped or failed sweep: its stopped runs continue where they were."""
    set_sweep_status(store(), sweep_id, "resuming")
    drive()


# --- the thread ---------------------------------------------------------------------------------
_guard = threading.Lock()
_thread: DriverThread | None = None


def drive() -> None:
    """Have this process drive what works and has no driver; returns at once, and does nothing when
    no sweep works. For the start of a server, and after a press of Start or Resume."""
    global _thread
    queue = process_queue()
    with _guard:
        if _thread is not None and _thread.drive_on():
            return
        if sweeps(queue.store, status=WORKING):
            _thread = DriverThread(queue)
            _thread.start()


def stop_driving(timeout: float = 10.0) -> None:
    """End this process's thread; its sweeps go on with the next `drive`, here or elsewhere."""
    with _guard:
        thread = _thread
    if thread is not None:
        thread.end(timeout)


# Registered after the queue's own, so it comes before: no run is queued while that one closes.
atexit.register(stop_driving, 2.0)


class DriverThread(threading.Thread):
    """Drives all sweeps, or `only` one, until none works any more. A command line passes a queue
    that was not started and trains the runs in its own main thread."""

    def __init__(self, queue: Queue, *, only: str | None = None) -> None:
        super().__init__(name="sweep-driver", daemon=True)
        self._queue = queue
        self._only = only
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._has_work = True  # somebody relies on this thread for a sweep that it may not know yet
        self._ended = False

    def drive_on(self) -> bool:
        """Make sure that a sweep which works by now is seen; False when this thread has ended."""
        with self._guard:
            self._has_work = True
            return not self._ended and not self._closing.is_set()

    def end(self, timeout: float) -> None:
        self._closing.set()
        if self is not threading.current_thread() and self.is_alive():
            self.join(timeout)

    def run(self) -> None:
        drivers: dict[str, tuple[Driver, contextlib.ExitStack]] = {}
        try:
            while not self._closing.is_set() and not self._ends_idle():
                try:
                    self._poll(drivers)
                except Exception:  # a locked database: try again soon
                    logger.exception("polling the sweeps failed")
                    self.drive_on()
                self._closing.wait(POLL_SECONDS)
        finally:
            with self._guard:
                self._ended = True
            for _, resources in drivers.values():
                resources.close()

    def _ends_idle(self) -> bool:
        """Ends the thread under its guard, so that no `drive_on` falls between."""
        with self._guard:
            if self._has_work:
                return False
            self._ended = True
            return True

    def _poll(self, drivers: dict[str, tuple[Driver, contextlib.ExitStack]]) -> None:
        with self._guard:
            self._has_work = False
        working = [row.id for row in sweeps(self._queue.store, status=WORKING)]
        if self._only is not None:
            working = [sweep_id for sweep_id in working if sweep_id == self._only]
        for sweep_id in working:
            if sweep_id not in drivers:
                self._open(sweep_id, drivers)
        for sweep_id, (driver, resources) in list(drivers.items()):
            if not driver.poll():
                del drivers[sweep_id]
                resources.close()
        if working or drivers:
            with self._guard:
                self._has_work = True

    def _open(self, sweep_id: str, drivers: dict[str, tuple[Driver, contextlib.ExitStack]]) -> None:
        """Take the sweep's lock and open its study; nothing when another process has it."""
        runs = self._queue.store
        with contextlib.ExitStack() as opening:
            # Not thread-local: the lock belongs to the process.
            path = home_folder("locks") / f"sweep-{sweep_id}.lock"
            try:
                lock = FileLock(path, thread_local=False)
                opening.enter_context(lock.acquire(timeout=0))
            except Timeout:
                return
            if not take_sweep(runs, sweep_id):
                return
            opening.callback(leave_sweep, runs, sweep_id)
            try:
                row = sweep(runs, sweep_id)
                config = SweepConfig.from_json(row.config_json)
            except (LabError, ValueError) as error:  # another version of the lab wrote it
                set_sweep_status(runs, sweep_id, "failed", str(error))
                return
            study = opening.enter_context(open_study(sweep_id, config, runs.database))
            driver = Driver(sweep_id, config, study, queue=self._queue)
            drivers[sweep_id] = (driver, opening.pop_all())
