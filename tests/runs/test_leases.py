"""Two machines on one database: who lives, who was only silent, and where a run's files are.

The other machine is its rows; tests/runs/test_postgresql.py has real processes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lab.api.run_texts import progress_values
from lab.cli.main import main
from lab.errors import NotFoundError, RunLostError
from lab.home import home_id
from lab.runs import leases, locks, schema
from lab.runs.database import upsert
from lab.runs.queue import Queue, recover, run_in_foreground
from lab.runs.recorder import Recorder
from lab.runs.spill import NAME
from lab.runs.store import Store
from lab.training.checkpoint import CheckpointMetadata, read_weights
from lab.training.control import Control

from .fakes import CONFIG, FakeEngine, ended, started, step
from .test_nothing_lost import locked
from .test_writing import until

FAR = "far0wner"


def set_lease(runs: Store, *, seconds: float, suspected: float | None = None) -> None:
    """Another machine says that it lives for so many seconds from now."""
    now = runs.database.clock
    lease = {
        "home": "far-home",
        "host": "far",
        "pid": 7,
        "alive_until": now + seconds,
        "suspected_at": None if suspected is None else now - suspected,
    }
    with runs.database.write() as connection:
        upsert(connection, schema.owners, {"id": FAR}, lease)
        place = {"host": "far", "path": "/srv/lab"}
        upsert(connection, schema.homes, {"id": "far-home"}, place)


def of_far(runs: Store, **values: object) -> str:
    """A run that the other machine trains."""
    run_id = runs.create_run(CONFIG, status="preparing")
    runs._update(run_id, owner=FAR, home="far-home", **values)
    return run_id


def test_a_lease_that_ran_out_is_suspected_first(runs: Store) -> None:
    set_lease(runs, seconds=20)
    run_id = of_far(runs)
    assert (runs.leases.state(FAR), recover(runs)) == ("alive", [])
    set_lease(runs, seconds=-1)
    assert (runs.leases.state(FAR), recover(runs)) == ("alive", [])  # only suspected
    set_lease(runs, seconds=20)
    set_lease(runs, seconds=-1, suspected=leases.SUSPECT_SECONDS + 1)
    assert runs.leases.state(FAR) == "silent"
    assert recover(runs) == [run_id]
    row = runs.run(run_id)
    assert (row.status, row.owner) == ("interrupted", FAR)  # which may come back
    assert "nothing was heard of the process" in row.message
    assert recover(runs) == []


def test_a_lease_stays_in_its_home_when_another_one_is_chosen(
    runs: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    runs.owner()
    home, elsewhere = home_id(), tmp_path / "elsewhere"
    monkeypatch.setenv("LAB_HOME", str(elsewhere))
    with runs.database.write() as connection:
        connection.execute(schema.owners.update().values(home="", alive_until=0.0))

    def lease_home() -> str:
        with runs.database.read() as connection:
            return str(connection.execute(sa.select(schema.owners.c.home)).scalar())

    until(lambda: lease_home() != "")
    assert lease_home() == home
    assert not elsewhere.exists()


def test_a_renewed_lease_is_above_suspicion(runs: Store) -> None:
    mine = runs.owner()
    with runs.database.write() as connection:
        connection.execute(schema.owners.update().values(alive_until=0.0, suspected_at=1.0))
    runs.leases._renew(mine, home_id())
    with runs.database.read() as connection:
        lease = connection.execute(sa.select(schema.owners, runs.database.clock)).one()
    assert (lease.id, lease.suspected_at, lease.home) == (mine, None, home_id())
    assert lease.alive_until - lease[-1] == pytest.approx(leases.LEASE_SECONDS, abs=2)


def test_a_process_renews_its_lease_by_itself(runs: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    runs.owner()

    def until_when() -> float:
        with runs.database.read() as connection:
            return float(connection.execute(sa.select(schema.owners.c.alive_until)).scalar_one())

    first = until_when()
    until(lambda: until_when() > first)


def test_a_clock_that_jumps_kills_nobody(runs: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_lease(runs, seconds=20)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert runs.leases.state(FAR) == "alive"


def test_on_its_own_machine_a_process_that_ended_is_dead_at_once(runs: Store) -> None:
    run_id = runs.create_run(CONFIG, status="preparing")
    owner = runs.run(run_id).owner
    assert runs.leases.state(owner) == "alive"
    locks.release_owners()  # as the end of the process does
    assert recover(runs) == [run_id]
    assert runs.run(run_id).owner == ""


def test_a_process_that_sleeps_on_its_own_machine_is_alive(runs: Store) -> None:
    owner = runs.owner()
    with runs.database.write() as connection:
        connection.execute(schema.owners.update().values(alive_until=0.0, suspected_at=1.0))
    assert runs.leases.state(owner) == "alive"


@contextlib.contextmanager
def training(runs: Store) -> Iterator[tuple[str, FakeEngine, list[object]]]:
    """A run that trains in this process and holds before its step 8."""
    engine, rows = FakeEngine(hold_at=8), []
    run_id = runs.create_run(CONFIG)
    thread = threading.Thread(
        target=lambda: rows.append(
            run_in_foreground(run_id, engine=engine, resolve=lambda _: "cpu", runs=runs)
        )
    )
    thread.start()
    assert engine.held.wait(60)
    try:
        yield run_id, engine, rows
    finally:
        engine.release.set()
        thread.join(60)


def test_a_run_taken_for_dead_is_taken_back(runs: Store) -> None:
    with training(runs) as (run_id, engine, rows):
        owner = runs.run(run_id).owner
        assert runs.interrupt(run_id, owner, "Nothing was heard.", may_return=True)
        until(lambda: runs.run(run_id).status == "running")  # also during a long step
        assert (runs.run(run_id).message, runs.run(run_id).ended_at) == ("", None)
        engine.release.set()
    assert [row.status for row in rows] == ["completed"]
    assert list(runs.steps(run_id).step) == list(range(1, 11))
    assert "was only silent for long" in runs.log(run_id)[-2].text


@pytest.mark.parametrize("by", ["claim", "queue", "stop"])
def test_a_run_that_somebody_else_has_by_now_is_left_to_them(
    runs: Store, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    with training(runs) as (run_id, engine, _):
        until(lambda: runs.run(run_id).step == 7)
        owner = runs.run(run_id).owner
        with runs.database.write() as connection:  # at once, or it is taken back in between
            status = {"claim": "preparing", "queue": "queued", "stop": "stopped"}[by]
            changes = {"status": status, "owner": FAR if by == "claim" else ""}
            connection.execute(schema.runs.update().values(**changes))
        before = runs.run(run_id)
        until(lambda: engine.finished_cleanly.is_set())  # without being released: it stops
    assert owner != runs.run(run_id).owner
    assert runs.run(run_id) == before
    assert runs.folder(run_id).is_dir()
    assert not runs.waiting
    assert "it was taken for dead" in caplog.text


def test_what_a_lost_process_recorded_is_refused(runs: Store) -> None:
    run_id = of_far(runs)
    with pytest.raises(RunLostError, match=f"Run {run_id} is preparing and no longer trains here"):
        runs.record(run_id, [started(), step(1)], owner=runs.owner())
    with pytest.raises(NotFoundError):
        runs.record("r-none", [started()], owner=runs.owner())
    assert len(runs.steps(run_id)) == 0


def test_what_waited_on_a_machine_that_crashed_is_recorded_when_it_is_back(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away, another machine took the process for dead, and it did die."""
    from lab.runs import recorder as recorder_module

    for name in ("PATIENCE", "RETRY_PATIENCE"):
        monkeypatch.setattr(recorder_module, name, 0.01)
    recorder = Recorder(runs, run_id, Control())
    recorder.add(started())
    recorder.add(step(1))
    with locked(runs):
        recorder.add(step(2))
        recorder.flush()
    assert runs.interrupt(run_id, runs.run(run_id).owner, "Nothing was heard.", may_return=True)
    locks.release_owners()
    assert recover(runs) == [run_id]
    row = runs.run(run_id)
    assert (row.status, row.owner, row.step) == ("interrupted", "", 2)
    assert list(runs.steps(run_id).step) == [1, 2]
    assert not (runs.folder(run_id) / NAME).exists()


