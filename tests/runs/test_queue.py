import contextlib
import functools
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, DataError, DiskFullError, NotFoundError, ResourceError
from lab.progress import Cancelled
from lab.runs import locks, worker
from lab.runs.executors import Place
from lab.runs.executors.local import LocalExecutor
from lab.runs.queue import Queue, shutdown_queues
from lab.runs.queue import queue as process_queue
from lab.runs.rows import RunRow
from lab.runs.spill import Spill
from lab.runs.store import Store
from lab.runs.worker import end_early, lab_engine
from lab.training.events import Event

from .fakes import CONFIG, FakeEngine, started, step

StartQueue = Callable[..., Queue]


def wait_until(runs: Store, run_id: str, holds: Callable[[RunRow], bool]) -> RunRow:
    end = time.monotonic() + 60
    while not holds(row := runs.run(run_id)):
        assert time.monotonic() < end, f"did not happen: {row}"
        time.sleep(0.01)
    return row


def test_a_run_trains_in_a_thread_with_its_name(start_queue: StartQueue, runs: Store) -> None:
    engine = FakeEngine()
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG, name="first")
    row = queue.wait(run_id, 10)
    assert (row.status, row.name, row.step) == ("completed", "first", 10)
    assert row.owner == ""
    assert row.queue_position is None
    assert engine.trained == [(run_id, f"trainer-{run_id}")]
    assert engine.finished_cleanly.is_set()  # behind the recorded ending
    assert len(runs.steps(run_id)) == 10
    assert runs.folder(run_id).is_dir()


def test_a_run_is_waited_for_until_its_trainer_has_tidied_up(
    start_queue: StartQueue, runs: Store
) -> None:
    tidy, quick = threading.Event(), FakeEngine()

    def engine(*given: Any) -> Iterator[Event]:
        yield from quick(*given)
        tidy.wait(60)

    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    wait_until(runs, run_id, lambda row: row.status == "completed")
    with pytest.raises(TimeoutError, match=r"is still tidied up after 0\.1 s"):
        queue.wait(run_id, 0.1)
    tidy.set()
    assert queue.wait(run_id, 10).status == "completed"


