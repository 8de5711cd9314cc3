import time

import numpy as np
import pytest
import sqlalchemy as sa

from lab.runs import history
from lab.runs.history import NAME, ThinnedHistory, thin, thinned_curve, thinned_steps
from lab.runs.reading import _STEP_FIELDS
from lab.runs.recorder import Recorder
from lab.runs.rows import Curve, StepColumns
from lab.runs.store import Store
from lab.training.control import Control

from .fakes import CONFIG, ended, epoch, started, step
from .test_writing import until

CURVES = ("loss", "loss_smoothed", "accuracy", "accuracy_smoothed", "learning_rate")


def fill(runs: Store, losses: np.ndarray, *, best_epoch: int = 0, per_epoch: int = 1000) -> str:
    run_id = runs.create_run(CONFIG, status="preparing")
    events: list = [started(per_epoch=per_epoch)]
    for number, loss in enumerate(losses.tolist(), start=1):
        events.append(step(number, per_epoch=per_epoch, loss=loss))
        if number % per_epoch == 0:
            done = number // per_epoch
            events.append(epoch(done, per_epoch=per_epoch, is_best=done == best_epoch))
    runs.record(run_id, events)
    return run_id


def column(steps: StepColumns, name: str) -> np.ndarray:
    return steps.metrics[name] if name in steps.metrics else getattr(steps, name)


@pytest.mark.parametrize("count", [0, 1, 2, 50, 2000])
def test_a_short_history_is_whole(runs: Store, count: int) -> None:
    run_id = fill(runs, np.linspace(2, 1, count))
    shown, all_steps = thinned_steps(runs, run_id), runs.steps(run_id)
    for name in _STEP_FIELDS:
        np.testing.assert_array_equal(column(shown, name), column(all_steps, name))


@pytest.mark.parametrize("points", [50, 500, 2000])
def test_a_long_history_keeps_what_matters(runs: Store, points: int) -> None:
    random = np.random.default_rng(0)
    losses = np.exp(-np.arange(6000) / 4000) + random.normal(0, 0.05, 6000)
    losses[3500] = 9.0  # one spike
    losses[3501] = -9.0
    run_id = fill(runs, losses, best_epoch=4)
    shown, all_steps = thinned_steps(runs, run_id, points=points), runs.steps(run_id)
    assert 0.8 * points <= len(shown) <= points
    assert shown.step[0] == 1
    assert shown.step[-1] == 6000
    assert (np.diff(shown.step) > 0).all()
    assert 4000 in shown.step  # the last step of the best epoch
    for name in CURVES:
        assert column(shown, name).min() == column(all_steps, name).min(), name
        assert column(shown, name).max() == column(all_steps, name).max(), name
    for name in _STEP_FIELDS:  # rows stay rows
        expected = column(all_steps, name)[shown.step - 1]
        np.testing.assert_array_equal(column(shown, name), expected)
    # Nowhere a large hole: the shape is kept along the whole run.
    assert np.diff(shown.step).max() < 6000 / points * 30


def test_gaps_and_infinities_are_no_shape(runs: Store) -> None:
    losses = np.sin(np.arange(6000) / 500)
    losses[1000:2000] = np.nan
    losses[3000] = np.inf
    losses[3001] = -np.inf
    losses[-1] = np.nan
    run_id = fill(runs, losses)
    shown = thinned_steps(runs, run_id, points=400)
    assert len(shown) <= 400
    assert shown.step[-1] == 6000
    finite = shown["loss"][np.isfinite(shown["loss"])]
    everything = losses[np.isfinite(losses)]
    assert finite.max() == everything.max()
    assert finite.min() == everything.min()
    nothing = fill(runs, np.full(3000, np.nan))
    shown = thinned_steps(runs, nothing, points=100)
    assert {1, 3000} <= set(shown.step)
    assert np.isnan(shown["loss"]).all()


def test_one_figure_of_many_epochs_is_thinned_too(runs: Store) -> None:
    step = np.arange(1, 601)
    value = np.linspace(2, 1, 600)
    value[[233, 400]] = 9.0, -9.0
    whole = Curve(step, step * 0.5, value)
    shown = thinned_curve(whole, points=100)
    assert 60 < len(shown.step) <= 100
    assert {1, 234, 401, 600} <= set(shown.step)
    assert np.array_equal(shown.value, value[shown.step - 1])
    assert np.array_equal(shown.seconds, shown.step * 0.5)
    assert np.array_equal(thinned_curve(whole, points=600).step, step)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="points is 10; at least 50"):
        thin(
            100,
            shapes=[np.zeros(100)],
            extremes=[],
            keep=np.array([], dtype=np.intp),
            points=10,
        )


