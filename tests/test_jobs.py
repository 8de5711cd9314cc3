"""Background jobs: states, order, one per key, cancel, sentences, estimates."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab import jobs
from lab.errors import DataError
from lab.people import Person, acting_as
from lab.progress import Cancel, Cancelled, Progress, Report, check_cancel


@pytest.fixture(autouse=True)
def no_jobs_left_over() -> Iterator[None]:
    yield
    for job in jobs.jobs():
        jobs.cancel(job.id)
    wait_until(lambda: not any(job.active for job in jobs.jobs()))
    with jobs._lock:
        jobs._jobs.clear()


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def ended(job_id: str) -> jobs.JobView:
    wait_until(lambda: not seen(job_id).active)
    return seen(job_id)


def seen(job_id: str) -> jobs.JobView:
    job = jobs.get(job_id)
    assert job is not None
    return job


def until_cancelled(report: Report, cancel: Cancel) -> None:
    while True:
        check_cancel(cancel, "The work")
        time.sleep(0.005)


def test_a_job_works_reports_and_is_done() -> None:
    go_on = threading.Event()
    names: list[str] = []

    def work(report: Report, cancel: Cancel) -> dict[str, int]:
        names.append(threading.current_thread().name)
        assert threading.current_thread().daemon
        report(Progress(3, 10, "Reading", "images"))
        go_on.wait(60)
        return {"images": 10}

    job = jobs.start("import", "Importing pets", work)
    wait_until(lambda: seen(job.id).progress is not None)
    working = seen(job.id)
    assert (working.state, working.kind, working.title) == ("working", "import", "Importing pets")
    assert working.progress == Progress(3, 10, "Reading", "images")
    go_on.set()
    done = ended(job.id)
    assert (done.state, done.result, done.message) == ("done", {"images": 10}, "")
    assert done.started is not None
    assert done.ended is not None
    assert done.created <= done.started <= done.ended
    assert names == [f"job-{job.id}"]
    assert pickle.loads(pickle.dumps(done)) == done  # plain values only


def test_two_at_once_and_the_others_wait_in_order() -> None:
    order: list[int] = []
    gates = [threading.Event() for _ in range(4)]

    def numbered(n: int) -> jobs.Work:
        def work(report: Report, cancel: Cancel) -> None:
            order.append(n)
            gates[n].wait(60)

        return work

    started = [jobs.start("export", f"Export {n}", numbered(n)) for n in range(4)]
    wait_until(lambda: len(order) == 2)
    assert [seen(job.id).state for job in started] == ["working", "working", "waiting", "waiting"]
    gates[1].set()
    wait_until(lambda: len(order) == 3)
    assert seen(started[3].id).state == "waiting"
    for gate in gates:
        gate.set()
    assert [ended(job.id).state for job in started] == ["done"] * 4
    assert sorted(order[:2]) == [0, 1]
    assert order[2:] == [2, 3]


def test_one_persons_many_jobs_keep_nobody_away() -> None:
    gates = [threading.Event() for _ in range(5)]

    def gated(n: int) -> jobs.Work:
        return lambda report, cancel: gates[n].wait(5)

    with acting_as(Person("p-tom", "Tom", "member")):
        many = [jobs.start("export", f"Export {n}", gated(n)) for n in range(4)]
    with acting_as(Person("p-mina", "Mina", "member")):
        one = jobs.start("export", "Hers", gated(4))
    gates[0].set()
    wait_until(lambda: seen(one.id).state == "working")
    states = [seen(job.id).state for job in many]
    assert states == ["done", "working", "waiting", "waiting"]
    for gate in gates:
        gate.set()
    assert [ended(job.id).state for job in many] == ["done"] * 4


def test_the_same_key_is_not_started_twice_while_active() -> None:
    first = jobs.start("download", "Signs", until_cancelled, key="download:signs")
    assert jobs.start("download", "Signs", until_cancelled, key="download:signs").id == first.id
    other = jobs.start("download", "Cats", until_cancelled, key="download:cats")
    assert other.id != first.id
    newest = jobs.latest("download:signs")
    assert newest is not None
    assert newest.id == first.id
    jobs.cancel(first.id)
    ended(first.id)
    again = jobs.start("download", "Signs", until_cancelled, key="download:signs")
    assert again.id != first.id
    newest = jobs.latest("download:signs")
    assert newest is not None
    assert newest.id == again.id


def test_cancel_reaches_the_work_and_a_waiting_job_at_once() -> None:
    working = [jobs.start("download", f"Download {n}", until_cancelled) for n in range(2)]
    waiting = jobs.start("download", "Download 3", until_cancelled)
    cancelled = jobs.cancel(waiting.id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert cancelled.started is None
    cancelled = jobs.cancel(working[0].id)
    assert cancelled is not None
    assert cancelled.cancelling or cancelled.state == "cancelled"
    stopped = ended(working[0].id)
    assert (stopped.state, stopped.cancelling) == ("cancelled", False)
    assert stopped.message == "The work was cancelled; nothing was kept."
    assert seen(working[1].id).state == "working"
    assert jobs.cancel("no-such-job") is None


def test_work_that_ends_before_it_notices_cancel_is_done() -> None:
    go_on = threading.Event()
    job = jobs.start("export", "Export", lambda report, cancel: go_on.wait(60))
    jobs.cancel(job.id)
    go_on.set()
    assert ended(job.id).state == "done"


def test_the_end_of_the_process_cancels_jobs_and_waits_for_those_at_work() -> None:
    working = [jobs.start("download", f"Download {n}", until_cancelled) for n in range(2)]
    waiting = jobs.start("download", "Download 3", until_cancelled)
    jobs.shutdown()
    assert {seen(job.id).state for job in (*working, waiting)} == {"cancelled"}
    assert seen(waiting.id).started is None

    code = """
