"""A sweep at work, with runs that really go through the queue (and an engine without torch)."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lab.config import RunConfig
from lab.errors import ConfigError, DataError, NotFoundError, PlaceLostError
from lab.experiments.report import report
from lab.experiments.sweeps import thread
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.driver import WAITING_RUNS, Driver, value_at
from lab.experiments.sweeps.results import Line, lines, ranked
from lab.experiments.sweeps.study import open_study
from lab.experiments.sweeps.table import create_sweep, delete_sweep, set_sweep_status
from lab.experiments.sweeps.table import sweep as read_sweep
from lab.runs import schema
from lab.runs.queue import Queue, shutdown_queues
from lab.runs.rows import EpochColumns
from lab.runs.store import Store, close_stores, store
from tests.experiments.sweeps.sweep_lab import KnobEngine, accuracy, poll_until, sweep
from tests.runs.fakes import ended


@pytest.fixture(autouse=True)
def home(lab_home: Path, lab_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(thread, "POLL_SECONDS", 0.02)
    yield lab_home
    thread.stop_driving()
    shutdown_queues()
    close_stores()


@pytest.fixture
def runs() -> Store:
    return store()


Work = Callable[..., tuple[str, Driver, Queue]]


@pytest.fixture
def work(runs: Store) -> Iterator[Work]:
    """work(config, engine) -> the sweep's id, its driver (to be called by hand), the queue."""
    with contextlib.ExitStack() as held:

        def begin(
            config: SweepConfig, engine: KnobEngine | None = None, sweep_id: str | None = None
        ) -> tuple[str, Driver, Queue]:
            queue = Queue(
                runs,
                engine=engine or KnobEngine(),
                resolve=lambda c: "cpu",
                poll_seconds=60.0,
            )
            queue.start()
            held.callback(queue.shutdown)
            if sweep_id is None:
                sweep_id = create_sweep(runs, name=config.name, config_json=config.to_json())
            study = held.enter_context(open_study(sweep_id, config, runs.database))
            return (
                sweep_id,
                Driver(sweep_id, config, study, queue=queue, check=lambda c: c),
                queue,
            )

        yield begin


def table(runs: Store, sweep_id: str) -> list[Line]:
    row = read_sweep(runs, sweep_id)
    config = SweepConfig.from_json(row.config_json)
    return lines(config, runs.runs(origin=row.origin), row.notes)


def status(runs: Store, sweep_id: str) -> str:
    return read_sweep(runs, sweep_id).status


def test_a_grid_trains_every_combination_with_every_seed(runs: Store, work: Work) -> None:
    config = sweep(axes={"batch_size": [10, 20], "learning_rate": [0.1, 0.2]}, seeds=[0, 2])
    engine = KnobEngine()
    sweep_id, driver, _ = work(config, engine)
    assert not poll_until(driver, lambda: False)
    assert status(runs, sweep_id) == "completed"
    combinations = table(runs, sweep_id)
    assert [line.params for line in combinations] == list(config.points or ())
    assert [line.state for line in combinations] == ["done"] * 4
    assert sorted(engine.trained) == sorted([(b, s, 0) for b in (10, 20) for s in (0, 2)] * 2)
    for line in combinations:
        assert [row.config for row in line.runs] == [
            config.run_config(line.params, seed) for seed in (0, 2)
        ]
        expected = 0.9 - line.params["batch_size"] / 100 + 0.01
        assert line.judged.mean == pytest.approx(expected)
        assert line.judged.spread == pytest.approx(0.02 / 2**0.5)
        assert line.judged.count == 2
        assert line.test.mean == pytest.approx(expected - 0.1)
    assert [x.params["batch_size"] for x in ranked(config, combinations)] == [10, 10, 20, 20]


