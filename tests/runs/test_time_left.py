"""The seconds left of a run, against a run whose every cost is known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from lab.runs.recorder import Recorder
from lab.runs.store import Store
from lab.runs.time_left import TimeLeft, seconds_left
from lab.training.control import Control
from lab.training.events import (
    ActivityKind,
    ActivityProgressed,
    EpochDone,
    Event,
    LogWritten,
    ProbeTaken,
    StepDone,
)

from .fakes import ended, epoch, started, step


@dataclass
class Costs:
    """Seconds of each thing in a scripted run of `epochs` epochs of 20 steps of 32 images."""

    epochs: int = 5
    step: float = 0.05
    first_step: float = 0.05
    frozen: float = 0.0
    """Of an image in frozen layers that run once; 0: every step runs them."""
    judge: float = 0.001
    end: float = 0.2
    """Of an epoch: its checkpoint and film strip."""


VAL, TEST, PER_EPOCH = 60, 2000, 20


class Script:
    """A run as `lab.training.fit` tells it, with a clock that goes on as `costs` say."""

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self.now = 0.0
        self.trained = 0.0

    def events(self) -> Iterator[Event]:
        costs, frozen_done = self.costs, 0
        start = started(per_epoch=PER_EPOCH, epochs=costs.epochs)
        yield replace(start, val_samples=VAL, test_samples=TEST)
        kept = bool(costs.frozen)
        total = PER_EPOCH * 32 + VAL
        for number in range(1, costs.epochs + 1):
            for place in range(1, PER_EPOCH + 1):
                if kept and number == 1:
                    for _ in range(4):
                        self.now += 8 * costs.frozen
                        frozen_done += 8
                        yield self.frozen(frozen_done, total, TEST)
                seconds = costs.first_step if number == place == 1 else costs.step
                self.now += seconds
                self.trained += seconds
                done = step((number - 1) * PER_EPOCH + place, per_epoch=PER_EPOCH)
                yield replace(done, seconds=self.trained)
            if kept and number == 1:
                self.now += VAL * costs.frozen
                yield self.frozen(total, total, TEST)
            yield from self.judged("validation", f"Validating epoch {number}", VAL)
            end = epoch(number, per_epoch=PER_EPOCH)
            yield replace(end, seconds=self.trained, elapsed=self.now)
            yield ActivityProgressed("film_strip", "Drawing the film strip", 0, 0, "", 0.0)
            self.now += costs.end
            yield ProbeTaken(number, 8, costs.end)
        yield LogWritten("info", "Testing")
        yield self.activity("test", "Testing the weights of epoch 1", 0, TEST, 0.0)
        if kept:
            for part in range(1, TEST // 100 + 1):
                self.now += 100 * costs.frozen
                yield replace(self.frozen(part * 100, TEST, 0), seconds=part * 100 * costs.frozen)
        yield from self.judged("test", "Testing the weights of epoch 1", TEST)
        yield ended()

    def judged(self, kind: ActivityKind, text: str, total: int) -> Iterator[Event]:
        for done in range(0, total + 1, total // 4):
            yield self.activity(kind, text, done, total, done * self.costs.judge)
            self.now += total // 4 * self.costs.judge if done < total else 0.0

    def frozen(self, done: int, total: int, later: int) -> ActivityProgressed:
        text = "Running the frozen layers once"
        event = self.activity("frozen_layers", text, done, total, done * self.costs.frozen)
        return replace(event, later=later)

    @staticmethod
    def activity(
        kind: ActivityKind, text: str, done: int, total: int, seconds: float
    ) -> ActivityProgressed:
        return ActivityProgressed(kind, text, done, total, "images", seconds)


def estimates(costs: Costs) -> list[tuple[Event, float | None, float]]:
    """After each event: the event, the estimate, and what was truly left."""
    script, left, found = Script(costs), TimeLeft(), []
    for event in script.events():
        left.add(event)
        found.append((event, left.seconds(), script.now))
    return [(event, guess, script.now - now) for event, guess, now in found]


SLOW_FIRST_STEP = Costs(first_step=30.0, step=0.2)
KEPT = Costs(frozen=0.02, step=0.004, judge=0.0002)
FROM_SCRATCH = Costs(step=1.0, judge=0.01)


@pytest.mark.parametrize("costs", [SLOW_FIRST_STEP, KEPT, FROM_SCRATCH], ids=str)
def test_from_the_end_of_the_first_epoch_on_it_is_right(costs: Costs) -> None:
    found = estimates(costs)
    ends = [i for i, (event, _, _) in enumerate(found) if isinstance(event, EpochDone)]
    for event, guess, true in found[ends[0] : -1]:
        assert guess is not None, event
        # Of what was not measured yet there is only the rest of an epoch's end.
        assert guess == pytest.approx(true, rel=0.3, abs=costs.epochs * costs.end + 0.1), event
    for event, guess, true in found[ends[1] : -1]:
        assert guess == pytest.approx(true, rel=0.1, abs=2 * costs.end), event


@pytest.mark.parametrize("costs", [KEPT, SLOW_FIRST_STEP], ids=str)
def test_in_the_first_epoch_it_is_right_as_soon_as_two_steps_are_done(costs: Costs) -> None:
    """Frozen layers that run once make the first epoch slow, and no other."""
    found = estimates(costs)
    second = next(i for i, (e, _, _) in enumerate(found) if isinstance(e, StepDone) and e.step == 2)
    assert all(guess is None for _, guess, _ in found[:second])
    ends = [i for i, (event, _, _) in enumerate(found) if isinstance(event, EpochDone)]
    for event, guess, true in found[second : ends[0]]:
        assert guess is not None, event
        assert guess == pytest.approx(true, rel=0.3), event


def test_the_test_is_in_it_and_counts_down() -> None:
    found = [f for f in estimates(FROM_SCRATCH) if getattr(f[0], "kind", "") == "test"]
    assert [round(guess or 0.0) for _, guess, _ in found] == [20, 20, 15, 10, 5, 0]


def test_early_stopping_leaves_only_the_test() -> None:
    left = TimeLeft()
    for event in Script(FROM_SCRATCH).events():
        left.add(event)
        if isinstance(event, EpochDone) and event.epoch == 2:
            break
    assert (left.seconds() or 0.0) > 60
    left.add(Script.activity("test", "Testing the weights of epoch 2", 0, TEST, 0.0))
    assert left.seconds() == pytest.approx(20)


def test_finishing_leaves_a_validation_and_the_test() -> None:
    left = TimeLeft()
    for event in Script(FROM_SCRATCH).events():
        left.add(event)
        if isinstance(event, StepDone) and event.epoch == 2:
            break
    assert left.seconds(finishing=True) == pytest.approx((TEST + VAL) * 0.01, rel=0.05)


def test_the_next_phase_is_unknown_until_its_steps_have_a_pace() -> None:
    left = TimeLeft()
    for event in Script(FROM_SCRATCH).events():
        if event == next(iter(Script(FROM_SCRATCH).events())):
            event = replace(event, phase_starts=(1, 3))  # type: ignore[type-var]
        left.add(event)
        if isinstance(event, StepDone):
            assert (left.seconds() is None) == (event.epoch < 3 or event.step == 41)


def test_the_sum() -> None:
    assert (
        seconds_left(
            steps=10,
            step_seconds=2.0,
            frozen_images=100,
            frozen_seconds=0.5,
            judged_images=7,
            judged_seconds=1.0,
            epochs=3,
            epoch_seconds=4.0,
        )
        == 20 + 50 + 7 + 12
    )


def test_the_row_says_what_goes_on_and_what_is_left(runs: Store, run_id: str) -> None:
    recorder = Recorder(runs, run_id, Control())

    def shown() -> tuple[str, int, int, str, float | None]:
        recorder.flush()
        row = runs.run(run_id)
        return (row.activity, row.activity_done, row.activity_total, row.activity_unit,
                row.activity_seconds_left)  # fmt: skip

    recorder.add(started(per_epoch=PER_EPOCH))
    frozen = Script(KEPT).frozen(40, 100, 10)
    recorder.add(frozen)
    assert shown() == ("Running the frozen layers once", 40, 100, "images", pytest.approx(1.2))
    assert runs.run(run_id).progress_text == ("Running the frozen layers once · 40 of 100 images")
    recorder.add(step(1, per_epoch=PER_EPOCH))  # they go on between the steps
    assert shown()[1] == 40
    recorder.add(step(2, per_epoch=PER_EPOCH))
    assert runs.run(run_id).seconds_left is None  # written with the next batch
    recorder.add(replace(frozen, done=100, seconds=2.0))
    assert shown() == ("", 0, 0, "", None)
    assert (runs.run(run_id).seconds_left or 0.0) > 0
    recorder.add(Script.activity("validation", "Validating epoch 1", 15, 60, 10.0))
    assert shown() == ("Validating epoch 1", 15, 60, "images", 30.0)
    recorder.add(step(3, per_epoch=PER_EPOCH))
    assert shown() == ("", 0, 0, "", None)
    recorder.add(Script.activity("test", "Testing the weights of epoch 1", 15, 60, 10.0))
    assert runs.run(run_id).is_active
    recorder.add(ended("stopped", steps=3))
    assert shown() == ("", 0, 0, "", None)
    assert runs.run(run_id).seconds_left is None
