"""The board of a class: what each person has reached, what trains now, and who shares a place.

    a person's result   their completed run with the best validation accuracy: chosen without the
                        test images, so that the test accuracy beside it is honest
    place               1 + the number of persons whose result is better by more than chance: the
                        paired test of `lab.evaluate.compare` on the same test images, in which
                        copies of one photograph count once, with Holm's correction over all pairs

Two persons whose results cannot be told apart share a place, however the figures look. While test
results are hidden there are validation accuracies alone and no places.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from lab.evaluate.compare import CHANCE, holm, mcnemar
from lab.evaluate.leak_free import OwnAnswers
from lab.runs.rows import RunRow

MOST_PLACED = 60
"""More persons than this get no places: their pairs are too many for a page that moves."""

Answers = Callable[[RunRow], OwnAnswers | None]
"""A run's answers to the test images; None where they were not kept."""


@dataclass(frozen=True)
class Standing:
    """One person on the board."""

    person: str
    name: str
    best: RunRow | None
    """The run that counts; None before one is completed."""
    now: RunRow | None
    """What trains, else the first that waits."""
    runs: int
    """Completed ones."""
    place: int | None = None
    """From 1; None without a result that was compared."""
    shared: bool = False
    """Whether somebody else has the same place."""


def standings(runs: Sequence[RunRow], answers: Answers | None) -> list[Standing]:
    """Returns a line for each person with a run, the best first.

    `runs`: of one assignment or data set, in any order. `answers`: None while test results are
    hidden.
    """
    persons = {run.person for run in runs}
    if len(persons) > 1:
        persons.discard("")  # the operator's own runs are no pupil's
    found = [_standing(person, [r for r in runs if r.person == person]) for person in persons]
    if answers is not None:
        found = _placed(found, answers)
    return sorted(found, key=lambda each: _rank(each, by_test=answers is not None))


def _standing(person: str, runs: Sequence[RunRow]) -> Standing:
    done = [run for run in runs if run.status == "completed" and run.best_val_accuracy is not None]
    active = [run for run in runs if run.is_active]
    queued = sorted(
        (run for run in runs if run.status == "queued"), key=lambda run: run.queue_position or 0
    )
    newest = max(runs, key=lambda run: run.created_at)
    return Standing(
        person=person,
        name=newest.person_name,
        best=max(done, key=lambda r: (r.best_val_accuracy or 0, -r.created_at.timestamp()))
        if done
        else None,
        now=next(iter([*active, *queued]), None),
        runs=len(done),
    )


def _rank(each: Standing, *, by_test: bool) -> tuple[object, ...]:
    result = None
    if each.best is not None:
        result = each.best.test_accuracy if by_test else each.best.best_val_accuracy
    return (
        each.place or 1_000_000,
        result is None,
        -(result or 0.0),
        each.name.casefold(),
        each.person,
    )


def _placed(found: Sequence[Standing], answers: Answers) -> list[Standing]:
    known = {
        each.person: own
        for each in found
        if each.best is not None and (own := answers(each.best)) is not None
    }
    if not 1 < len(known) <= MOST_PLACED:
        return list(found)
    places = place_of(tuple(known.values()))
    by_person = dict(zip(known, places, strict=True))
    return [
        replace(each, place=place, shared=places.count(place) > 1)
        if (place := by_person.get(each.person))
        else each
        for each in found
    ]


@functools.lru_cache(maxsize=32)
def place_of(answers: tuple[OwnAnswers, ...]) -> tuple[int, ...]:
    """Returns each one's place: 1 + the number of those that are better by more than chance.
    Answers to other images cannot be told apart from these."""
    pairs = list(combinations(range(len(answers)), 2))
    tests = [_compared(answers[one], answers[other]) for one, other in pairs]
    ahead = [1] * len(answers)
    corrected = holm([1.0 if test is None else test[1] for test in tests])
    for (one, other), test, p in zip(pairs, tests, corrected, strict=True):
        if test is not None and p < CHANCE:
            ahead[other if test[0] > 0 else one] += 1
    return tuple(ahead)


def _compared(one: OwnAnswers, other: OwnAnswers) -> tuple[float, float] | None:
    """The difference of their accuracies and its p-value; None for other images."""
    if one.content_hash != other.content_hash or not np.array_equal(one.indices, other.indices):
        return None
    test = mcnemar(one.right, other.right, one.groups)
    return test.difference, test.p_mid


def of_subject(runs: Iterable[RunRow], *, assignment: str = "", dataset: str = "") -> list[RunRow]:
    """Returns the runs of an assignment, or those on a data set that a person started."""
    if assignment:
        return [run for run in runs if run.assignment == assignment]
    return [run for run in runs if run.dataset == dataset and ":" not in run.origin]
