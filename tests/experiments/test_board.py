"""Who stands where on the board of a class."""

from itertools import count

import numpy as np
import pytest

from lab.config import RunConfig
from lab.evaluate.leak_free import OwnAnswers
from lab.experiments.board import of_subject, place_of, standings
from lab.people import Person, acting_as
from lab.runs.rows import RunRow
from lab.runs.store import Store, store
from lab.training.events import RunEnded
from tests.runs.fakes import started

N = 200


@pytest.fixture
def runs(lab_home: object) -> Store:
    return store()


def answers(wrong: int, *, first: int = 0, content: str = "x", groups: int = N) -> OwnAnswers:
    right = np.ones(N, dtype=bool)
    right[first : first + wrong] = False
    return OwnAnswers(content, np.arange(N), right, np.arange(N) % groups)


def test_whoever_cannot_be_told_apart_shares_a_place() -> None:
    assert place_of((answers(10), answers(12), answers(80))) == (1, 1, 3)
    assert place_of((answers(80), answers(10))) == (2, 1)
    assert place_of((answers(10), answers(10))) == (1, 1)


def test_copies_of_one_photograph_count_once() -> None:
    """Right on 12 images more: by more than chance, unless they are copies of two photographs."""
    better, worse = answers(0), answers(12)
    assert place_of((better, worse)) == (1, 2)
    groups = np.arange(N)
    groups[:12] = np.arange(12) % 2
    one, other = (OwnAnswers("x", a.indices, a.right, groups) for a in (better, worse))
    assert place_of((one, other)) == (1, 1)


def test_answers_to_other_images_are_not_compared() -> None:
    assert place_of((answers(0), answers(90, content="y"))) == (1, 1)


def test_many_comparisons_need_a_larger_difference() -> None:
    """Two of ten differ by an amount that alone would be called real."""
    alone = (answers(0), answers(6))
    assert place_of(alone) == (1, 2)
    assert set(place_of((*alone, *(answers(3, first=20 * i) for i in range(1, 9))))) == {1}


numbers = count()


def completed(runs: Store, name: str, val: float, test: float) -> RunRow:
    with acting_as(Person(name.lower(), name, "member") if name else Person("", "", "admin")):
        run_id = runs.create_run(RunConfig(), name=f"{name} {next(numbers)}", status="preparing")
    end = RunEnded(
        status="completed", message="", epochs=1, steps=5, best_epoch=1,
        best_val={"accuracy": val}, test={"accuracy": test}, seconds=1.0,
    )  # fmt: skip
    runs.record(run_id, [started(), end])
    return runs.run(run_id)


def test_of_each_person_counts_the_run_with_the_best_validation(runs: Store) -> None:
    chosen = completed(runs, "Ada", val=0.9, test=0.5)
    completed(runs, "Ada", val=0.8, test=0.99)  # better on the test images, which choose nothing
    completed(runs, "Ben", val=0.7, test=0.7)
    completed(runs, "", val=1.0, test=1.0)  # the teacher's own
    with acting_as(Person("cem", "Cem", "member")):
        waits = runs.create_run(RunConfig())
    wrong = {chosen.id: 100}
    ben, ada, cem = standings(runs.runs(), lambda run: answers(wrong.get(run.id, 60)))
    assert (ada.name, ada.best, ada.runs, ada.place) == ("Ada", chosen, 2, 2)
    assert (ben.name, ben.place, ben.shared) == ("Ben", 1, False)
    assert (cem.best, cem.place, cem.now and cem.now.id) == (None, None, waits)


def test_while_test_results_are_hidden_the_board_goes_by_validation(runs: Store) -> None:
    completed(runs, "Ada", val=0.9, test=0.5)
    completed(runs, "Ben", val=0.7, test=0.7)
    ada, ben = standings(runs.runs(), None)
    assert (ada.name, ada.place, ben.name, ben.place) == ("Ada", None, "Ben", None)


def test_a_board_is_of_an_assignment_or_of_a_data_set(runs: Store) -> None:
    mine = runs.create_run(RunConfig(), assignment="a-1")
    runs.create_run(RunConfig(), origin="recipe:x:quick")
    free = runs.create_run(RunConfig())
    found = runs.runs()
    assert [run.id for run in of_subject(found, assignment="a-1")] == [mine]
    by_data = of_subject(found, dataset=RunConfig().dataset)
    assert {run.id for run in by_data} == {mine, free}