def test_a_run_trains_where_it_was_submitted(
    runs: Store, start_queue: Callable[..., Queue]
) -> None:
    far = runs.create_run(CONFIG)
    runs._update(far, home="far-home")
    queue = start_queue(FakeEngine())
    assert queue.wait(queue.submit(CONFIG), 20).status == "completed"
    assert [row.id for row in runs.queued()] == [far]
    assert (runs.queued(here=True), runs.run(far).device) == ([], "cpu")


def test_a_run_that_waits_for_a_machine_that_is_gone_says_so(
    runs: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = runs.create_run(CONFIG)
    runs._update(run_id, home="far-home")
    assert (
        runs.run(run_id).activity == "Waits for a machine nobody knows, not seen for a day or more"
    )
    set_lease(runs, seconds=20)
    assert runs.run(run_id).activity == ""
    set_lease(runs, seconds=-270)
    sentence = "Waits for machine far (/srv/lab), not seen for 5 minutes"
    assert [row.activity for row in runs.queued()] == [sentence]
    assert progress_values(runs.run(run_id)) == {"share": 0.0, "text": sentence}
    assert main(["runs"]) == 0
    assert "queued: Waits" in capsys.readouterr().out


def test_files_on_another_machine_are_told_in_one_sentence(runs: Store) -> None:
    set_lease(runs, seconds=20)
    run_id = of_far(runs)
    runs.record(run_id, [started(), step(1), ended("stopped", steps=5)])
    sentence = f"The files of run {run_id} are on far, in /srv/lab/runs/{run_id}, and not on this"
    assert sentence in runs.elsewhere(runs.run(run_id))
    with pytest.raises(NotFoundError, match=sentence):
        CheckpointMetadata.read(runs.folder(run_id))
    with pytest.raises(NotFoundError, match=sentence):
        read_weights(runs.folder(run_id), "best")
    with pytest.raises(NotFoundError, match=sentence):
        run_in_foreground(run_id, engine=FakeEngine(), resolve=lambda _: "cpu", runs=runs)
    assert runs.run(run_id).status == "stopped"
    (runs.folder(run_id) / "copied").touch()
    assert runs.elsewhere(runs.run(run_id)) == ""
    assert runs.claim(run_id, statuses=["stopped"])
    assert runs.run(run_id).home == home_id()