def test_its_page_has_the_story_the_images_and_the_best_first(runs: Store, work: Work) -> None:
    story = "The document reports 98%."
    config = sweep(name="My grid", story=story, axes={"batch_size": [20, 10]}, seeds=[0, 2])
    assert SweepConfig.from_yaml(config.to_yaml()).story == story
    _, driver, _ = work(config)
    assert not poll_until(driver, lambda: False)
    page = report(runs)
    _, part = page.split("## Sweep: My grid\n\n")
    assert part.startswith(f"{story}\n\n")
    row = runs.runs()[0]
    assert f"{row.train_samples} training, {row.val_samples} validation and " in part
    assert part.index("| 10 | 81.0%") < part.index("| 20 | 71.0%")


def test_the_study_in_the_labs_database_says_the_same(runs: Store, work: Work) -> None:
    import optuna

    sweep_id, driver, _ = work(sweep())
    poll_until(driver, lambda: False)
    storage = optuna.storages.RDBStorage(runs.url)
    try:
        study = optuna.load_study(study_name=sweep_id, storage=storage)
        assert study.best_params == {"batch_size": 10}
        assert study.best_value == pytest.approx(accuracy(RunConfig(batch_size=10)))
        assert len(study.trials) == 2
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_optunas_tables_are_not_the_labs(runs: Store, work: Work) -> None:
    from optuna.storages._rdb.models import BaseModel

    assert not set(BaseModel.metadata.tables) & set(schema.metadata.tables)
    work(sweep())
    names = set(sa.inspect(runs.database.engine).get_table_names())
    assert {"runs", "sweeps", "studies", "trials"} <= names


def test_another_database_url_holds_runs_and_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    monkeypatch.setenv("LAB_DATABASE_URL", url)
    config = sweep()
    sweep_id = create_sweep(store(), name="x", config_json=config.to_json())
    with open_study(sweep_id, config, store().database) as study:
        assert study.next() is not None
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT study_name FROM studies")).scalar() == sweep_id
        assert connection.execute(sa.text("SELECT id FROM sweeps")).scalar() == sweep_id
    engine.dispose()


def test_few_runs_wait_at_a_time(runs: Store, work: Work) -> None:
    engine = KnobEngine(hold_after=1)
    sweep_id, driver, _ = work(sweep(axes={"batch_size": [10, 20, 30, 40]}, seeds=[0, 1]), engine)
    poll_until(driver, engine.held.is_set)
    driver.poll()
    assert len(runs.runs(origin=f"sweep:{sweep_id}")) == 1 + WAITING_RUNS
    assert [line.state for line in table(runs, sweep_id)] == ["training", *["to come"] * 3]
    engine.release.set()
    poll_until(driver, lambda: False)
    assert len(engine.trained) == 8


def test_drawn_ranges_are_the_same_again_and_within_bounds(runs: Store, work: Work) -> None:
    axes = {
        "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        "batch_size": {"low": 5, "high": 50},
        "hidden_sizes": [[5], [6, 7]],
    }
    config = sweep(kind="random", trials=6, axes=axes)
    drawn = []
    for _ in range(2):
        sweep_id, driver, _queue = work(config)
        poll_until(driver, lambda: False)
        drawn.append([line.params for line in table(runs, sweep_id)])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 6
    assert len({p["learning_rate"] for p in drawn[0]}) == 6
    assert {p["hidden_sizes"] for p in drawn[0]} == {(5,), (6, 7)}
    for params in drawn[0]:
        assert 1e-4 <= params["learning_rate"] <= 0.1
        assert params["batch_size"] in range(5, 51)


def _draw_seed_for(order: list[int]) -> int:
    """The seed that draws these batch sizes in this order."""
    for seed in range(200):
        config = sweep(kind="random", axes={"batch_size": sorted(order)}, draw_seed=seed)
        if [p["batch_size"] for p in config.points or ()] == order:
            return seed
    raise AssertionError("no such seed")


HALVING = {
    "kind": "halving",
    "base": {"epochs": 4, "device": "cpu"},
    "axes": {"batch_size": [10, 20, 30]},
    "seeds": [0, 1],
}


