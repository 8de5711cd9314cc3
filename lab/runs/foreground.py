"""Trains a run in the calling thread, for the command line: the queue's code without the queue."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from lab.config import RunConfig
from lab.errors import DiskFullError, ResourceError
from lab.progress import Progress
from lab.runs import locks
from lab.runs.executors import Executor
from lab.runs.executors.choice import device_for, executor
from lab.runs.executors.local import LocalExecutor
from lab.runs.listeners.background import wait_for_listeners
from lab.runs.listeners.kinds import chosen
from lab.runs.recorder import forward_request
from lab.runs.status import RESUMABLE, refusal
from lab.runs.store import RunRow, Store, store
from lab.runs.worker import (
    Engine,
    Listener,
    Resolve,
    end_early,
    execute,
    failure_message,
    in_hand,
    lab_device,
    lab_engine,
    recover,
    write_waiting,
)
from lab.training.control import Control
from lab.training.events import EndStatus, RunEnded

logger = logging.getLogger(__name__)

LONGEST_LOCK = 600.0
"""Seconds for which a completed run waits for the run store."""

RETRY_SECONDS = 1.0
"""Between two tries of it."""


def run_in_foreground(
    run: RunConfig | str,
    *,
    name: str | None = None,
    origin: str = "",
    engine: Engine | None = None,
    resolve: Resolve | None = None,
    on_event: Listener | None = None,
    runs: Store | None = None,
) -> RunRow:
    """Train a new run (its config) or resume an old one (its id) in the calling thread.

    Waits for a place when other processes have them all. `on_event` gets every event, RunEnded
    last, also when the engine never started; listeners in the background (LAB_LISTENERS) may finish
    their work. The first Ctrl-C stops the run within one step, the
    second raises KeyboardInterrupt. Returns the run's row: how it ended is in `status`, `message`.
    """
    chosen()  # refuses a wrong LAB_LISTENERS before there is a run
    runs = runs or store()
    given = engine is not None or resolve is not None
    local = LocalExecutor(engine or lab_engine, resolve or lab_device)
    where = local if given else executor()
    recover(runs)
    if isinstance(run, str):
        run_id = run
        allowed = ("queued", *RESUMABLE)
        status = runs.run(run_id).status
        if not runs.claim(run_id, statuses=allowed):
            raise refusal(run_id, status, allowed, "run here")
    else:
        run_id = runs.create_run(run, name=name, status="preparing", origin=origin)
    control = Control()
    try:
        with _stop_at_interrupt(control), in_hand(run_id):
            ended = _train_on_place(runs, run_id, control, where, on_event)
            wait_for_listeners()
    except BaseException:
        with contextlib.suppress(Exception):  # what broke it off is what the caller must see
            runs.interrupt(run_id, runs.owner(), "Interrupted from outside; it can be resumed.")
        raise
    if ended.status == "completed":
        _wait_until_recorded(runs, run_id)
    else:
        write_waiting(runs)
    return runs.run(run_id)


def _wait_until_recorded(runs: Store, run_id: str) -> None:
    """Waits while another program has locked the run store. Raises ResourceError when the end of
    the run cannot be recorded."""
    until = time.monotonic() + LONGEST_LOCK
    while True:
        try:
            return runs.write_waiting(run_id)
        except DiskFullError:
            raise
        except ResourceError as error:
            if time.monotonic() > until:
                raise ResourceError(
                    f"{error} Run {run_id} has completed; its last events wait in "
                    f"{runs.waiting[run_id].path}, and the lab records them when it starts again."
                ) from error
            logger.warning("%s The run has completed and waits to be recorded.", error)
            time.sleep(RETRY_SECONDS)


def _train_on_place(
    runs: Store,
    run_id: str,
    control: Control,
    where: Executor,
    on_event: Listener | None,
) -> RunEnded:
    row = runs.run(run_id)

    def end(status: EndStatus, message: str) -> RunEnded:
        ended = end_early(runs, run_id, status, message)
        if on_event is not None:
            on_event(ended)
        return ended

    def cancelled_within(seconds: float) -> bool:
        time.sleep(seconds)
        forward_request(runs.run(run_id).requested, control)
        return control.wanted in ("stop", "pause")

    def on_wait() -> None:
        runs.report(run_id, Progress(0, 0, locks.waiting_text(place.name)))

    try:
        device, moved = device_for(where, row)
        places = where.places(device)
    except Exception as error:
        return end("failed", failure_message(error, row))
    runs.set_device(run_id, device)
    if moved:
        runs.write_log(run_id, "warning", moved)
    for place in places:
        with where.turn(place, cancelled_within=lambda _: True, on_wait=lambda: None) as free:
            if free:
                engine = where.engine(place)
                return execute(runs, run_id, control=control, engine=engine, listener=on_event)
    place = places[0]
    with where.turn(place, cancelled_within=cancelled_within, on_wait=on_wait) as held:
        if not held:
            status: EndStatus = "paused" if control.wanted == "pause" else "stopped"
            return end(status, f"{status.capitalize()} before training began; it can be resumed.")
        engine = where.engine(place)
        return execute(runs, run_id, control=control, engine=engine, listener=on_event)


@contextlib.contextmanager
def _stop_at_interrupt(control: Control) -> Iterator[None]:
    """The first Ctrl-C asks for a stop, which saves the run; only the second one breaks off."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sends signals to the main thread only
        return

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if control.wanted == "stop":
            raise KeyboardInterrupt
        control.request_stop()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
