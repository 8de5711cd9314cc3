"""Background jobs: downloads, imports, maps over many layers, exports.

    start(...)  ->  waiting  ->  working  ->  done | failed | cancelled

- `work` runs in a daemon thread named "job-<id>", two at once; the others wait in order, behind
  those of people who have fewer at work. It never calls st.*; it reports progress through its
  Report and checks its Cancel between small pieces.
- A page holds a job id and polls `get`. It only ever sees a JobView: a frozen snapshot.
- Everything shared is behind one lock that is held for a few lines, never while `work` runs.
- Jobs live as long as the process: a server restart forgets them (a download resumes from its part
  file when it is started again). The process ends when they have noticed that they are cancelled.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lab.people import acting_as, current_person, may_see, require_owner
from lab.process import trim_memory
from lab.progress import Cancel, Progress, Rate, Report

logger = logging.getLogger(__name__)

State = Literal["waiting", "working", "done", "failed", "cancelled"]
Work = Callable[[Report, Cancel], Any]

MAX_WORKING = 2
"""Jobs that work at the same time; the others wait."""
MAX_ENDED_JOBS = 50
"""Ended jobs that are remembered; older ones are forgotten."""
TRIM_AFTER = 1.0
"""Seconds of work after which freed memory goes back to the system: pictures and networks are
large, and a job's thread leaves holes of its own. A shorter job is not worth the milliseconds."""


@dataclass(frozen=True, slots=True)
class JobView:
    """The state of a job at one moment; plain values only."""

    id: str
    kind: str
    title: str
    key: str | None
    state: State
    cancelling: bool
    """Whether Cancel was requested and the work has not stopped yet."""
    progress: Progress | None
    """The newest progress; None until the work reports some."""
    units_per_second: float | None
    """The rate over the last seconds, in `progress.unit`; None when not known yet."""
    seconds_left: float | None
    """At the current rate; None when the rate or the total is unknown."""
    message: str
    """The sentence for the person when the job failed or was cancelled; empty otherwise."""
    result: Any
    """What `work` returned (a picklable plain value); None until done."""
    created: float
    started: float | None
    ended: float | None
    """Unix times in seconds."""

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "working")


class _Job:
    """A job as it changes; every field is read and written under `_lock`."""

    def __init__(self, kind: str, title: str, work: Work, key: str | None) -> None:
        self.id = uuid.uuid4().hex[:10]
        self.person = current_person()  # whoever starts a job answers for what it does
        self.kind, self.title, self.work, self.key = kind, title, work, key
        self.state: State = "waiting"
        self.cancel_asked = threading.Event()
        self.has_ended = threading.Event()
        self.progress: Progress | None = None
        self.rate = Rate()
        self.message = ""
        self.result: Any = None
        self.created = time.time()
        self.started: float | None = None
        self.ended: float | None = None

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "working")

    def view(self) -> JobView:
        per_second = left = None
        if self.state == "working" and self.progress is not None:
            per_second = self.rate.per_second(now=time.monotonic())
            left = self.progress.seconds_left(per_second)
        return JobView(
            id=self.id,
            kind=self.kind,
            title=self.title,
            key=self.key,
            state=self.state,
            cancelling=self.active and self.cancel_asked.is_set(),
            progress=self.progress,
            units_per_second=per_second,
            seconds_left=left,
            message=self.message,
            result=self.result,
            created=self.created,
            started=self.started,
            ended=self.ended,
        )


_lock = threading.Lock()
_jobs: dict[str, _Job] = {}  # in the order of `start`


def start(kind: str, title: str, work: Work, *, key: str | None = None) -> JobView:
    """Run `work(report, cancel)` in the background.

    A job with the same `key` that is still active is returned instead of starting a second one, so
    two tabs (or two presses) share one download. `work` raises a LabError for what a person can
    understand and returns a picklable plain value.
    """
    with _lock:
        if key is not None:
            for job in _jobs.values():
                if job.key == key and job.active:
                    return job.view()
        job = _Job(kind, title, work, key)
        _jobs[job.id] = job
        _forget_old_jobs()
        _start_waiting_jobs()
        return job.view()


def get(job_id: str) -> JobView | None:
    """The job's state now; None when unknown (ended long ago, or before a restart)."""
    with _lock:
        job = _jobs.get(job_id)
        return job.view() if job else None


def wait(job_id: str, *, timeout: float) -> JobView | None:
    """The job's state once it has ended, or after `timeout` seconds; None when unknown."""
    with _lock:
        job = _jobs.get(job_id)
    if job is None:
        return None
    job.has_ended.wait(timeout)
    with _lock:
        return job.view()


