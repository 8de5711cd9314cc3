"""One figure of many runs at once: true points, the ends always among them, in one query."""

import math

import numpy as np
import pytest
import sqlalchemy as sa

from lab.runs.store import Store

from .fakes import CONFIG, ended, epoch, started, step


def train(runs: Store, steps: int, *, per_epoch: int = 5) -> str:
    """A run with `steps` recorded steps and its whole epochs."""
    run_id = runs.create_run(CONFIG, status="preparing")
    events = [started(per_epoch=per_epoch, epochs=max(1, steps // per_epoch))]
    for number in range(1, steps + 1):
        events.append(step(number, per_epoch=per_epoch))
        if number % per_epoch == 0:
            events.append(epoch(number // per_epoch, per_epoch=per_epoch))
    runs.record(run_id, [*events, ended(steps=steps)])
    return run_id


def test_long_runs_are_thinned_spread_steps_and_short_ones_are_whole(runs: Store) -> None:
    long, short, one = train(runs, 1000, per_epoch=100), train(runs, 7), train(runs, 1)
    curves = runs.curves([long, short, one], "loss", points=20)
    assert set(curves) == {long, short, one}
    steps = curves[long].step
    assert len(steps) == 20
    assert (steps[0], steps[-1]) == (1, 1000)
    assert set(np.diff(steps)) <= {52, 53}
    assert curves[short].step.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert curves[one].step.tolist() == [1]
    whole = runs.steps(long)
    rows = steps - 1
    for name in ("loss", "loss_smoothed", "accuracy", "accuracy_smoothed", "learning_rate"):
        curve = runs.curves([long], name, points=20)[long]
        assert np.array_equal(curve.value, (whole.metrics.get(name, whole.learning_rate))[rows])
        assert np.array_equal(curve.seconds, whole.seconds[rows])


def test_as_many_points_as_steps_is_everything(runs: Store) -> None:
    run_id = train(runs, 30)
    for points in (30, 31, 500):
        assert runs.curves([run_id], "loss", points=points)[run_id].step.tolist() == list(
            range(1, 31)
        )


def test_epoch_figures_are_not_thinned(runs: Store) -> None:
    run_id, other = train(runs, 300), train(runs, 10)
    curves = runs.curves([run_id, other], "val_accuracy", points=10)
    epochs = runs.epochs(run_id)
    assert np.array_equal(curves[run_id].value, epochs["val_accuracy"])
    assert np.array_equal(curves[run_id].step, epochs.step)
    assert np.array_equal(curves[run_id].seconds, epochs.seconds)
    assert curves[other].step.tolist() == [5, 10]


def test_runs_without_the_figure_are_left_out(runs: Store) -> None:
    queued, begun = runs.create_run(CONFIG), train(runs, 3)
    assert list(runs.curves([queued, begun, "r-none"], "loss")) == [begun]
    assert runs.curves([queued, begun], "val_loss") == {}
    assert runs.curves([], "loss") == {}


def test_a_figure_that_is_no_number_stays_one_point(runs: Store) -> None:
    run_id = runs.create_run(CONFIG, status="preparing")
    runs.record(run_id, [started(), step(1), step(2, loss=math.nan), step(3)])
    curve = runs.curves([run_id], "loss")[run_id]
    assert curve.step.tolist() == [1, 2, 3]
    assert np.isnan(curve.value).tolist() == [False, True, False]


@pytest.mark.parametrize("figure", ["loss_smoothed", "val_loss"])
def test_one_query_for_any_number_of_runs(runs: Store, figure: str) -> None:
    ids = [train(runs, 20) for _ in range(5)]
    statements: list[str] = []
    sa.event.listen(
        runs.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    assert len(runs.curves(ids, figure)) == 5  # type: ignore[arg-type]
    assert sum("SELECT" in text for text in statements) == 1


@pytest.mark.sqlite
def test_only_the_drawn_steps_are_read(runs: Store) -> None:
    """Else the cost would grow with the length of the runs."""
    from lab.runs.curves import _spread_steps

    query = _spread_steps(["r"], "loss", 100).compile(
        dialect=runs.database.engine.dialect,
        compile_kwargs={"literal_binds": True, "render_postcompile": True},
    )
    with runs.database.read() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert any("SEARCH steps USING PRIMARY KEY (run_id=? AND step=?)" in line for line in plan)
    assert not any(line.startswith("SCAN steps") for line in plan)


def test_what_cannot_be_statements(runs: Store) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        runs.curves([], "loss", points=1)
    with pytest.raises(ValueError, match="column is 'nonsense'"):
        runs.curves([], "nonsense")  # type: ignore[arg-type]