def test_halving_stops_what_is_not_among_the_best_and_tells_why(runs: Store, work: Work) -> None:
    """The best comes first; the others wait after their first epoch until they are judged."""
    config = sweep(**HALVING, draw_seed=_draw_seed_for([10, 30, 20]))
    assert config.rungs == (1, 3)
    engine = KnobEngine(hold_after=lambda c: 0 if c.batch_size == 10 else 1)
    sweep_id, driver, _ = work(config, engine)
    assert not poll_until(driver, lambda: False)
    assert status(runs, sweep_id) == "completed"
    best, *others = table(runs, sweep_id)
    # The other seed was trained once the first had come to its end.
    assert (best.state, best.params["batch_size"], best.judged.count) == ("done", 10, 2)
    assert [line.params["batch_size"] for line in others] == [30, 20]
    assert engine.trained == [(10, 0, 0), (30, 0, 0), (10, 1, 0), (20, 0, 0)]
    for line in others:
        (run,) = line.runs
        assert (line.state, run.status, run.epoch) == ("stopped early", "stopped", 1)
        figure = f"{accuracy(run.config):.1%}"
        assert line.note.startswith(f"validation accuracy {figure} after epoch 1 was not among the")
        assert line.judged.mean is None
        assert any(line.note in entry.text for entry in runs.log(run.id))


def test_a_rung_judges_the_best_epoch_so_far_not_the_highest_value() -> None:
    """Best epoch by loss: epochs 1 and 3; the accuracy was highest in epoch 2."""
    epochs = EpochColumns(
        epoch=np.array([1, 2, 3]), step=np.array([2, 4, 6]), learning_rate=np.ones(3),
        seconds=np.ones(3), elapsed=np.ones(3), images_per_second=np.ones(3),
        is_best=np.array([True, False, True]), phase=("",) * 3,
        metrics={"val_accuracy": np.array([0.6, 0.9, 0.7])},
    )  # fmt: skip
    assert [value_at(epochs, "val_accuracy", rung) for rung in (1, 2, 3)] == [0.6, 0.6, 0.7]
    assert math.isnan(value_at(epochs, "val_accuracy", 0))


def test_a_method_that_learns_trains_one_combination_after_another(runs: Store, work: Work) -> None:
    axes = {"batch_size": {"low": 5, "high": 50}}
    sweep_id, driver, _ = work(sweep(kind="tpe", trials=3, axes=axes, seeds=[0, 1]))
    going = 0
    while driver.poll():
        live = {r.origin for r in runs.runs(origin=f"sweep:{sweep_id}") if r.is_live}
        going = max(going, len(live))
        time.sleep(0.01)
    assert going <= 1
    assert status(runs, sweep_id) == "completed"
    assert [(x.state, x.judged.count) for x in table(runs, sweep_id)] == [("done", 2)] * 3


def test_a_run_that_finished_before_it_was_judged_keeps_its_figure(runs: Store, work: Work) -> None:
    sweep_id, driver, queue = work(sweep(**HALVING, draw_seed=_draw_seed_for([10, 30, 20])))
    for _ in range(3):
        driver.poll()
        for row in runs.runs(origin=f"sweep:{sweep_id}", status=("queued", "running")):
            queue.wait(row.id, timeout=30)
    assert not poll_until(driver, lambda: False)
    late = next(x for x in table(runs, sweep_id) if x.params["batch_size"] == 30)
    assert (late.state, late.judged.count) == ("done", 1)  # and no other seed was trained
    assert late.note.endswith("but it had finished by then")


def test_a_later_run_that_is_better_goes_on(runs: Store, work: Work) -> None:
    config = sweep(**{**HALVING, "seeds": [0]}, draw_seed=_draw_seed_for([30, 20, 10]))
    sweep_id, driver, _ = work(config, KnobEngine())
    assert not poll_until(driver, lambda: False)
    assert [line.state for line in table(runs, sweep_id)] == ["done"] * 3
    assert [line.note for line in table(runs, sweep_id)] == [""] * 3