def jobs(kind: str | None = None) -> list[JobView]:
    """All known jobs that the current person may see, newest first."""
    with _lock:
        return [
            job.view()
            for job in reversed(_jobs.values())
            if kind in (None, job.kind) and may_see(job.person.id)
        ]


def latest(key: str) -> JobView | None:
    """The newest job with this key, active or ended, so that a second tab finds the first one's."""
    with _lock:
        return next((job.view() for job in reversed(_jobs.values()) if job.key == key), None)


def cancel(job_id: str) -> JobView | None:
    """Cancel a job: at once when it waits, at its next check of Cancel when it works.

    Raises NotAllowedError for somebody else's.
    """
    with _lock:
        job = _jobs.get(job_id)
        if job is None:
            return None
        require_owner(job.person.id, job.person.name, f"“{job.title}”")
        _ask_to_end(job)
        return job.view()


def shutdown(timeout: float = 10.0) -> None:
    """Cancel all jobs and wait, so many seconds at most, for those at work.

    Registered for the end of the process: a thread that still runs inside torch when Python has
    ended aborts the process.
    """
    with _lock:
        active = [job for job in _jobs.values() if job.active]
        for job in active:
            _ask_to_end(job)
    deadline = time.monotonic() + timeout
    for job in active:
        job.has_ended.wait(max(0.0, deadline - time.monotonic()))


atexit.register(shutdown)


def _ask_to_end(job: _Job) -> None:
    """Cancel a job that has not ended. Called with the lock held."""
    if job.active:
        job.cancel_asked.set()
    if job.state == "waiting":
        _end(job, "cancelled", message=f"{job.title}: cancelled before it began.")


def _start_waiting_jobs() -> None:
    """Start waiting jobs while fewer than MAX_WORKING work, so that nobody's many jobs keep the
    others away. Called with the lock held."""
    while True:
        working = [job.person.id for job in _jobs.values() if job.state == "working"]
        waiting = [job for job in _jobs.values() if job.state == "waiting"]
        if not waiting or len(working) >= MAX_WORKING:
            return
        job = min(waiting, key=lambda job: working.count(job.person.id))  # of equals the first
        job.state = "working"
        job.started = time.time()
        try:
            threading.Thread(target=_run, args=(job,), name=f"job-{job.id}", daemon=True).start()
        except RuntimeError as error:  # no more threads can be started
            _end(job, "failed", message=f"{job.title} could not start ({error}); try again later.")


def _run(job: _Job) -> None:
    """The body of a job's thread."""

    def report(progress: Progress) -> None:
        with _lock:
            job.progress = progress
            job.rate.add(progress, now=time.monotonic())

    state: State
    try:
        with acting_as(job.person):
            result, state, message = job.work(report, job.cancel_asked.is_set), "done", ""
    except BaseException as error:  # whatever it is, the page must show it
        result, (state, message) = None, _outcome_of(job, error)
    with _lock:
        _end(job, state, message=message, result=result)
        _forget_old_jobs()
        _start_waiting_jobs()
        took = time.time() - (job.started or 0)
    if took > TRIM_AFTER:
        trim_memory()


def _outcome_of(job: _Job, error: BaseException) -> tuple[State, str]:
    """The final state and the message of a job whose work raised `error`."""
    # By name, not by isinstance: when Streamlit re-imports the modules, the work may raise the new
    # LabError while this thread still runs the old module.
    names = {kind.__name__ for kind in type(error).__mro__}
    if "Cancelled" in names:
        return "cancelled", str(error)
    if "LabError" in names:
        return "failed", str(error)
    logger.error("Job %s (%s) failed", job.id, job.title, exc_info=error)
    return "failed", (
        f"{job.title} stopped on an error that the lab did not foresee "
        f"({type(error).__name__}: {error}); the details are in the terminal where the lab runs."
    )


def _end(job: _Job, state: State, *, message: str, result: Any = None) -> None:
    """Record the outcome of a job. Called with the lock held."""
    job.state, job.message, job.result = state, message, result
    job.ended = time.time()
    job.has_ended.set()
    job.work = _no_work  # the closure may hold images or models


def _no_work(report: Report, cancel: Cancel) -> None:
    return None


def _forget_old_jobs() -> None:
    """Forget the oldest ended jobs beyond MAX_ENDED_JOBS. Called with the lock held."""
    ended = [job.id for job in _jobs.values() if not job.active]
    for job_id in ended[: max(0, len(ended) - MAX_ENDED_JOBS)]:
        del _jobs[job_id]
