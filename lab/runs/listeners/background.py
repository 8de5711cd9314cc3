"""Carries a run's events to its listeners, so that none of them can end, slow or hang the run.

    training thread ──put──> the waiting events of each listener, at most MOST_WAITING steps
                                  │ once a second
              thread "listener-<name>-<run id>": Listener.receive(events)

    thread "listeners-<run id>": writes into the run's log what went wrong with one

A listener that raises, or does not come back from a call, gets nothing more; the log of the run
says so. Steps that find the queue full are left out and counted.
"""

from __future__ import annotations

import atexit
import logging
import math
import re
import threading
import time
from collections import deque
from types import TracebackType
from typing import Literal

from lab.errors import LabError, NotFoundError
from lab.process import lower_priority
from lab.runs.listeners import Listener
from lab.runs.listeners.kinds import ListenerKind, chosen
from lab.runs.store import Store
from lab.training.events import EpochDone, Event, RunEnded, RunStarted, StepDone
from lab.words import duration

logger = logging.getLogger(__name__)

DELIVERY_SECONDS, LONGEST_PAUSE = 1.0, 10.0
"""Between two deliveries, at least and at most: a thread that wakes at each step would take
Python's lock from training as often."""

WATCH_SECONDS = 1.0

MOST_WAITING = 20_000
"""Steps that wait for a listener. Other events, of which there are few, may be as many again."""

LONGEST_CALL = 120.0
"""Seconds for which a listener may work on its start, on one delivery, or on its end; a busy
machine takes half a minute to import MLflow."""

COST_SHARE = 0.004
"""Of a core, for a listener's own Python code: it rests so long after a delivery, and where
LONGEST_PAUSE is not enough, it gets fewer steps."""

MOST_THINNED = 100
"""It gets one step in so many at least."""

EXIT_SECONDS = 30.0
"""For which a program that ends waits for its runs' listeners."""

LAST_WORDS_SECONDS = 10.0
"""For which it then waits until the runs' logs say which of them were given up."""

_PASSED = (RunStarted, StepDone, EpochDone, RunEnded)

_open: set[Listeners] = set()


