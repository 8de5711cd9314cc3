"""A run belongs to who started it: others may look (or not), and change nothing of it."""

from collections.abc import Callable

import pytest

from lab import home
from lab.errors import NotAllowedError, NotFoundError, StateError
from lab.experiments.sweeps.table import create_sweep, delete_sweep, set_sweep_status, sweep, sweeps
from lab.people import Person, acting_as
from lab.runs.assignments import create_assignment
from lab.runs.queue import Queue
from lab.runs.store import Store

from .fakes import CONFIG

MINA = Person("p-mina", "미나", "member")
TOM = Person("p-tom", "Tom", "member")


@pytest.fixture
def minas(runs: Store) -> str:
    with acting_as(MINA):
        return runs.create_run(CONFIG)


CHANGES: dict[str, Callable[[Queue, str], object]] = {
    "stop": Queue.stop,
    "pause": Queue.pause,
    "finish": Queue.finish,
    "resume": Queue.resume,
    "move": lambda queue, run: queue.move(run, 1),
    "remove": Queue.remove,
    "rename": lambda queue, run: queue.store.rename(run, "x"),
    "tag": lambda queue, run: queue.store.set_tag([run], "x"),
    "notes": lambda queue, run: queue.store.set_notes(run, "x"),
    "star": lambda queue, run: queue.store.set_star(run, True),
    "baseline": lambda queue, run: queue.store.set_baseline(run),
    "forecast": lambda queue, run: queue.store.set_forecast(run, "{}"),
    "rate": lambda queue, run: queue.store.request_rate(run, 0.1),
    "delete": lambda queue, run: queue.store.delete(run),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_others_change_nothing(
    change: Callable[[Queue, str], object], runs: Store, minas: str
) -> None:
    before = runs.run(minas)
    with acting_as(TOM), pytest.raises(NotAllowedError, match=f"Run {minas} belongs to '미나'"):
        change(Queue(runs), minas)
    assert runs.run(minas) == before


def test_the_owner_and_the_admin_do(runs: Store, minas: str) -> None:
    with acting_as(MINA):
        runs.rename(minas, "mine")
        runs.request(minas, "stop")
    assert (runs.run(minas).name, runs.run(minas).status) == ("mine", "stopped")
    runs.delete(minas)
    with pytest.raises(NotFoundError):
        runs.run(minas)


def test_several_runs_are_changed_together_or_not_at_all(runs: Store, minas: str) -> None:
    with acting_as(TOM):
        own = runs.create_run(CONFIG)
        with pytest.raises(NotAllowedError):
            runs.set_tag([own, minas], "ours")
    assert {row.tag for row in runs.runs()} == {""}


def test_a_run_tells_whose_it_is_and_is_found_by_it(runs: Store, minas: str) -> None:
    own = runs.create_run(CONFIG)
    assert (runs.run(minas).person, runs.run(minas).person_name) == ("p-mina", "미나")
    assert (runs.run(own).person, runs.run(own).person_name) == ("", "")
    assert [row.id for row in runs.runs(search="미나")] == [minas]


def test_hidden_runs_are_not_there_for_others(
    runs: Store, minas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting_as(TOM):
        assert runs.run(minas).id == minas
        monkeypatch.setenv("LAB_OTHERS", "hidden")
        assert (runs.runs(), runs.queued()) == ([], [])
        with pytest.raises(NotFoundError):
            runs.run(minas)
    with acting_as(MINA):
        assert [row.id for row in runs.runs()] == [minas]
    assert [row.id for row in runs.queued()] == [minas]  # the queue's thread is the operator


def test_a_hidden_run_is_opened_by_its_id_only_where_it_was_handed_out(
    runs: Store, minas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a start of another run (POST /api/runs), or for the features of a map."""
    folder = runs.folder(minas)
    with acting_as(TOM):
        assert not home.run_is_hidden(folder)
        monkeypatch.setenv("LAB_OTHERS", "hidden")
        assert home.run_is_hidden(folder)
    with acting_as(MINA):
        assert not home.run_is_hidden(folder)
    assert not home.run_is_hidden(folder)  # the thread that trains is the operator
    config = CONFIG.changed(start_from=minas)
    create_assignment(runs.database, title="Go on", text="", config=config, open=[])
    with acting_as(TOM):
        assert not home.run_is_hidden(folder)


def test_the_rate_of_an_assignment_is_changed_only_where_it_is_open(runs: Store) -> None:
    """Else the board would compare runs at rates of their own."""
    for open_, allowed in ((["epochs"], False), (["epochs", "learning_rate"], True)):
        given = create_assignment(runs.database, title="A", text="", config=CONFIG, open=open_)
        with acting_as(MINA):
            run = runs.create_run(CONFIG, assignment=given.id, status="running")
            if allowed:
                runs.request_rate(run, 0.1)
            else:
                with pytest.raises(
                    StateError, match="Learning rate is fixed in the assignment “A”"
                ):
                    runs.request_rate(run, 0.1)
        assert runs.take_rate(run) == (0.1 if allowed else None)
        runs.request_rate(run, 0.2)  # the teacher
        assert runs.take_rate(run) == 0.2


def test_everybody_has_a_baseline_of_their_own_else_the_teachers(runs: Store, minas: str) -> None:
    teachers = runs.create_run(CONFIG)
    runs.set_baseline(teachers)

    def baseline(person: Person) -> str | None:
        with acting_as(person):
            row = runs.baseline()
            return row and row.id

    with acting_as(MINA):
        runs.set_baseline(minas)
    assert (baseline(MINA), baseline(TOM)) == (minas, teachers)
    with acting_as(MINA):
        runs.set_baseline(None)
    assert baseline(MINA) == teachers


def test_a_sweep_belongs_to_who_started_it(runs: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with acting_as(MINA):
        sweep_id = create_sweep(runs, name="lr", config_json="{}")
    with acting_as(TOM):
        with pytest.raises(NotAllowedError, match=f"Sweep {sweep_id} belongs to '미나'"):
            set_sweep_status(runs, sweep_id, "stopped")
        with pytest.raises(NotAllowedError):
            delete_sweep(runs, sweep_id)
        monkeypatch.setenv("LAB_OTHERS", "hidden")
        assert sweeps(runs) == []
    assert sweep(runs, sweep_id).owner == MINA
    set_sweep_status(runs, sweep_id, "stopped")