def test_what_does_not_fit_together_is_left_out_with_its_reason(runs: Store, work: Work) -> None:
    def check(config: RunConfig) -> RunConfig:
        if config.batch_size == 20:
            raise ConfigError("20 does not fit.")
        return config

    sweep_id, driver, _ = work(sweep(axes={"batch_size": [10, 20, 30]}))
    driver._check = check
    assert not poll_until(driver, lambda: False)
    combinations = table(runs, sweep_id)
    assert [line.state for line in combinations] == ["done", "left out", "done"]
    assert (combinations[1].note, combinations[1].runs, combinations[1].judged.mean) == (
        "20 does not fit.",
        (),
        None,
    )
    config = sweep(axes={"batch_size": [10, 20, 30]})
    assert thread.left_out(config, check=check) == {1: "20 does not fit."}
    with pytest.raises(ConfigError, match=r"None of the 1 combinations can be trained. 20 does"):
        thread.left_out(sweep(axes={"batch_size": [20]}), check=check)


def test_a_run_that_fails_is_told_and_the_sweep_goes_on(runs: Store, work: Work) -> None:
    def fails(config: RunConfig) -> Exception | None:
        wrong = config.batch_size == 20 or (config.batch_size == 30 and config.seed == 1)
        return DataError("No such picture.") if wrong else None

    config = sweep(axes={"batch_size": [10, 20, 30]}, seeds=[0, 1])
    sweep_id, driver, _ = work(config, KnobEngine(fails=fails))
    assert not poll_until(driver, lambda: False)
    combinations = table(runs, sweep_id)
    assert [line.state for line in combinations] == ["done", "failed", "done"]
    assert [line.judged.count for line in combinations] == [2, 0, 1]
    assert combinations[1].note == combinations[2].note == "No such picture."
    assert combinations[2].judged.spread is None


def test_a_deleted_run_does_not_come_back(runs: Store, work: Work) -> None:
    engine = KnobEngine(hold_after=1)
    sweep_id, driver, queue = work(sweep(), engine)
    poll_until(driver, engine.held.is_set)
    waiting = next(line for line in table(runs, sweep_id) if line.state == "waiting")
    queue.remove(waiting.runs[0].id)
    runs.delete(waiting.runs[0].id)
    engine.release.set()
    assert not poll_until(driver, lambda: False)
    assert len(engine.trained) == 1
    assert [line.state for line in table(runs, sweep_id)] == ["done", "failed"]
    assert "stopped or deleted" in table(runs, sweep_id)[1].note


def test_stop_all_and_resume_go_on_where_they_were(runs: Store, work: Work) -> None:
    engine = KnobEngine(hold_after=1)
    sweep_id, driver, queue = work(sweep(axes={"batch_size": [10, 20, 30]}), engine)
    poll_until(driver, engine.held.is_set)
    thread.stop_sweep(sweep_id, queue=queue)
    assert not driver.poll()
    for row in runs.runs(origin=f"sweep:{sweep_id}"):
        queue.wait(row.id, timeout=30)
    assert [line.state for line in table(runs, sweep_id)] == ["stopped", "stopped", "to come"]
    assert status(runs, sweep_id) == "stopped"
    assert engine.trained == [(10, 0, 0)]
    with pytest.raises(ConfigError, match="is stopped and cannot become stopped"):
        thread.stop_sweep(sweep_id, queue=queue)

    engine.hold_after = 0
    set_sweep_status(runs, sweep_id, "resuming")
    _, again, _ = work(sweep(axes={"batch_size": [10, 20, 30]}), engine, sweep_id)
    assert not poll_until(again, lambda: False)
    assert status(runs, sweep_id) == "completed"
    assert [line.state for line in table(runs, sweep_id)] == ["done"] * 3
    assert sorted(engine.trained) == [(10, 0, 0), (10, 0, 2), (20, 0, 0), (30, 0, 0)]