def test_runs_train_one_after_the_other_in_the_order_of_the_line(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine(hold_at=1)
    queue = start_queue(engine)
    first = queue.submit(CONFIG)
    assert engine.held.wait(60)
    a, b, c, d = (queue.submit(CONFIG) for _ in range(4))
    assert runs.run(a).status == "queued"
    assert [r.id for r in runs.runs(status=("running", "preparing"))] == [first]
    queue.move(c, -2)
    queue.remove(b)
    queue.move(d, -1)
    engine.release.set()
    for run_id in (a, c, d):
        assert queue.wait(run_id, 10).status == "completed"
    assert [run_id for run_id, _ in engine.trained] == [first, c, d, a]
    assert queue.wait(b, 10).status == "stopped"


def test_stop_ends_a_run_within_a_step_and_resume_goes_on(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine(hold_at=4)
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    assert engine.held.wait(60)
    queue.stop(run_id)
    row = queue.wait(run_id, 10)
    assert (row.status, row.step, row.requested) == ("stopped", 4, None)
    assert row.message == "stopped after 4 steps"
    queue.resume(run_id)
    row = queue.wait(run_id, 10)
    assert (row.status, row.step, row.revision) == ("completed", 10, 0)
    assert list(runs.steps(run_id).step) == list(range(1, 11))
    with pytest.raises(ConfigError, match="is completed; only paused, stopped, interrupted or"):
        queue.resume(run_id)
    with pytest.raises(ConfigError, match="is completed; only"):
        queue.stop(run_id)


def test_pause_frees_the_device_and_resume_goes_to_the_front(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine(hold_at=3)
    queue = start_queue(engine)
    first = queue.submit(CONFIG)
    assert engine.held.wait(60)
    engine.held.clear()
    second, third = queue.submit(CONFIG), queue.submit(CONFIG)
    queue.pause(first)
    assert queue.wait(first, 10).status == "paused"
    assert engine.held.wait(60)  # the second one trains now
    assert runs.run(second).status == "running"
    queue.resume(first)
    assert [r.id for r in runs.queued()] == [first, third]
    engine.release.set()
    for run_id in (first, second, third):
        assert queue.wait(run_id, 10).status == "completed"
    assert [run_id for run_id, _ in engine.trained] == [first, second, first, third]
    assert list(runs.steps(first).step) == list(range(1, 11))


def test_finish_goes_on_to_the_test_set(start_queue: StartQueue) -> None:
    engine = FakeEngine(hold_at=4)
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    assert engine.held.wait(60)
    queue.finish(run_id)
    row = queue.wait(run_id, 10)
    assert (row.status, row.step, row.test_accuracy) == ("completed", 4, 0.7)
    assert row.progress == 1.0


def test_stop_takes_a_waiting_run_out_of_the_line(start_queue: StartQueue, runs: Store) -> None:
    engine = FakeEngine(hold_at=1)
    queue = start_queue(engine)
    queue.submit(CONFIG)
    assert engine.held.wait(60)
    waiting = queue.submit(CONFIG)
    queue.stop(waiting)
    assert queue.wait(waiting, 1).status == "stopped"
    with pytest.raises(ConfigError, match="is stopped; only preparing or running runs can"):
        queue.pause(waiting)
    with pytest.raises(NotFoundError):
        queue.stop("r-none")


@pytest.mark.parametrize(("wish", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_stop_and_pause_while_preparing(start_queue: StartQueue, wish: str, status: str) -> None:
    preparing = threading.Event()

    def slow_start(config: RunConfig, folder: Any, control: Any, report: Any) -> Iterator[Any]:
        preparing.set()
        while control.wanted == "run":
            threading.Event().wait(0.005)
        raise Cancelled("Decoding was cancelled; nothing was kept.")
        yield

    queue = start_queue(slow_start)
    run_id = queue.submit(CONFIG)
    assert preparing.wait(60)
    assert queue.store.run(run_id).status == "preparing"
    getattr(queue, wish)(run_id)
    row = queue.wait(run_id, 10)
    assert row.status == status
    assert row.message == f"{status.capitalize()} before training began; it can be resumed."


def test_a_stop_before_the_engine_is_reached_is_honoured(
    start_queue: StartQueue, runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the claim and the first event nobody listens to Control yet; the store remembers."""
    claim = Store.claim

    def claim_and_stop(self: Store, run_id: str, **options: Any) -> bool:
        claimed = claim(self, run_id, **options)
        self.request(run_id, "stop")
        return claimed

    monkeypatch.setattr(Store, "claim", claim_and_stop)
    engine = FakeEngine()
    queue = start_queue(engine)
    assert queue.wait(queue.submit(CONFIG), 10).status == "stopped"
    assert engine.trained == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DataError("The data set 'x' is not here."), r"^The data set 'x' is not here\.$"),
        (MemoryError(), "^Out of memory with batch size 32 and images of the data set's size"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "^Out of memory with batch size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "^Out of memory"),
        (RuntimeError("shapes differ\nmore"), r"^Unexpected error, RuntimeError: shapes differ \("),
        (KeyError(), r"^Unexpected error, KeyError \(a bug in the lab; the log has the details"),
    ],
)
def test_an_error_fails_the_run_and_the_worker_goes_on(
    start_queue: StartQueue, runs: Store, error: Exception, sentence: str
) -> None:
    good = FakeEngine()

    def engine(config: RunConfig, *rest: Any) -> Iterator[Any]:
        """Fails at once, as make_plan does, or at step 7, as fit does."""
        if config.seed == 1:
            raise error
        return (
            good(config, *rest)
            if config.seed == 0
            else FakeEngine(fail_at=7, error=error)(config, *rest)
        )

    queue = start_queue(engine)
    early, late, fine = (queue.submit(CONFIG.changed(seed=seed)) for seed in (1, 2, 0))
    for run_id, steps in ((early, 0), (late, 6)):
        row = queue.wait(run_id, 10)
        assert row.status == "failed"
        assert re.search(sentence, row.message)
        assert (row.step, len(runs.steps(run_id))) == (steps, steps)
        assert row.best_epoch == (1 if steps else None)
        errors = [entry.text for entry in runs.log(run_id) if entry.level == "error"]
        assert errors[-1] == row.message
        assert any("Traceback" in text for text in errors) == (not isinstance(error, DataError))
    assert queue.wait(fine, 10).status == "completed"


def test_a_failed_run_can_be_resumed(start_queue: StartQueue, runs: Store) -> None:
    engine = FakeEngine(fail_at=7, error=ResourceError("The disk is full."))
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    assert queue.wait(run_id, 10).status == "failed"
    engine.error = None
    queue.resume(run_id)
    assert queue.wait(run_id, 10).status == "completed"
    assert list(runs.steps(run_id).step) == list(range(1, 11))
    assert list(runs.epochs(run_id).epoch) == [1, 2]


def test_an_engine_that_forgets_run_ended_has_a_bug(start_queue: StartQueue) -> None:
    def forgetful(*_: Any) -> Iterator[Any]:
        yield started()
        yield step(1)

    queue = start_queue(forgetful)
    row = queue.wait(queue.submit(CONFIG), 10)
    assert row.status == "failed"
    assert "the engine ended without RunEnded (a bug" in row.message
    assert row.step == 1


def test_an_engine_that_leaves_by_system_exit_interrupts_its_run_only(
    start_queue: StartQueue,
) -> None:
    queue = start_queue(FakeEngine(fail_at=2, error=SystemExit(1)))
    assert queue.wait(queue.submit(CONFIG), 10).status == "interrupted"
    queue.executor = LocalExecutor(FakeEngine(), lambda _: "cpu")
    assert queue.wait(queue.submit(CONFIG), 10).status == "completed"


def test_a_full_disk_while_recording_pauses_the_run_until_there_is_room(
    start_queue: StartQueue, runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, usage, has_room = Store.record, shutil.disk_usage, threading.Event()

    def full(self: Store, run_id: str, events: Any, **options: Any) -> Any:
        if any(getattr(e, "step", 0) == 5 for e in events) and not has_room.is_set():
            raise DiskFullError("The disk is full: free some space.")
        return record(self, run_id, events, **options)

    def free(_: object) -> Any:
        return usage("/")._replace(total=10**9, free=10**9 if has_room.is_set() else 10**6)

    monkeypatch.setattr(Store, "record", full)
    monkeypatch.setattr(worker.shutil, "disk_usage", free)
    monkeypatch.setattr(worker, "ROOM_SECONDS", 0.0)
    engine = FakeEngine()
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    row = queue.wait(run_id, 10)
    assert row.status == "paused"
    assert row.message.startswith("The disk is full: free some space. With the lab open it goes on")
    assert engine.finished_cleanly.is_set()  # behind the recorded ending
    assert worker.resume_with_room(runs) == []
    has_room.set()
    while runs.waiting:  # the recorder has its last words
        time.sleep(0.01)
    assert worker.resume_with_room(runs) == [run_id]
    queue._wake.set()
    assert queue.wait(run_id, 10).status == "completed"
    assert list(runs.steps(run_id).step) == list(range(1, 11))


def test_an_ending_that_finds_no_room_is_written_when_there_is_some(
    start_queue: StartQueue, runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = threading.Event()
    tried = threading.Event()
    record = Store.record

    def full(self: Store, run_id: str, events: Any, **options: Any) -> Any:
        if any(getattr(e, "step", 0) == 10 or hasattr(e, "status") for e in events):
            tried.set()
            if not room.is_set():
                raise DiskFullError("The disk is full: free some space.")
        return record(self, run_id, events, **options)

    def checked(method: Any) -> Any:
        def no_room(*arguments: Any, **options: Any) -> Any:
            if not room.is_set():
                raise DiskFullError("The disk is full: free some space.")
            return method(*arguments, **options)

        return no_room

    def in_database() -> str:
        with runs.database.read() as connection:
            return connection.exec_driver_sql("SELECT status FROM runs").scalar_one()

    monkeypatch.setattr(Store, "record", full)
    monkeypatch.setattr(Store, "record_spill", checked(Store.record_spill))
    monkeypatch.setattr(Spill, "append", checked(Spill.append))
    queue = start_queue(FakeEngine(), poll_seconds=0.02)
    run_id = queue.submit(CONFIG)
    assert tried.wait(60)
    row = queue.wait(run_id, 10)  # pages are told at once, though nothing can be written
    assert row.status == "paused"
    assert row.message.startswith("The disk is full: free some space.")
    assert in_database() == "running"
    with pytest.raises(DiskFullError):
        queue.resume(run_id)
    room.set()
    for _ in range(500):
        if in_database() != "running":
            break
        time.sleep(0.01)
    assert in_database() == "paused"
    assert list(runs.steps(run_id).step) == list(range(1, 10))


def test_auto_is_resolved_in_the_background(start_queue: StartQueue, runs: Store) -> None:
    seen: list[str] = []

    def resolve(config: RunConfig) -> str:
        seen.append(threading.current_thread().name)
        return "cpu"

    queue = start_queue(FakeEngine(), resolve=resolve)
    run_id = queue.submit(CONFIG.changed(device="auto"))
    assert queue.wait(run_id, 10).status == "completed"
    assert seen == ["run-dispatcher"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("device is 'cuda', which this machine does not have."), "^device is 'cuda'"),
        (OSError("libtorch is gone"), "^Unexpected error, OSError: libtorch is gone"),
    ],
)
def test_a_device_that_is_not_there_fails_the_run(
    start_queue: StartQueue, error: Exception, sentence: str
) -> None:
    def resolve(config: RunConfig) -> str:
        raise error

    queue = start_queue(FakeEngine(), resolve=resolve)
    row = queue.wait(queue.submit(CONFIG.changed(device="auto")), 10)
    assert row.status == "failed"
    assert re.search(sentence, row.message)


def test_a_run_that_is_removed_while_its_device_is_sought_holds_nobody_up(
    start_queue: StartQueue, runs: Store
) -> None:
    def resolve(config: RunConfig) -> str:
        if config.seed == 1:
            runs.delete(first)
        return "cpu"

    first = runs.create_run(CONFIG.changed(device="auto", seed=1))
    second = runs.create_run(CONFIG.changed(device="auto"))
    queue = start_queue(FakeEngine(), resolve=resolve)
    assert queue.wait(second, 10).status == "completed"
    with pytest.raises(NotFoundError):
        runs.run(first)


def test_each_device_has_its_own_worker(start_queue: StartQueue, runs: Store) -> None:
    engine = FakeEngine(hold_at=2)
    queue = start_queue(engine)
    on_cpu = queue.submit(CONFIG)
    on_cuda = queue.submit(CONFIG.changed(device="cuda"))
    for run_id in (on_cpu, on_cuda):
        wait_until(runs, run_id, lambda row: row.status == "running")
    engine.release.set()
    for run_id in (on_cpu, on_cuda):
        assert queue.wait(run_id, 10).status == "completed"


def test_a_queue_waits_politely_for_another_process_on_its_device(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine()
    queue = start_queue(engine)
    with locks.device_turn("cpu", cancelled_within=lambda _: True, on_wait=lambda: None) as ours:
        assert ours
        run_id = queue.submit(CONFIG)
        row = wait_until(runs, run_id, lambda row: row.progress_text != "")
        assert row.progress_text == "waiting for another process that trains on cpu"
        assert row.status == "queued"
        late = queue.submit(CONFIG)
        queue.move(late, -1)  # the queue can still be changed
    wait_until(runs, late, lambda row: row.status == "completed")
    assert "another process" not in runs.run(run_id).progress_text
    assert queue.wait(run_id, 10).status == "completed"
    assert [r for r, _ in engine.trained] == [late, run_id]


def test_two_queues_share_a_line_and_never_train_at_once(
    start_queue: StartQueue, runs: Store
) -> None:
    training = threading.Semaphore(1)
    together = threading.Event()
    inner = FakeEngine()

    def engine(*arguments: Any) -> Iterator[Any]:
        if not training.acquire(blocking=False):
            together.set()
        try:
            yield from inner(*arguments)
        finally:
            training.release()

    first = start_queue(engine, poll_seconds=0.05)
    second = start_queue(engine, poll_seconds=0.05)
    ids = [queue.submit(CONFIG) for queue in (first, second) * 3]
    for run_id in ids:
        assert first.wait(run_id, 20).status == "completed"
    assert not together.is_set()
    assert [run_id for run_id, _ in inner.trained] == ids  # each once, in the order of the queue


class ThreePlaces(LocalExecutor):
    """Of a cluster, which hands its places out itself."""

    count = 3

    def places(self, device: str) -> tuple[Place, ...]:
        return tuple(Place(f"cluster {device} {number}", device) for number in range(self.count))

    def all_places(self) -> tuple[Place, ...]:
        return self.places("cpu")

    def engine(self, place: Place) -> Any:
        return self._engine

    def turn(self, place: Place, **_: Any) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(True)


def test_a_run_of_several_workers_waits_for_as_many_places_and_nobody_goes_past_it(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine(hold_at=4)
    queue = start_queue(executor=ThreePlaces(engine, lambda _: "cpu"))
    pair, alone = CONFIG.changed(workers=2), CONFIG
    first, second, third = queue.submit(pair), queue.submit(pair), queue.submit(alone)
    text = "Waits until 2 of 3 places are free."
    wait_until(runs, second, lambda row: row.progress_text == text)
    wait_until(runs, first, lambda row: row.status == "running")
    assert runs.run(third).status == "queued"
    queue.stop(first)
    for run_id in (second, third):
        wait_until(runs, run_id, lambda row: row.status == "running")
    users = {run_id for run_id in queue.places().values() if run_id}
    assert users == {second, third}
    engine.release.set()
    assert [queue.wait(each, 10).status for each in (second, third)] == ["completed"] * 2


def test_a_run_that_wants_more_places_than_are_left_says_so(
    start_queue: StartQueue, runs: Store
) -> None:
    executor = ThreePlaces(FakeEngine(), lambda _: "cpu")
    executor.count = 1
    queue = start_queue(executor=executor)
    run_id = queue.submit(CONFIG.changed(workers=2))
    text = "Waits for 2 places; the cluster has 1 now."
    wait_until(runs, run_id, lambda row: row.progress_text == text)


def test_a_run_whose_kind_of_place_has_gone_says_what_it_waits_for(
    start_queue: StartQueue, runs: Store
) -> None:
    executor = ThreePlaces(FakeEngine(), lambda _: "cpu")
    executor.count = 0
    run_id = start_queue(executor=executor).submit(CONFIG)
    text = "Waits until there is a place for cpu."
    wait_until(runs, run_id, lambda row: row.progress_text == text)


def test_a_run_of_several_workers_waits_when_places_have_gone(
    start_queue: StartQueue, runs: Store
) -> None:
    def resolve(config: RunConfig) -> str:
        raise ConfigError("workers is 2, and the cluster has 1 place for cpu.")

    run_id = runs.create_run(CONFIG.changed(workers=2, device="auto"), status="preparing")
    runs.record(run_id, [started(), step(1)])
    runs.interrupt(run_id, runs.owner(), "The machine died.")
    start_queue(executor=ThreePlaces(FakeEngine(), resolve)).resume(run_id)
    text = "Waits for its 2 places. workers is 2, and the cluster has 1 place for cpu."
    wait_until(runs, run_id, lambda row: row.progress_text == text)
    assert runs.run(run_id).status == "queued"


def test_a_run_that_is_ours_and_that_nobody_trains_is_taken_back(
    start_queue: StartQueue, runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database took a claim and its answer was lost, or was away when a place was lost."""
    monkeypatch.setattr("lab.runs.queue.UNTRAINED_SECONDS", 0.1)
    claimed, stopped = (runs.create_run(CONFIG) for _ in range(2))
    for run_id in (claimed, stopped):
        assert runs.claim(run_id)
    runs.request(stopped, "stop")
    queue = start_queue(FakeEngine(), poll_seconds=0.05)
    wait_until(runs, stopped, lambda row: row.status == "interrupted")
    assert queue.wait(claimed, 10).status == "completed"
    assert runs.run(stopped).status == "interrupted"
    assert any("out of reach" in line.text for line in runs.log(claimed))


def test_shutdown_pauses_what_trains_and_leaves_the_line(
    start_queue: StartQueue, runs: Store
) -> None:
    engine = FakeEngine(hold_at=4)
    queue = start_queue(engine)
    training = queue.submit(CONFIG)
    assert engine.held.wait(60)
    waiting = queue.submit(CONFIG)
    queue.shutdown()
    assert (runs.run(training).status, runs.run(training).step) == ("paused", 4)
    assert runs.run(waiting).status == "queued"
    assert not [t for t in threading.enumerate() if t.name.startswith(("trainer", "run-disp"))]
    engine.release.set()
    later = start_queue(engine)  # another server: it goes on with the queue by itself
    assert later.wait(waiting, 10).status == "completed"
    assert runs.run(training).status == "paused"


def test_there_is_one_queue_a_process(runs: Store) -> None:
    first = process_queue()
    assert process_queue() is first
    assert first.store is runs
    assert isinstance(first.executor, LocalExecutor)
    engine = first.executor.engine(Place("cpu", "cpu"))
    assert isinstance(engine, functools.partial)
    assert engine.args == (lab_engine, "cpu")
    first.start()
    shutdown_queues()
    assert process_queue() is not first


def test_a_run_is_found_by_a_queue_that_nobody_told(start_queue: StartQueue, runs: Store) -> None:
    queue = start_queue(FakeEngine(), poll_seconds=0.02)
    run_id = runs.create_run(CONFIG)  # as another process does that dies at once
    assert queue.wait(run_id, 10).status == "completed"


def test_a_queued_run_that_fails_leaves_no_gap_in_the_line(runs: Store) -> None:
    first, *others = (runs.create_run(CONFIG) for _ in range(3))
    end_early(runs, first, "failed", "There is no such device.")
    assert [(r.id, r.queue_position) for r in runs.queued()] == list(
        zip(others, (1, 2), strict=True)
    )


def test_waiting_has_an_end(start_queue: StartQueue) -> None:
    engine = FakeEngine(hold_at=1)
    queue = start_queue(engine)
    run_id = queue.submit(CONFIG)
    assert engine.held.wait(60)
    with pytest.raises(TimeoutError, match=rf"run {run_id} is still running after 0\.05 s"):
        queue.wait(run_id, 0.05)
