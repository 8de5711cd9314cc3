"""Trains one run from preparation to end, in the thread that calls `execute`.

However a run ends, exactly one RunEnded is recorded, and the sentence in it is for a person:

    the engine's own RunEnded         as it is
    stop or pause while preparing     stopped, paused
    a LabError                        failed, its sentence
    out of memory                     failed, what to make smaller
    anything else, or no RunEnded     failed, a bug: the traceback goes to the run's log
    Ctrl-C twice, interpreter exit    interrupted (no RunEnded; the exception goes on)
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.config import RunConfig
from lab.data.pack_lock import sweep_packs
from lab.errors import LabError, NotFoundError, ResourceError
from lab.home import lab_home, sweep_temporaries
from lab.progress import Cancelled, Progress, Report
from lab.runs import locks
from lab.runs.recorder import Recorder
from lab.runs.status import ACTIVE
from lab.runs.store import RunRow, Store
from lab.training.control import Control
from lab.training.events import EndStatus, Event, LogWritten, RunEnded, SaveReached
from lab.training.failures import is_out_of_memory, out_of_memory

logger = logging.getLogger(__name__)

Engine = Callable[[RunConfig, Path, Control, Report], Iterator[Event]]
"""(config, the run's folder, its control, progress of the preparation) -> the run's events."""

Resolve = Callable[[RunConfig], str]
"""The device that a config will train on: cpu, cuda or mps."""

Listener = Callable[[Event], None]

_pending_endings: list[tuple[Store, str, RunEnded]] = []  # endings that the disk had no room for
_pending_guard = threading.Lock()


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
    from lab.training.plan import resolve_device

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
    raised at the end. Errors of the run itself are recorded, not raised.
    """
    guarded = _GuardedListener(listener, control)
    with Recorder(store, run_id, control) as recorder:
        ended = _train_to_the_end(store, run_id, control, engine, recorder, guarded)
    guarded.call(ended)
    guarded.raise_error()
    return ended


def end_early(store: Store, run_id: str, status: EndStatus, message: str) -> RunEnded:
    """End a run that never reached the engine."""
    ended = _ending(store, run_id, status, message)
    store.record(run_id, [ended])
    return ended


def write_pending_endings() -> None:
    """Try again to record the endings for which the disk had no room."""
    with _pending_guard:
        endings = _pending_endings.copy()
        _pending_endings.clear()
    for store, run_id, ended in endings:
        _record_ending(store, run_id, ended)


def recover(store: Store) -> list[str]:
    """Mark the runs whose process has died as interrupted; returns their ids.

    Safe at any time and from any number of processes: a run is only touched when the owner that its
    row names no longer holds its lock, which the system frees when a process dies.
    """
    interrupted = []
    for row in store.runs(status=ACTIVE):
        if locks.is_alive(row.owner):
            continue
        where = f" after step {row.step:,}" if row.step else ""
        message = f"Interrupted{where}: the process that trained it ended. It can be resumed."
        if store.interrupt(row.id, row.owner, message):
            interrupted.append(row.id)
            sweep_temporaries(lab_home() / "runs" / row.id)
    locks.remove_dead_owners()
    return interrupted


def sweep(store: Store) -> None:
    """Delete what dead processes left half-written or forgot to delete, anywhere in LAB_HOME."""
    home = lab_home()
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
    except Exception as error:
        recorder.flush_or_drop()  # first: the ending tells how far the run got
        if not isinstance(error, LabError):
            final_log = [LogWritten("error", "".join(traceback.format_exception(error)))]
        ended = _ending(store, run_id, "failed", failure_message(error, store.run(run_id)))
    except BaseException:
        recorder.flush_or_drop()
        store.interrupt(run_id, locks.owner(), "Interrupted from outside; it can be resumed.")
        raise
    _write_ending(store, run_id, recorder, final_log, ended)
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
    row, folder = store.run(run_id), store.folder(run_id)
    if row.step and folder.is_dir() and not any(folder.iterdir()):
        raise NotFoundError(
            f"The run cannot go on after step {row.step:,}: the files of its folder {folder} are "
            "gone. Train it again with its settings, or put them back from a backup."
        )
    events = engine(row.config, folder, control, recorder.report)
    try:
        for event in events:
            if isinstance(event, RunEnded):
                if _write_ending(store, run_id, recorder, [], event):
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
    store: Store, run_id: str, recorder: Recorder, final_log: list[LogWritten], ended: RunEnded
) -> bool:
    """Record the buffered events and the ending; if there is no room, at least the ending. Returns
    whether all is recorded."""
    try:
        for line in final_log:
            recorder.add(line)
        recorder.add(ended)
        return True
    except Exception:
        logger.exception("the end of run %s could not be recorded in full", run_id)
        _record_ending(store, run_id, ended)
        return False


def _record_ending(store: Store, run_id: str, ended: RunEnded) -> None:
    try:
        store.record(run_id, [ended])
    except ResourceError as error:
        # The run counts as active until `write_pending_endings` succeeds, or the next process
        # marks it as interrupted.
        logger.error("run %s: %s", run_id, error)
        with _pending_guard:
            _pending_endings.append((store, run_id, ended))
    except Exception:
        logger.exception("the end of run %s could not be recorded", run_id)


def _ending(store: Store, run_id: str, status: EndStatus, message: str) -> RunEnded:
    """Returns an ending with what is recorded so far."""
    row = store.run(run_id)
    return RunEnded(
        status=status,
        message=message,
        epochs=store.newest(run_id).epoch or 0,
        steps=row.step,
        best_epoch=row.best_epoch,
        best_val=dict(row.best_val),
        test={},
        seconds=row.seconds,
        elapsed=row.elapsed,
    )


class _GuardedListener:
    """A listener whose errors stop the run instead of being taken for the engine's."""

    def __init__(self, listener: Listener | None, control: Control) -> None:
        self._listener = listener
        self._control = control
        self._error: Exception | None = None

    def call(self, event: Event) -> None:
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