def test_a_resume_waits_until_the_stop_has_been_obeyed(runs: Store, work: Work) -> None:
    sweep_id, driver, _ = work(sweep(), KnobEngine(hold_after=1))
    set_sweep_status(runs, sweep_id, "stopped")
    set_sweep_status(runs, sweep_id, "resuming")
    slow = runs.create_run(RunConfig(), status="preparing", origin=f"sweep:{sweep_id}:0")
    runs.request(slow, "stop")
    assert driver.poll()
    assert driver.poll()
    assert status(runs, sweep_id) == "resuming"
    runs.record(slow, [ended("stopped", steps=0)])  # as its trainer does
    driver.poll()
    assert status(runs, sweep_id) == "running"


def test_the_end_of_a_server_pauses_and_the_next_one_goes_on(runs: Store, work: Work) -> None:
    config = sweep(axes={"batch_size": [10, 20]})
    engine = KnobEngine(hold_after=1)
    sweep_id, driver, queue = work(config, engine)
    poll_until(driver, engine.held.is_set)
    queue.shutdown()
    assert "paused" in {row.status for row in runs.runs(origin=f"sweep:{sweep_id}")}
    next_engine = KnobEngine()
    _, next_driver, _ = work(config, next_engine, sweep_id)
    assert not poll_until(next_driver, lambda: False)
    assert status(runs, sweep_id) == "completed"
    assert sorted(next_engine.trained) == [(10, 0, 2), (20, 0, 0)]


def test_a_run_that_a_person_paused_is_waited_for(runs: Store, work: Work) -> None:
    engine = KnobEngine(hold_after=1)
    sweep_id, driver, queue = work(sweep(), engine)
    poll_until(driver, engine.held.is_set)
    first = table(runs, sweep_id)[0].runs[0]
    queue.pause(first.id)
    queue.wait(first.id, timeout=30)
    engine.hold_after = 0
    assert poll_until(driver, lambda: table(runs, sweep_id)[1].state == "done")
    assert driver.poll()
    assert [line.state for line in table(runs, sweep_id)] == ["paused", "done"]
    assert status(runs, sweep_id) == "running"
    queue.resume(first.id)
    assert not poll_until(driver, lambda: False)
    assert status(runs, sweep_id) == "completed"


def test_what_goes_wrong_on_the_way_is_tried_again_then_told(
    runs: Store, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweep_id, driver, queue = work(sweep())
    driver.poll()

    def full(*args: object, **kwargs: object) -> str:
        raise OSError("The disk is full.")

    submit = queue.submit
    monkeypatch.setattr(queue, "submit", full)
    assert driver.poll()
    assert driver.poll()
    monkeypatch.setattr(queue, "submit", submit)
    poll_until(driver, lambda: False)
    assert status(runs, sweep_id) == "completed"
    other_id, other, queue = work(sweep())
    monkeypatch.setattr(queue, "submit", full)
    assert not poll_until(other, lambda: False)
    assert status(runs, other_id) == "failed"
    assert "The disk is full." in read_sweep(runs, other_id).message
    assert "polling sweep" in caplog.text


def test_a_sweep_waits_as_long_as_its_cluster_is_out_of_reach(
    runs: Store, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id, driver, queue = work(sweep())
    places_for = queue.places_for

    def unreachable(config: RunConfig) -> int:
        raise PlaceLostError("The cluster cannot be reached.")

    monkeypatch.setattr(queue, "places_for", unreachable)
    assert all(driver.poll() for _ in range(20))
    monkeypatch.setattr(queue, "places_for", places_for)
    poll_until(driver, lambda: False)
    assert status(runs, sweep_id) == "completed"


def test_a_sweep_is_forgotten_and_its_runs_stay(runs: Store, work: Work) -> None:
    sweep_id, driver, _ = work(sweep())
    with pytest.raises(ConfigError, match="stop it first"):
        delete_sweep(runs, sweep_id)
    poll_until(driver, lambda: False)
    delete_sweep(runs, sweep_id)
    with pytest.raises(NotFoundError, match="There is no sweep"):
        read_sweep(runs, sweep_id)
    assert len(runs.runs(origin=f"sweep:{sweep_id}")) == 2
