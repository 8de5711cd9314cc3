"""Runs that start from others in the store and the queue; notes, star, baseline, a changed rate."""

import time

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, StateError
from lab.runs.queue import queue as process_queue
from lab.runs.store import RATE, Store
from lab.runs.writing import change_status
from lab.training.events import RateChanged
from lab.training.plan import resolve
from tests.tiny_data import make_tiny_pack

from .fakes import CONFIG, ended, started, step

TINY = {"architecture": "sign-cnn", "batch_size": 16, "device": "cpu"}


def test_a_run_goes_on_from_another_and_its_curve_with_it(runs: Store) -> None:
    """Beside an uninterrupted one: steps, smoothed curve, epochs, result and the looks at the
    test."""
    config = RunConfig(dataset=make_tiny_pack(), epochs=5, **TINY)
    queue = process_queue()
    whole = queue.submit(config)
    first = queue.submit(config.changed(epochs=3))
    assert queue.wait(first, 60).can_go_on
    more = queue.submit(resolve(config.changed(start_from=first)))
    child, wanted = queue.wait(more, 60), runs.run(whole)
    assert (child.status, child.parent, child.parent_epoch) == ("completed", first, 3)
    assert (child.step, child.epoch, child.best_epoch) == (wanted.step, 5, wanted.best_epoch)
    for column in ("loss", "loss_smoothed"):
        both = [*runs.steps(first)[column], *runs.steps(more)[column]]
        assert both == pytest.approx(list(runs.steps(whole)[column]), rel=1e-12)
    assert [*runs.epochs(first).epoch, *runs.epochs(more).epoch] == [1, 2, 3, 4, 5]
    assert child.test == wanted.test
    assert (wanted.test_looks, child.test_looks) == (1, 2)
    assert [row.id for row in runs.children(first)] == [more]
    assert runs.runs(search=first)[0].id == more
    runs.delete(first)
    assert runs.run(more).parent == first


def test_a_rate_is_changed_once_and_recorded(runs: Store) -> None:
    config = RunConfig(dataset=make_tiny_pack(), epochs=2000, **TINY)
    queue = process_queue()
    run_id = queue.submit(config)
    until = time.monotonic() + 60
    while not runs.run(run_id).step and time.monotonic() < until:
        time.sleep(0.01)
    runs.request_rate(run_id, 2e-4)
    while not runs.run(run_id).rate_changes and time.monotonic() < until:
        time.sleep(0.01)
    queue.stop(run_id)
    row = queue.wait(run_id, 60)
    ((at, rate),) = row.rate_changes
    assert rate == 2e-4
    steps = runs.steps(run_id)
    assert set(steps.learning_rate[steps.step < at]) == {1e-3}
    assert steps.learning_rate[steps.step >= at] == pytest.approx(2e-4, rel=1e-12)
    assert any("changed by hand" in line.text for line in runs.log(run_id))
    with pytest.raises(StateError, match="only running runs can be given another learning rate"):
        runs.request_rate(run_id, 1e-3)


def test_a_wish_for_a_rate_is_read_once(runs: Store, run_id: str) -> None:
    runs.record(run_id, [started()])
    with pytest.raises(ConfigError, match="learning_rate is 11"):
        runs.request_rate(run_id, 11.0)
    runs.request_rate(run_id, 0.01)
    assert runs.record(run_id, [step(1)]) == RATE
    assert runs.take_rate(run_id) == 0.01
    assert runs.take_rate(run_id) is None
    assert runs.requested(run_id) is None
    runs.record(run_id, [RateChanged(step=2, epoch=1, learning_rate=0.01)])
    runs.request_rate(run_id, 0.02)
    runs.request(run_id, "stop")
    assert runs.requested(run_id) == "stop"
    assert runs.run(run_id).rate_changes == ((2, 0.01),)


def test_one_run_at_most_is_the_baseline(runs: Store) -> None:
    one, two = (runs.create_run(CONFIG, status="completed") for _ in range(2))
    assert runs.baseline() is None
    runs.set_baseline(one)
    runs.set_baseline(two)
    assert runs.baseline() is not None
    assert [row.id for row in runs.runs() if row.is_baseline] == [two]
    runs.set_baseline(None)
    assert runs.baseline() is None


def test_notes_and_a_star(runs: Store, run_id: str) -> None:
    runs.set_notes(run_id, "  Why: the Dense head\nof document 000.  ")
    runs.set_star(run_id, True)
    row = runs.run(run_id)
    assert (row.notes, row.starred) == ("Why: the Dense head\nof document 000.", True)
    assert [r.id for r in runs.runs(search="dense head")] == [run_id]
    with pytest.raises(ConfigError, match="at most 4,000 characters"):
        runs.set_notes(run_id, "x" * 4001)


def test_a_rate_that_was_recorded_and_then_not_saved_is_forgotten_by_a_resume(
    runs: Store, run_id: str
) -> None:
    changes = [RateChanged(2, 1, 1e-4), RateChanged(4, 1, 1e-5)]
    runs.record(run_id, [started(), step(1), changes[0], step(2), step(3), changes[1]])
    assert runs.run(run_id).rate_changes == ((2, 1e-4), (4, 1e-5))
    for saved_at, kept in ((3, 2), (2, 1), (1, 1), (0, 0)):
        runs.record(run_id, [ended("stopped")])
        runs.enqueue(run_id)
        with runs.database.write() as connection:
            change_status(connection, run_id, "preparing")
        runs.record(run_id, [started(resumed_from_step=saved_at)])
        assert len(runs.run(run_id).rate_changes) == kept
