"""One run a person in turn."""

import random
from collections import Counter

import pytest

from lab.people import Person, acting_as
from lab.runs.class_rules import change_rules
from lab.runs.queue_order import Waiting, fair_order
from lab.runs.store import Store

from .fakes import CONFIG, ended, started

ANNA, BEN = (Person(name.lower(), name, "member") for name in ("Anna", "Ben"))


def waiting(text: str, **seconds: float) -> list[Waiting]:
    """Runs such as "a1 b1 a2", asked for in this order."""
    return [Waiting(run, run[0], n, seconds.get(run)) for n, run in enumerate(text.split())]


def test_persons_take_turns_and_each_keeps_an_order_of_their_own() -> None:
    assert fair_order(waiting("a1 a2 a3 b1 c1 b2"), {}) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert fair_order(waiting("a2 a1 a3"), {}) == ["a2", "a1", "a3"]
    assert fair_order([], {}) == []


def test_whoever_was_served_last_waits_for_those_who_were_not() -> None:
    runs = waiting("a1 a2 b1 c1")
    assert fair_order(runs, {"a": 9}) == ["b1", "c1", "a1", "a2"]
    assert fair_order(runs, {"a": 9, "b": 8, "c": 7}) == ["c1", "b1", "a1", "a2"]


def test_short_ones_go_first_within_a_turn_alone() -> None:
    runs = waiting("a1 b1 c1 c2", a1=60, b1=10, c1=5, c2=5)
    assert fair_order(runs, {}, short_first=True) == ["c1", "b1", "a1", "c2"]
    unknown = waiting("a1 b1", b1=1e9)
    assert fair_order(unknown, {}, short_first=True) == ["b1", "a1"]


@pytest.mark.parametrize("seed", range(60))
def test_nobody_waits_for_more_than_one_run_of_each_other_person(seed: int) -> None:
    """Runs come at random and one trains at a time, with and without short ones first."""
    chance = random.Random(seed)
    queue: list[Waiting] = []
    served: dict[str, float] = {}
    passed: dict[str, Counter[str]] = {}  # since each person's turn began, by who trained
    for now in range(120):
        for _ in range(chance.choice([0, 0, 1, 1, 2, 4])):
            person = chance.choice("aaaabbcdef")
            if not any(run.person == person for run in queue):
                passed[person] = Counter()
            length = chance.choice([None, chance.random() * 100])
            queue.append(Waiting(f"{person}{now}.{len(queue)}", person, now, length))
        order = fair_order(queue, served, short_first=bool(seed % 2))
        assert sorted(order) == sorted(run.run for run in queue)
        if not order:
            continue
        run = next(run for run in queue if run.run == order[0])
        assert run == next(r for r in queue if r.person == run.person)
        queue.remove(run)
        served[run.person] = now + 0.5
        passed[run.person] = Counter()
        for other, counted in passed.items():
            if any(r.person == other for r in queue) and other != run.person:
                counted[run.person] += 1
                assert counted[run.person] <= 1, (seed, now, other)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_told_is_the_order_served(seed: int) -> None:
    chance = random.Random(seed)
    queue = [Waiting(str(n), chance.choice("abcd"), n, chance.random()) for n in range(12)]
    told, served, now = fair_order(queue, {}, short_first=True), {}, 100.0
    for expected in told:
        assert fair_order(queue, served, short_first=True)[0] == expected
        run = next(run for run in queue if run.run == expected)
        queue.remove(run)
        now += 1
        served[run.person] = now


def names(runs: Store) -> list[str]:
    rows = runs.queued()
    assert [row.queue_position for row in rows] == list(range(1, len(rows) + 1))
    return [row.name for row in rows]


def add(runs: Store, person: Person, *named: str) -> list[str]:
    with acting_as(person):
        return [runs.create_run(CONFIG, name=name) for name in named]


def test_the_store_serves_persons_in_turn(runs: Store) -> None:
    a1, _, a3 = add(runs, ANNA, "a1", "a2", "a3")
    add(runs, BEN, "b1", "b2")
    assert names(runs) == ["a1", "b1", "a2", "b2", "a3"]
    with acting_as(ANNA):
        runs.move(a3, -2)
    assert names(runs) == ["a3", "b1", "a1", "b2", "a2"]
    assert runs.claim(a3)
    assert names(runs) == ["b1", "a1", "b2", "a2"]
    runs.record(a3, [started(), ended("completed")])
    add(runs, Person("c", "Cem", "member"), "c1")
    assert names(runs) == ["b1", "a1", "c1", "b2", "a2"]
    runs.remove(a1)
    assert names(runs) == ["b1", "a2", "c1", "b2"]


def test_short_runs_go_first_where_the_teacher_says_so(runs: Store) -> None:
    (a1,), (b1,) = add(runs, ANNA, "a1"), add(runs, BEN, "b1")
    runs.set_device(a1, "cpu", expected_seconds=600)
    change_rules(runs.database, short_first=True)
    runs.set_device(b1, "cpu", expected_seconds=5)
    assert names(runs) == ["b1", "a1"]
    assert runs.run(b1).expected_seconds == 5