import time
from lab import jobs
def work(report, cancel):
    while not cancel():
        time.sleep(0.01)
    print("noticed")
jobs.start("download", "Download", work)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "noticed\n"), done.stderr


def test_a_lab_error_is_shown_as_it_stands() -> None:
    def work(report: Report, cancel: Cancel) -> None:
        raise DataError("No connection to example.org.")

    failed = ended(jobs.start("download", "Download", work).id)
    assert (failed.state, failed.message) == ("failed", "No connection to example.org.")


def test_an_unexpected_error_is_one_honest_sentence_and_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(report: Report, cancel: Cancel) -> None:
        raise KeyError("label")

    with caplog.at_level(logging.ERROR, logger="lab.jobs"):
        failed = ended(jobs.start("import", "Importing pets", work).id)
    assert failed.state == "failed"
    assert failed.message.startswith(
        "Importing pets stopped on an error that the lab did not foresee"
    )
    assert "KeyError: 'label'" in failed.message
    assert "\n" not in failed.message
    assert "Traceback" in caplog.text


def test_errors_of_reimported_modules_are_recognised() -> None:
    LabErrorAgain = type("LabError", (Exception,), {})
    CancelledAgain = type("Cancelled", (LabErrorAgain,), {})

    def failing(report: Report, cancel: Cancel) -> None:
        raise LabErrorAgain("One sentence.")

    def cancelled(report: Report, cancel: Cancel) -> None:
        raise CancelledAgain("Given up.")

    failed = ended(jobs.start("x", "X", failing).id)
    assert (failed.state, failed.message) == ("failed", "One sentence.")
    stopped = ended(jobs.start("x", "X", cancelled).id)
    assert (stopped.state, stopped.message) == ("cancelled", "Given up.")
    assert not isinstance(CancelledAgain("x"), Cancelled)


def test_finished_jobs_are_kept_up_to_a_limit_and_listed_newest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "MAX_ENDED_JOBS", 3)
    ids = [jobs.start("a" if n % 2 else "b", str(n), lambda r, c: None).id for n in range(6)]
    wait_until(lambda: len(jobs.jobs()) == 3 and not any(job.active for job in jobs.jobs()))
    assert [job.title for job in jobs.jobs()] == ["5", "4", "3"]
    assert [job.title for job in jobs.jobs("a")] == ["5", "3"]
    assert jobs.get(ids[0]) is None


def test_many_threads_start_and_poll() -> None:
    count = 20
    calls: list[int] = []

    def person(n: int) -> None:
        job = jobs.start("x", str(n), lambda report, cancel: calls.append(n), key=f"k{n % 5}")
        while (view := jobs.get(job.id)) is not None and view.active:
            time.sleep(0.001)

    people = [threading.Thread(target=person, args=(n,)) for n in range(count)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join(60)
        assert not thread.is_alive()
    assert 5 <= len(calls) <= count


def test_bytes_a_second_and_seconds_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock[0])
    go_on = threading.Event()

    def work(report: Report, cancel: Cancel) -> None:
        report(Progress(0, 4_000_000, "Downloading", "bytes"))
        clock[0] += 2.0
        report(Progress(1_000_000, 4_000_000, "Downloading", "bytes"))
        go_on.wait(60)

    job = jobs.start("download", "Download", work)
    for _ in range(500):
        progress = seen(job.id).progress
        if progress is not None and progress.done:
            break
        time.sleep(0.005)
    view = seen(job.id)
    go_on.set()
    assert view.units_per_second == pytest.approx(500_000)
    assert view.seconds_left == pytest.approx(6.0)
    monkeypatch.undo()
    finished = ended(job.id)
    assert finished.seconds_left is None


def test_waiting_for_a_job_ends_with_it_or_with_patience() -> None:
    go_on = threading.Event()
    job = jobs.start("view", "Reading", lambda report, cancel: go_on.wait(60))
    waited = jobs.wait(job.id, timeout=0.01)
    assert waited is not None
    assert waited.state == "working"
    assert waited.result is None
    go_on.set()
    done = jobs.wait(job.id, timeout=60)
    assert done is not None
    assert (done.state, done.result) == ("done", True)
    assert jobs.wait(job.id, timeout=0) == done  # it is over: nobody waits
    assert jobs.wait("no-such-job", timeout=60) is None


def test_whoever_waits_hears_of_failure_and_of_cancel() -> None:
    def failing(report: Report, cancel: Cancel) -> None:
        raise DataError("One sentence.")

    failed = jobs.wait(jobs.start("view", "Reading", failing).id, timeout=60)
    assert failed is not None
    assert (failed.state, failed.message) == ("failed", "One sentence.")
    working = [jobs.start("view", f"Reading {n}", until_cancelled) for n in range(2)]
    waiting = jobs.start("view", "Reading 3", until_cancelled)
    for job in (waiting, *working):
        jobs.cancel(job.id)
        ended_ = jobs.wait(job.id, timeout=60)
        assert ended_ is not None
        assert ended_.state == "cancelled"


def test_waiting_holds_nobody_else_up() -> None:
    job = jobs.start("view", "Reading", until_cancelled)
    waiter = threading.Thread(target=jobs.wait, args=(job.id,), kwargs={"timeout": 10})
    waiter.start()
    assert seen(job.id).active  # the lock is free
    quick = jobs.start("view", "Quick", lambda report, cancel: 1)
    assert ended(quick.id).result == 1
    jobs.cancel(job.id)
    waiter.join(60)
    assert not waiter.is_alive()