def fill_long(runs: Store, count: int) -> str:
    """Without events: the database makes the rows by itself."""
    run_id = runs.create_run(CONFIG, status="preparing")
    with runs.database.write() as connection:
        query = sa.text(
            "WITH RECURSIVE n(step) AS "
            "(SELECT 1 UNION ALL SELECT step + 1 FROM n WHERE step < :count) "
            "INSERT INTO steps (run_id, step, epoch, loss, loss_smoothed, accuracy, "
            "accuracy_smoothed, learning_rate, seconds, samples) "
            "SELECT :run, step, 1, step * 7919 % 1000, 0.5, 0.5, 0.5, 0.1, step, 32 FROM n"
        )
        connection.execute(query, {"count": count, "run": run_id})
    return run_id


def test_a_hundred_thousand_steps(runs: Store) -> None:
    """Thinning costs milliseconds, and a tick costs no more than with a short history."""
    long, short = fill_long(runs, 100_000), fill_long(runs, 1000)
    shown = thinned_steps(runs, long)
    assert len(shown) <= 2000
    assert shown.step[-1] == 100_000

    def cost(run_id: str, after: int) -> float:
        times = []
        for _ in range(20):
            before = time.thread_time()
            assert len(runs.steps(run_id, after=after)) == 60
            times.append(time.thread_time() - before)
        return sorted(times)[10]

    assert cost(long, 99_940) < 3 * cost(short, 940) + 1e-3


def test_a_history_that_grows_is_read_once(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.record(run_id, [started(per_epoch=10_000), *(step(n) for n in range(1, 401))])
    history = ThinnedHistory(runs, run_id, points=100)
    first = history.read(0)
    assert len(first) <= 100
    asked: list[int] = []
    real = runs.steps

    def counted(run: str, *, after: int = 0, limit: int | None = None) -> StepColumns:
        asked.append(after)
        return real(run, after=after, limit=limit)

    monkeypatch.setattr(runs, "steps", counted)
    for last in (450, 600, 900):
        runs.record(run_id, [step(n) for n in range(last - 50, last + 1)])
        grown = history.read(0)
        assert (grown.step[0], grown.step[-1]) == (1, last)
        assert (np.diff(grown.step) > 0).all()
        assert len(grown) <= 200
    assert min(asked) >= 400
    assert len(history.read(1)) <= 100  # the run went back: all is read again
    assert asked[-1] == 0


def test_a_long_history_is_thinned_once_and_kept(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_POINTS", 300)
    monkeypatch.setattr(history, "KEEP_EVERY", 1000)
    losses = np.random.default_rng(0).normal(1, 0.1, 6000)
    losses[2500] = 9.0
    run_id = fill(runs, losses, best_epoch=4)
    runs.folder(run_id)  # as a run that trains makes it
    read, asked = Store.steps, []

    def counted(self: Store, run_id: str, **options: int) -> StepColumns:
        steps = read(self, run_id, **options)
        asked.append(len(steps))
        return steps

    monkeypatch.setattr(Store, "steps", counted)
    first = thinned_steps(runs, run_id, points=200)
    again = thinned_steps(runs, run_id, points=200)
    assert asked == [6000, 0]
    for shown in (first, again):
        assert len(shown) <= 200
        assert shown["loss"].max() == 9.0
        assert {1, 4000, 6000} <= set(shown.step)
    runs.record(run_id, [step(n, per_epoch=1000, loss=0.5) for n in range(6001, 6011)])
    runs.record(run_id, [epoch(5, per_epoch=1000)])  # another best one, whose step was left out
    grown = thinned_steps(runs, run_id, points=200)
    assert max(asked[2:]) == 10
    assert {1, 5000, 6010} <= set(grown.step)
    assert (np.diff(grown.step) > 0).all()
    path = runs.folder(run_id) / NAME
    path.write_bytes(path.read_bytes()[:-100])  # damaged: read anew
    assert thinned_steps(runs, run_id, points=200)["loss"].max() == 9.0
    runs.record(run_id, [ended("stopped", steps=6010)])
    runs.claim(run_id, statuses=["stopped"])
    runs.record(run_id, [started(2000, per_epoch=1000)])  # rewound: what is kept is outdated
    assert thinned_steps(runs, run_id, points=200).step[-1] == 2000
    assert thinned_steps(runs, run_id, points=200)["loss"].max() < 9.0


def test_a_run_keeps_its_thinned_history_while_it_trains(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_POINTS", 100)
    monkeypatch.setattr(history, "KEEP_EVERY", 300)
    with Recorder(runs, run_id, Control()) as recorder:
        recorder.add(started(per_epoch=1000))
        for number in range(1, 401):
            recorder.add(step(number, per_epoch=1000))
        until((runs.folder(run_id) / NAME).exists)


def test_a_damaged_kept_history_is_read_anew(runs: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = fill(runs, np.linspace(2, 1, 300))
    path = runs.folder(run_id) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    history._write(path, 1, runs.steps(run_id))
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole) * 8, size=400).tolist():
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        kept = history._read(path, 1)
        assert kept is None or len(kept)