class Listeners:
    """The listeners of one session of a run, as LAB_LISTENERS says. Used as a context manager by
    the training thread, which only ever calls `put`; leaving the block waits for nobody.

    Raises ConfigError, as `chosen` does."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._lanes = [_Lane(kind, store, run_id) for kind in chosen()]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"listeners-{run_id}", daemon=True)

    def __enter__(self) -> Listeners:
        if self._lanes:
            _open.add(self)
            for lane in self._lanes:
                lane.thread.start()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self._lanes:
            lane.close()
        self._closed.set()

    def put(self, event: Event) -> None:
        """Hand over an event; returns at once and never raises."""
        for lane in self._lanes:
            lane.put(event)

    def wait(self, seconds: float) -> None:
        """Wait until all listeners of a run that has ended have what was put; those that have not
        by then are given up."""
        if not self._lanes or not self._closed.is_set():
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            for lane in self._lanes:
                lane.cut_off()
            self._thread.join(LAST_WORDS_SECONDS)

    # --- the thread that watches ------------------------------------------------------------------
    def _watch(self) -> None:
        until = math.inf
        while True:
            working = any(lane.is_at_work() for lane in self._lanes)
            until = math.inf if working else min(until, time.monotonic() + LONGEST_CALL)
            for lane in self._lanes:
                self._write_log(lane)
            unwritten = any(lane.messages for lane in self._lanes)
            if not working and (not unwritten or time.monotonic() >= until):
                break
            if self._closed.wait(WATCH_SECONDS):
                time.sleep(min(WATCH_SECONDS, 0.1))
        _open.discard(self)

    def _write_log(self, lane: _Lane) -> None:
        while lane.messages:
            level, text = lane.messages[0]
            try:
                self._store.write_log(self._run_id, level, text)
            except NotFoundError:  # the run was deleted
                pass
            except LabError as error:  # a database that is away: next time
                logger.warning("run %s: %s (%s)", self._run_id, text, error)
                return
            except Exception:
                logger.exception("run %s: %s", self._run_id, text)
            lane.messages.popleft()


class _Lane:
    """One listener: what waits for it, and the thread in which it works."""

    def __init__(self, kind: ListenerKind, store: Store, run_id: str) -> None:
        self.kind = kind
        self.messages: deque[tuple[Literal["info", "warning"], str]] = deque()
        """For the run's log."""
        self.thread = threading.Thread(
            target=self._work, name=f"listener-{kind.name}-{run_id}", daemon=True
        )
        self._store = store
        self._run_id = run_id
        self._waiting: deque[Event] = deque()
        self._missed = 0
        self._every = 1
        self._busy_since: float | None = None
        self._given_up = False
        self._closed = threading.Event()

    # --- called by the training thread ------------------------------------------------------------
    def put(self, event: Event) -> None:
        if self._given_up or not isinstance(event, _PASSED):
            return
        is_step = isinstance(event, StepDone)
        if isinstance(event, StepDone) and (
            not self.kind.takes_steps or (event.step % self._every and event.step > 1)
        ):
            return
        if len(self._waiting) >= (MOST_WAITING if is_step else 2 * MOST_WAITING):
            self._missed += 1
            return
        self._waiting.append(event)

    def close(self) -> None:
        self._closed.set()

    # --- called by the thread that watches --------------------------------------------------------
    def is_at_work(self) -> bool:
        """Whether it works still; a call that does not come back is given up."""
        if self._given_up or not self.thread.is_alive():
            return False
        since = self._busy_since
        if since is not None and time.monotonic() - since > LONGEST_CALL:
            self._give_up(f"it did not answer for {duration(LONGEST_CALL)}")
            return False
        return True

    def cut_off(self) -> None:
        """The program ends."""
        if not self._given_up and self.thread.is_alive():
            self._give_up("the program ended before it had written everything")

    def _give_up(self, reason: str) -> None:
        goes_on = "the run itself has ended" if self._closed.is_set() else "the run goes on"
        text = f"{self.kind.title} stopped: {reason.rstrip('.')}; {goes_on}."
        logger.warning("run %s: %s", self._run_id, text)
        self.messages.append(("warning", text))
        self._given_up = True  # last: who sees it looks for the message
        self._waiting.clear()

    # --- the listener's own thread ----------------------------------------------------------------
    def _work(self) -> None:
        lower_priority()
        try:
            self._busy_since = time.monotonic()
            listener = self.kind.make(self._store.run(self._run_id))
            self._busy_since = None
            self._deliver(listener)
        except BaseException as error:  # a library's sys.exit, too: the thread is its own
            logger.debug("%s of run %s stopped", self.kind.name, self._run_id, exc_info=error)
            if not self._given_up:
                self._give_up(one_line(error))

    def _deliver(self, listener: Listener) -> None:
        pause, is_warm = DELIVERY_SECONDS, False
        while not self._given_up:
            is_last = self._closed.wait(pause)
            events = [self._waiting.popleft() for _ in range(len(self._waiting))]
            used = time.thread_time()
            self._busy_since = time.monotonic()
            if events:
                listener.receive(events)
            if is_last and not self._waiting:
                self._report_missed()
                listener.close()
                return
            self._busy_since = None
            if is_warm:  # the first delivery opens files and connections
                pause = self._pause_after(time.thread_time() - used)
            is_warm = is_warm or bool(events)

    def _pause_after(self, cost: float) -> float:
        """Returns how long to rest after a delivery that took `cost` processor seconds."""
        wanted = cost / COST_SHARE
        if wanted > LONGEST_PAUSE:
            more = min(wanted / LONGEST_PAUSE, 4.0)
            self._every = min(math.ceil(self._every * more), MOST_THINNED)
        return min(max(wanted, DELIVERY_SECONDS), LONGEST_PAUSE)

    def _report_missed(self) -> None:
        if self._missed:
            text = f"{self.kind.title} did not keep up: it lacks {self._missed:,} steps of the run."
            self.messages.append(("warning", text))
        if self._every > 1:
            text = f"{self.kind.title} got one step in {self._every}, to spare the run's time."
            self.messages.append(("info", text))


def wait_for_listeners(seconds: float | None = None) -> None:
    """Wait, for EXIT_SECONDS at most, until the listeners of this process's ended runs have written
    all they have. For a program that ends: its threads end with it."""
    until = time.monotonic() + (EXIT_SECONDS if seconds is None else seconds)
    for each in tuple(_open):
        each.wait(max(0.0, until - time.monotonic()))


atexit.register(wait_for_listeners)


def one_line(error: BaseException) -> str:
    """An error in one line, without the secrets that addresses carry."""
    text = " ".join(str(error).split())
    text = re.sub(r"(\w://)[^\s/@]+@", r"\1…@", text)
    text = re.sub(r"([?&][\w.-]*=)[^\s&'\"]+", r"\1…", text)
    name = type(error).__name__
    return f"{name}: {text[:160]}" if text and not isinstance(error, LabError) else text or name


def tell_ended(store: Store, run_id: str, ended: RunEnded) -> None:
    """Hand over the end of a run that never reached its engine."""
    with Listeners(store, run_id) as listeners:
        listeners.put(ended)
