"""Trains one run from preparation to end, in the thread that calls `execute`.

However a run ends, exactly one RunEnded is recorded, and the sentence in it is for a person:

    the engine's own RunEnded         as it is
    stop or pause while preparing     stopped, paused
    a LabError                        failed, its sentence
    a full disk                       paused, its sentence
    out of memory                     failed, what to make smaller
    where it trained is gone          interrupted (no RunEnded; PlaceLostError goes on to the queue)
    anything else, or no RunEnded     failed, a bug: the traceback goes to the run's log
    Ctrl-C twice, interpreter exit    interrupted (no RunEnded; the exception goes on)
    the run was deleted meanwhile     nothing is recorded, its files go
    another process has it by now     nothing more is recorded, its files stay
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.data.pack_lock import sweep_packs
from lab.errors import (
    DiskFullError,
    LabError,
    NotFoundError,
    PlaceLostError,
    ResourceError,
    RunLostError,
)
from lab.home import home_folder, home_id, lab_home, sweep_temporaries
from lab.progress import Cancelled, Progress, Report
from lab.runs import locks
from lab.runs.database import retried
from lab.runs.listeners.background import Listeners, tell_ended
from lab.runs.recorder import Recorder
from lab.runs.spill import Spill
from lab.runs.store import RunRow, Store
from lab.training.control import Control
from lab.training.events import EndStatus, Event, LogWritten, RunEnded, SaveReached
from lab.training.failures import NO_ROOM, is_out_of_memory, no_room, out_of_memory

logger = logging.getLogger(__name__)

Engine = Callable[[RunConfig, Path, Control, Report], Iterator[Event]]
"""(config, the run's folder, its control, progress of the preparation) -> the run's events."""

Resolve = Callable[[RunConfig], str]
"""The device that a config will train on: cpu, cuda or mps."""

Listener = Callable[[Event], None]

PATIENCE = 1.0
"""Seconds for which what waits already is tried again."""

LONGEST_AWAY = 600.0
"""Seconds for which a run that begins or has failed waits for the database."""

ROOM_SHARE, MOST_ROOM = 0.05, 1_000_000_000
"""Free share of a disk, or bytes, from which on a run that found it full goes on."""

ROOM_SECONDS = 30.0
"""Between two tries of it."""


def lab_engine(
    config: RunConfig, folder: Path, control: Control, report: Report
) -> Iterator[Event]:
    """The real engine. Imports torch at the first event, in the thread that trains."""
    report(Progress(0, 0, "Starting the engine"))
    from lab.training.fit import fit
    from lab.training.plan import make_plan

    def cancelled() -> bool:
        return control.wanted in ("stop", "pause")

    yield from fit(make_plan(config, folder=folder, progress=report, cancel=cancelled), control)


def lab_device(config: RunConfig) -> str:
    """The device that `config` will train on; raises ConfigError when it is not there."""
    from lab.training.devices import resolve_device

    return resolve_device(config)


def execute(
    store: Store,
    run_id: str,
    *,
    control: Control,
    engine: Engine,
    listener: Listener | None = None,
) -> RunEnded:
    """Train the run, which is "preparing" and whose device this thread holds; record everything.

    `listener` gets every event; RunEnded once it is recorded. An error in it stops the run and is
    raised at the end. Those of LAB_LISTENERS get them, too (`lab.runs.listeners`). Errors of the
    run itself are recorded, not raised.
    """
    with Listeners(store, run_id) as listeners:
        return _execute(store, run_id, control, engine, listener, listeners)


_in_hand: set[str] = set()


@contextlib.contextmanager
def in_hand(run_id: str) -> Iterator[None]:
    """This thread takes the run, waits for a place if need be, and trains it."""
    _in_hand.add(run_id)
    try:
        yield
    finally:
        _in_hand.discard(run_id)


def is_in_hand(run_id: str) -> bool:
    """Whether a thread of this process trains the run, or waits for a place to."""
    return run_id in _in_hand


def _execute(
    store: Store,
    run_id: str,
    control: Control,
    engine: Engine,
    listener: Listener | None,
    listeners: Listeners,
) -> RunEnded:
    guarded = _GuardedListener(listener, control, listeners)
    with Recorder(store, run_id, control) as recorder:
        try:
            ended = _train_to_the_end(store, run_id, control, engine, recorder, guarded)
        except NotFoundError:
            ended = _deleted(store, run_id)
        except RunLostError as error:
            logger.warning("%s", error)
            store.waiting.pop(run_id, None)
            ended = RunEnded("stopped", str(error), 0, 0, None, {}, {}, 0.0)
    guarded.call(ended)
    guarded.raise_error()
    return ended


def end_early(store: Store, run_id: str, status: EndStatus, message: str) -> RunEnded:
    """End a run that never reached the engine."""
    ended = _record_ending(store, run_id, status, message)
    with contextlib.suppress(ResourceError):  # else the next change of the queue does it
        store.renumber()
    tell_ended(store, run_id, ended)
    return ended


@retried
def _record_ending(store: Store, run_id: str, status: EndStatus, message: str) -> RunEnded:
    ended = _ending(store, run_id, status, message)
    store.record(run_id, [ended])
    return ended


def write_waiting(store: Store) -> None:
    """Try again to record what the database could not take of this process's runs."""
    for run_id in list(store.waiting):
        try:
            store.write_waiting(run_id, patience=PATIENCE)
        except LabError as error:
            logger.info("run %s: %s", run_id, error)


def resume_with_room(store: Store) -> list[str]:
    """Queue the runs that a full disk paused, if there is room again; returns their ids."""
    resumed = []
    for row in store.runs(status="paused", message=NO_ROOM):
        if row.id in store.waiting or row.home not in ("", home_id()):
            continue
        since = time.time() - (row.ended_at.timestamp() if row.ended_at else 0)
        disk = shutil.disk_usage(lab_home())
        if disk.free >= min(MOST_ROOM, ROOM_SHARE * disk.total) and not 0 <= since < ROOM_SECONDS:
            store.write_log(row.id, "info", "There is room on the disk again: the run goes on.")
            store.enqueue(row.id)
            resumed.append(row.id)
    return resumed


def recover(store: Store) -> list[str]:
    """Record what waits of the runs whose process has died, and mark those that it did not end as
    interrupted; returns their ids.

    Safe at any time and from any number of processes and machines: a run is only touched when the
    owner that its row names is dead (`lab.runs.leases`).
    """
    interrupted = []
    owned = store.owned()
    states = {owner: store.leases.state(owner) for owner in {row.owner for row in owned}}
    for row in owned:
        state = states[row.owner]
        if state == "alive" or (state == "silent" and not row.is_active):
            continue
        # A process of another machine that lives after all writes what waits itself.
        spill = Spill(home_folder("runs") / row.id)
        if state == "dead" and not spill.is_empty:
            store.record_spill(row.id, spill, owner=row.owner)
            row = store.run(row.id)
            if not row.is_active:
                continue
        where = f" after step {row.step:,}" if row.step else ""
        message = f"Interrupted{where}: the process that trained it ended. It can be resumed."
        if state == "silent":
            message = (
                f"Interrupted{where}: nothing was heard of the process that trained it. It goes on "
                "by itself if that one comes back, and can be resumed."
            )
        if store.interrupt(row.id, row.owner, message, may_return=state == "silent"):
            interrupted.append(row.id)
            sweep_temporaries(lab_home() / "runs" / row.id)
    locks.remove_dead_owners()
    return interrupted


def sweep(store: Store) -> None:
    """Delete what dead processes left half-written or forgot to delete, anywhere in LAB_HOME."""
    home = lab_home()
    store.leases.remove_ended()
    sweep_temporaries(home, leave=frozenset({"packs"}))
    sweep_packs()
    for row in store.runs(status="completed"):
        for name in ("resume", "before"):  # see lab.training.checkpoint, which brings torch
            (home / "runs" / row.id / f"{name}.safetensors").unlink(missing_ok=True)


def failure_message(error: Exception, row: RunRow) -> str:
    """Returns the sentence for a person; a bug in the lab is also logged."""
    if isinstance(error, LabError):
        return str(error)
    logger.error("run %s failed", row.id, exc_info=error)
    if is_out_of_memory(error):
        return out_of_memory(row.settings.get("batch_size"), row.settings.get("image_size"))
    text = str(error).strip().partition("\n")[0]
    summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"Unexpected error, {summary} (a bug in the lab; the log has the details)."


def _train_to_the_end(
    store: Store,
    run_id: str,
    control: Control,
    engine: Engine,
    recorder: Recorder,
    listener: _GuardedListener,
) -> RunEnded:
    """Trains the run and records how it ended, whatever happened."""
    final_log: list[LogWritten] = []
    try:
        return _train(store, run_id, control, engine, recorder, listener)
    except Cancelled:
        recorder.flush_or_drop()
        status: EndStatus = "paused" if control.wanted == "pause" else "stopped"
        text = f"{status.capitalize()} before training began; it can be resumed."
        ended = _ending(store, run_id, status, text)
    except DiskFullError as error:
        recorder.flush_or_drop()
        ended = _ending(store, run_id, "paused", no_room(error))
    except PlaceLostError as error:
        recorder.flush_or_drop()
        with contextlib.suppress(ResourceError):  # the next `recover` sees to it
            store.write_waiting(run_id)
        recorder.leave()
        store.interrupt(run_id, store.owner(), str(error))
        raise
    except Exception as error:
        recorder.flush_or_drop()  # first: the ending tells how far the run got
        if not isinstance(error, LabError):
            final_log = [LogWritten("error", "".join(traceback.format_exception(error)))]
        ended = _ending(store, run_id, "failed", failure_message(error, _row(store, run_id)))
    except BaseException:
        recorder.flush_or_drop()
        with contextlib.suppress(LabError):  # the next `recover` sees to it
            store.write_waiting(run_id)
            recorder.leave()
            store.interrupt(run_id, store.owner(), "Interrupted from outside; it can be resumed.")
        raise
    _write_ending(run_id, recorder, final_log, ended)
    return ended


def _train(
    store: Store,
    run_id: str,
    control: Control,
    engine: Engine,
    recorder: Recorder,
    listener: _GuardedListener,
) -> RunEnded:
    recorder.report(Progress(0, 0, "Preparing"))
    if control.wanted in ("stop", "pause"):
        raise Cancelled
    row, folder = _row(store, run_id), store.folder(run_id)
    if row.step and folder.is_dir() and not any(folder.iterdir()):
        raise NotFoundError(
            store.elsewhere(row)
            or f"The run cannot go on after step {row.step:,}: the files of its folder {folder} "
            "are gone. Train it again with its settings, or put them back from a backup."
        )
    events = engine(row.config, folder, control, recorder.report)
    try:
        for event in events:
            if isinstance(event, RunEnded):
                if _write_ending(run_id, recorder, [], event):
                    _finish(events)
                return event
            if isinstance(event, SaveReached):
                recorder.flush()
                continue
            recorder.add(event)
            listener.call(event)
    finally:
        _close(events)
    raise RuntimeError("the engine ended without RunEnded")


def _row(store: Store, run_id: str) -> RunRow:
    """The run's row, for which it waits while the database is away."""
    until = time.monotonic() + LONGEST_AWAY
    while True:
        try:
            return store.run(run_id)
        except ResourceError as error:
            if time.monotonic() > until:
                raise
            logger.warning("run %s waits: %s", run_id, error)
            time.sleep(1)


def _finish(events: Iterator[Event]) -> None:
    """Let the engine delete what nobody needs once the ending is recorded."""
    try:
        next(events, None)
    except Exception:
        logger.exception("the engine's last work failed")


def _close(events: Iterator[Event]) -> None:
    """Let a generator run its clean-up now, in this thread, not when it is collected."""
    close = getattr(events, "close", None)
    if close is not None:
        try:
            close()
        except Exception:
            logger.exception("the engine's clean-up failed")


def _write_ending(
    run_id: str, recorder: Recorder, final_log: list[LogWritten], ended: RunEnded
) -> bool:
    """Record the buffered events and the ending; without any room the ending waits in memory.
    Returns whether all is recorded, or waits on the disk."""
    try:
        for line in final_log:
            recorder.add(line)
        recorder.add(ended)
        return True
    except (NotFoundError, RunLostError):
        raise
    except ResourceError as error:
        # The run counts as active until `write_waiting` succeeds, or the next process marks it as
        # interrupted.
        logger.error("run %s: %s", run_id, error)
        recorder.keep_in_memory(ended)
    except Exception:
        logger.exception("the end of run %s could not be recorded", run_id)
    return False


def _deleted(store: Store, run_id: str) -> RunEnded:
    """Ends a run that somebody deleted."""
    logger.warning("run %s was deleted while it trained: its files are removed", run_id)
    store.waiting.pop(run_id, None)
    shutil.rmtree(home_folder("runs") / run_id, ignore_errors=True)
    return RunEnded("stopped", "The run was deleted while it trained.", 0, 0, None, {}, {}, 0.0)


def _ending(store: Store, run_id: str, status: EndStatus, message: str) -> RunEnded:
    """Returns an ending with what is recorded so far, or waits to be."""
    row = _row(store, run_id)
    spill = store.waiting.get(run_id)
    step, epoch, best = (spill.last_step, spill.last_epoch, spill.best) if spill else (None,) * 3
    return RunEnded(
        status=status,
        message=message,
        epochs=epoch.epoch if epoch else store.newest(run_id).epoch or 0,
        steps=step.step if step else row.step,
        best_epoch=best.epoch if best else row.best_epoch,
        best_val=best.val if best else dict(row.best_val),
        test={},
        seconds=step.seconds if step else row.seconds,
        elapsed=epoch.elapsed if epoch else row.elapsed,
    )


class _GuardedListener:
    """A listener whose errors stop the run instead of being taken for the engine's; and those in
    the background, which raise none."""

    def __init__(self, listener: Listener | None, control: Control, background: Listeners) -> None:
        self._listener = listener
        self._background = background
        self._control = control
        self._error: Exception | None = None

    def call(self, event: Event) -> None:
        self._background.put(event)
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:
            self._error = error
            self._listener = None
            self._control.request_stop()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error
