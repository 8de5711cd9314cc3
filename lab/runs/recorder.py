"""Buffers a run's events and writes them to the store four times a second."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from typing import Any

from lab.errors import DiskFullError, LabError, NotFoundError, ResourceError, RunLostError
from lab.home import home_folder
from lab.progress import Progress, Rate
from lab.runs import history
from lab.runs.spill import Spill
from lab.runs.store import RATE, Store
from lab.runs.time_left import TimeLeft
from lab.runs.writing import Smoother
from lab.training.control import Control
from lab.training.events import (
    ActivityProgressed,
    Event,
    LogWritten,
    RunEnded,
    RunStarted,
    StepDone,
)
from lab.words import duration

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25

PATIENCE = 1.0
"""Seconds for which training waits for another writer before its events wait instead."""

RETRY_SECONDS, RETRY_PATIENCE = 1.0, 0.2


class Recorder:
    """Writes one run's events in batches and passes requests to its `Control`.

    Two threads: the training thread adds events; the recorder's own writes buffered steps and
    reads requests, every 0.25 s while the `with` block lasts. So training does not wait for the
    disk at each step, and a stop pressed in another process reaches `control` also during a long
    validation. The first step, for which a person waits, and everything but steps and progress is
    written at once, by the training thread.

    While the database is locked, or its server away, the events wait beside the run
    (`lab.runs.spill`) and training goes on; the recorder's thread writes them when it can. Any
    other write that failed is raised by the next call of the training thread: also RunLostError,
    when this process was silent for so long that somebody else has the run. Then nothing more is
    recorded.
    """

    def __init__(self, store: Store, run_id: str, control: Control) -> None:
        self._store = store
        self._run_id = run_id
        self._owner = store.owner()
        self._status = "preparing"  # then "running", and "" once it has ended
        self._control = control
        self._smoother = Smoother()  # used under the spill's lock: one batch at a time, in order
        self._spill = Spill(home_folder("runs") / run_id)
        self._spill.clear()  # of another session, and recorded: the run was not active
        self._retried_at = 0.0
        self._unkept_steps = 0  # since the thinned history of the run was brought up to date
        self._guard = threading.Lock()  # the buffer and the time left; held for moments only
        self._events: list[Event] = []
        self._time_left = TimeLeft()
        self._most_seconds = store.run(run_id).most_seconds
        self._any_step = False
        self._error: Exception | None = None
        self._reported_at = -FLUSH_SECONDS
        self._unwritten: Progress | None = None  # the last progress, if it came too soon
        self._preparation_rate = Rate()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._write_regularly, name=f"recorder-{run_id}", daemon=True
        )

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._retried_at = 0.0
        self._retry()

    def add(self, event: Event) -> None:
        """Add one event; raises ResourceError when it, or one before it, cannot be written."""
        can_wait = self._any_step and isinstance(event, StepDone)
        can_wait = can_wait or isinstance(event, ActivityProgressed)
        with self._guard:
            self._events.append(event)
            self._time_left.add(event)
            self._any_step = self._any_step or isinstance(event, StepDone)
        if isinstance(event, StepDone) and event.seconds >= (self._most_seconds or math.inf):
            self._end_at_limit()
        if not can_wait or self._error is not None:
            self.flush()
        while self._spill.is_full and self._control.wanted not in ("stop", "pause"):
            self._closed.wait(FLUSH_SECONDS)
            self._retry()

    def _end_at_limit(self) -> None:
        if self._control.wanted == "run":
            self._control.request_finish()
            with self._guard:
                self._events.append(
                    LogWritten(
                        "warning",
                        f"Finished after {duration(self._most_seconds)} of training, which is the "
                        "limit in this class; its best weights so far are tested.",
                    )
                )

    def flush(self) -> None:
        """Write the buffered events in one transaction, or to the file where they wait."""
        with self._spill.lock:
            if self._error is not None:
                raise self._error
            with self._guard:
                events, self._events = self._events, []
                speed = self._time_left.pace.images_per_second
                finishing = self._control.wanted == "finish"
                seconds_left = self._time_left.seconds(finishing=finishing)
                activity = self._time_left.activity
            if not events:
                return
            if any(isinstance(event, RunStarted) for event in events):
                self._status = "running"
            if isinstance(events[-1], RunEnded):
                self._status = ""
            try:
                requested = self._write(
                    events,
                    images_per_second=speed,
                    seconds_left=seconds_left,
                    activity=activity,
                )
            except Exception as error:
                self._error = error
                raise
        self._forward(requested)

    def _write(self, events: list[Event], **state: Any) -> str | None:
        """Write to the database or, if it is locked, behind what waits; returns a pending
        request. A full disk is raised also where the events could be kept."""
        full: DiskFullError | None = None
        now = time.time()  # the same here and in what waits, which may have been recorded after all
        if self._spill.is_empty:
            smoother = self._smoother.copy()  # a failed write must leave it as it was
            try:
                requested = self._store.record(
                    self._run_id,
                    events,
                    smoother=smoother,
                    at=now,
                    owner=self._owner,
                    patience=PATIENCE,
                    **state,
                )
            except ResourceError as error:
                full = error if isinstance(error, DiskFullError) else None
                logger.warning("the events of run %s wait beside it: %s", self._run_id, error)
            else:
                self._smoother = smoother
                self._unkept_steps += sum(isinstance(event, StepDone) for event in events)
                return requested
        self._spill.append(now, events)
        self._smoother.is_behind = True
        self._store.waiting[self._run_id] = self._spill
        if full is not None and not isinstance(events[-1], RunEnded):
            raise full
        return None

    def _retry(self) -> None:
        """Try again to write what waits, once a second."""
        if self._spill.is_empty or time.monotonic() < self._retried_at + RETRY_SECONDS:
            return
        try:
            self._store.write_waiting(self._run_id, patience=RETRY_PATIENCE)
        except (NotFoundError, RunLostError) as error:
            self._lose(error)
        except ResourceError as error:
            logger.debug("run %s: %s", self._run_id, error)
        self._retried_at = time.monotonic()

    def leave(self) -> None:
        """The run is about to be marked as interrupted, which is then no loss to this process."""
        self._status = ""

    def _lose(self, error: LabError) -> None:
        """Somebody deleted the run, or another process has it: training ends, at the next step."""
        if self._status:
            self._error = error
            self._control.request_stop()

    def keep_in_memory(self, ending: RunEnded) -> None:
        """Keep the ending until `Store.write_waiting` succeeds: nothing has room for it."""
        with self._spill.lock:
            self._spill.keep_in_memory(time.time(), ending)
            self._store.waiting[self._run_id] = self._spill

    def flush_or_drop(self) -> None:
        """Write the buffered events, or drop them when the store cannot be written.

        A failed write may be what ends the run; the ending itself is then tried again."""
        try:
            self.flush()
        except Exception as error:
            if not isinstance(error, NotFoundError | RunLostError):  # which the worker tells
                details = None if isinstance(error, LabError) else error
                logger.warning(
                    "the last events of run %s are not recorded: %s",
                    self._run_id,
                    error,
                    exc_info=details,
                )
            with self._spill.lock, self._guard:
                self._error = None
                self._events = []

    def report(self, progress: Progress) -> None:
        """Write the preparation's progress to the run's row, a few times a second; a `Report`.
        What comes too soon is written by the recorder's thread, unless more comes until then."""
        with self._spill.lock:
            self._preparation_rate.add(progress, now=time.monotonic())
            self._unwritten = progress
            self._write_progress()

    def _write_progress(self) -> None:
        """Write the last progress of a run that prepares, unless it comes too soon; used under the
        spill's lock."""
        progress, now = self._unwritten, time.monotonic()
        if progress is None or self._status != "preparing":
            return
        finished = progress.total and progress.done >= progress.total
        if now - self._reported_at < FLUSH_SECONDS and not finished:
            return
        self._unwritten, self._reported_at = None, now
        left = progress.seconds_left(self._preparation_rate.per_second(now=now))
        try:
            requested = self._store.report(
                self._run_id, progress, seconds_left=left, owner=self._owner, patience=PATIENCE
            )
        except DiskFullError:
            raise
        except ResourceError as error:  # progress is no reason to wait for the database
            logger.warning("run %s: %s", self._run_id, error)
            self._reported_at = now + 5
            return
        self._forward(requested)

    def _forward(self, requested: str | None) -> None:
        if requested == RATE:
            with contextlib.suppress(ResourceError):  # then it is still there next time
                rate = self._store.take_rate(self._run_id)
                if rate is not None:
                    self._control.request_rate(rate)
        else:
            forward_request(requested, self._control)

    def _write_regularly(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            try:
                if self._events:
                    self.flush()
                elif self._status and self._spill.is_empty:
                    self._forward(self._store.hold(self._run_id, self._owner, self._status))
                else:
                    self._forward(self._store.requested(self._run_id))
                self._retry()
                with self._spill.lock:
                    self._write_progress()
                if self._unkept_steps >= history.KEEP_EVERY:
                    self._unkept_steps = 0
                    history.kept_steps(self._store, self._run_id)
            except (NotFoundError, RunLostError) as error:
                self._lose(error)
                return
            except ResourceError as error:  # a database that is away: less often
                logger.warning("run %s: %s", self._run_id, error)
                self._closed.wait(RETRY_SECONDS)
            except Exception as error:  # a failed write is also in _error, for the training thread
                logger.warning("run %s: %s", self._run_id, error)


def forward_request(requested: str | None, control: Control) -> None:
    """Pass a request that was read from the store to `control`."""
    if requested == "stop":
        control.request_stop()
    elif requested == "pause":
        control.request_pause()
    elif requested == "finish":
        control.request_finish()
