"""Sweeps on the Experiments page: a grid in three clicks, its table, stop, resume, forget."""

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from lab.data import catalog
from lab.experiments.sweeps import thread
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.presets import PRESETS
from lab.experiments.sweeps.table import create_sweep, note_trial, set_sweep_status, sweep, sweeps
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.events import RunEnded
from lab.words import percent
from tests.app.conftest import OpenPage
from tests.components import blocks, column, moving_texts

KEY = "experiments_sweep"
BASE = {
    "dataset": "drawn-signs",
    "architecture": "single-layer-perceptron",
    "epochs": 1,
    "film_strip": False,
}


@pytest.fixture(autouse=True)
def driver(small_lab: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(thread, "POLL_SECONDS", 0.05)
    yield
    thread.stop_driving()


@pytest.fixture
def open_sweeps(open_page: OpenPage) -> OpenPage:
    """The Experiments page at its second tab."""

    def open_(**query: str) -> AppTest:
        app = open_page("experiments", **query)
        app.session_state["experiments_tab"] = "Sweep"
        app.run()
        assert not app.exception, app.exception[0].value
        return app

    return open_


def texts(app: AppTest, kind: str) -> str:
    moving = [moving_texts(app)] if kind == "caption" else []
    return "\n".join([*moving, *(str(element.value) for element in getattr(app, kind))])


def entered(status: str = "completed", **values: object) -> str:
    """A sweep in the list that nobody drives."""
    config = SweepConfig.from_mapping(
        {"name": "Rates [x]", "base": BASE, "axes": {"learning_rate": [0.01, 0.001]}, **values}
    )
    sweep_id = create_sweep(store(), name=config.name, config_json=config.to_json())
    set_sweep_status(store(), sweep_id, status)
    return sweep_id


def add_run(sweep_id: str, trial: int, accuracy: float | None, **knobs: object) -> str:
    config = SweepConfig.from_json(sweep(store(), sweep_id).config_json).base.changed(**knobs)
    run_id = store().create_run(config, status="preparing", origin=f"sweep:{sweep_id}:{trial}")
    store().record(
        run_id,
        [
            RunEnded(
                status="failed" if accuracy is None else "completed",
                message="No such picture." if accuracy is None else "",
                epochs=1,
                steps=1,
                best_epoch=None if accuracy is None else 1,
                best_val={} if accuracy is None else {"loss": 0.5, "accuracy": accuracy},
                test={} if accuracy is None else {"loss": 0.6, "accuracy": accuracy - 0.1},
                seconds=2.0,
            )
        ],
    )
    return run_id


def test_a_grid_over_another_knob_is_a_choice_and_a_press(
    open_sweeps: OpenPage, finished: Callable[[str], RunRow]
) -> None:
    catalog.open_pack("drawn-signs")
    app = open_sweeps()
    assert "3 combinations = 3 runs of 10 epochs" in texts(app, "markdown").replace("\\", "")
    app.multiselect(key=f"{KEY}_knobs").set_value(["batch_size"]).run()
    assert app.text_input(key=f"{KEY}_values_batch_size").value == "16, 32, 64"
    # (A small data set, network and number of epochs, to be done within the test.)
    app.session_state["train_dataset"] = "drawn-signs"
    app.session_state["train_architecture"] = "single-layer-perceptron"
    app.number_input(key=f"{KEY}_epochs_10").set_value(1).run()
    app.button(key=f"{KEY}_begin").click().run()
    assert not app.exception
    (row,) = sweeps(store())
    assert row.name == "Batch size"
    assert app.query_params["sweep"] in (row.id, [row.id])
    assert not app.session_state[f"{KEY}_new"]
    thread._thread.join(120)  # type: ignore[union-attr]
    assert sweep(store(), row.id).status == "completed"
    runs = store().runs(origin=row.origin, order="oldest")
    assert [run.status for run in runs] == ["completed"] * 3
    assert [run.config.batch_size for run in runs] == [16, 32, 64]
    assert {run.config.dataset for run in runs} == {"drawn-signs"}
    app.run()
    assert not app.exception
    assert sorted(column(app, "Batch size")) == ["16", "32", "64"]
    assert column(app, "State") == ["Done"] * 3
    best = sorted((run.best_val_accuracy or 0 for run in runs), reverse=True)
    assert column(app, "Validation accuracy") == [percent(value) for value in best]


def test_the_table_is_made_of_the_runs(open_sweeps: OpenPage) -> None:
    sweep_id = entered(seeds=[0, 1], axes={"learning_rate": [0.01, 0.001, 0.1]})
    add_run(sweep_id, 0, 0.5, learning_rate=0.01, seed=0)
    first = add_run(sweep_id, 1, 0.8, learning_rate=0.001, seed=0)
    add_run(sweep_id, 1, 0.9, learning_rate=0.001, seed=1)
    add_run(sweep_id, 2, None, learning_rate=0.1, seed=0)
    note_trial(store(), sweep_id, 2, state="failed", text="No such picture.")
    app = open_sweeps(sweep=sweep_id)
    assert column(app, "Learning rate") == ["0.001", "0.01", "0.1"]
    assert column(app, "Validation accuracy")[:2] == [f"85.0% ± {10 / 2**0.5:.1f}", "50.0%"]
    assert column(app, "Test accuracy")[0].startswith("75.0%")
    assert column(app, "Seeds") == ["2 of 2", "1 of 2", "0 of 2"]
    assert column(app, "State") == ["Done", "Waiting", "Failed"]
    assert column(app, "Why")[2] == "No such picture."
    assert column(app, "Run", "href")[0] == f"runs?run={first}"
    text = texts(app, "caption")
    assert "Means over 2 seeds" in text
    assert "The best of 2 was chosen by its validation result" in text
    assert "took no part in the choice. It is 75.0%." in text
    assert "Rates \\[x\\]" in texts(app, "header")


def test_does_a_setting_matter_is_two_values_and_five_seeds(open_sweeps: OpenPage) -> None:
    app = open_sweeps()
    app.segmented_control(key=f"{KEY}_kind").set_value("two").run()
    assert not app.exception
    assert "2 combinations × 5 seeds = 10 runs" in texts(app, "markdown").replace("\\", "")
    app.selectbox(key=f"{KEY}_two_knob").select("optimizer").run()
    assert not app.exception
    app.number_input(key=f"{KEY}_two_seeds").set_value(3).run()
    assert "2 combinations × 3 seeds = 6 runs" in texts(app, "markdown").replace("\\", "")
    assert not app.button(key=f"{KEY}_begin").disabled


def test_a_link_asks_whether_a_setting_matters(open_sweeps: OpenPage) -> None:
    run_id = add_run(entered(), 0, 0.5, learning_rate=0.01, batch_size=16)
    app = open_sweeps(run=run_id, matter="batch_size", against="64")
    assert not app.exception
    assert app.selectbox(key=f"{KEY}_start").value == "run"
    assert app.selectbox(key=f"{KEY}_two_knob").value == "batch_size"
    assert app.text_input(key=f"{KEY}_two_now_batch_size_16").value == "16"
    assert app.text_input(key=f"{KEY}_two_value_batch_size_16_64").value == "64"
    assert "2 combinations × 5 seeds = 10 runs" in texts(app, "markdown").replace("\\", "")
    app = open_sweeps(matter="optimizer", against="sgd")
    assert app.selectbox(key=f"{KEY}_start").value == "own"
    assert app.session_state[f"{KEY}_two_knob"] == "optimizer"


def test_the_answer_stands_above_the_table(open_sweeps: OpenPage) -> None:
    sweep_id = entered(seeds=[0, 1, 2])
    app = open_sweeps(sweep=sweep_id)
    assert "The answer comes with the second seed" in moving_texts(app)
    for seed in (0, 1, 2):
        add_run(sweep_id, 0, 0.5 + seed / 100, learning_rate=0.01, seed=seed)
        add_run(sweep_id, 1, 0.9 + seed / 101, learning_rate=0.001, seed=seed)
    app.run()
    assert "Learning rate 0.001 is better than learning rate 0.01 here: 40.0 points" in (
        moving_texts(app)
    )
    assert column(app, "Place") == ["1", "2"]
    assert column(app, "Place", "sort") == [1, 2]
    assert column(app, "95%")[0] == "88.5 to 93.4%"


def test_what_cannot_be_told_apart_shares_a_place(open_sweeps: OpenPage) -> None:
    sweep_id = entered(axes={"learning_rate": [0.01, 0.001], "batch_size": [8, 16]}, seeds=[0, 1])
    for trial, (rate, batch) in enumerate([(r, b) for r in (0.01, 0.001) for b in (8, 16)]):
        for seed in (0, 1):
            accuracy = 0.8 + rate + batch / 1000 + (seed if batch == 8 else -seed) / 20
            add_run(sweep_id, trial, accuracy, learning_rate=rate, batch_size=batch, seed=seed)
    app = open_sweeps(sweep=sweep_id)
    assert column(app, "Place") == ["1="] * 4
    assert "4 share the first place: they cannot be told apart." in moving_texts(app)
    assert "Framed: the first place" in moving_texts(app)


def test_two_knobs_make_a_grid_and_can_be_looked_at_one_by_one(open_sweeps: OpenPage) -> None:
    sweep_id = entered(axes={"learning_rate": [0.01, 0.001], "batch_size": [8, 16]})
    add_run(sweep_id, 0, 0.5, learning_rate=0.01, batch_size=8)
    app = open_sweeps(sweep=sweep_id)
    assert "darker is better" in texts(app, "caption")
    assert "1 of 4 combinations with a result; best 50.0%" in blocks(app, "figure")[0]["alt"]
    app.segmented_control(key=f"{KEY}_picture_All combinations_learning_rate_batch_size").set_value(
        "learning_rate"
    ).run()
    assert not app.exception
    assert "darker is better" not in texts(app, "caption")
    assert "over Learning rate" in blocks(app, "figure")[0]["alt"]


def test_stop_and_resume_and_forget(open_sweeps: OpenPage) -> None:
    config = SweepConfig.from_mapping(
        {"base": {**BASE, "epochs": 10_000}, "axes": {"learning_rate": [0.01, 0.001]}}
    )
    sweep_id = thread.start_sweep(config)
    app = open_sweeps(sweep=sweep_id)
    app.button(key=f"{KEY}_stop").click().run()
    assert not app.exception
    assert sweep(store(), sweep_id).status == "stopped"
    for run in store().runs(origin=f"sweep:{sweep_id}"):
        assert queue().wait(run.id, timeout=120).status == "stopped"
    app.run()
    app.button(key=f"{KEY}_resume").click().run()
    assert sweep(store(), sweep_id).is_working
    app.run()
    app.button(key=f"{KEY}_stop").click().run()
    app.run()
    for run in store().runs(origin=f"sweep:{sweep_id}"):
        queue().wait(run.id, timeout=120)
    thread.stop_driving()
    app.run()
    app.button(key=f"{KEY}_forget").click().run()
    assert not app.exception
    assert sweeps(store()) == []
    assert not app.toast


def test_what_does_not_fit_is_said_and_cannot_be_started(open_sweeps: OpenPage) -> None:
    app = open_sweeps()
    app.text_input(key=f"{KEY}_values_learning_rate").set_value("0.1, 50").run()
    assert "learning_rate is '50'; allowed is" in texts(app, "error").replace("\\", "")
    assert app.button(key=f"{KEY}_begin").disabled
    app.multiselect(key=f"{KEY}_knobs").set_value(["freeze"]).run()
    assert not app.exception
    assert texts(app, "caption").count("1 left out: ") == 4  # each strategy has its own sentence
    assert "1 combination = 1 run" in texts(app, "markdown").replace("\\", "")
    app.multiselect(key=f"{KEY}_knobs").set_value([]).run()
    assert "name at least one knob" in texts(app, "error").replace("\\", "")


@pytest.mark.parametrize("kind", ["random", "halving", "tpe"])
def test_ranges_are_drawn_from(open_sweeps: OpenPage, kind: str) -> None:
    app = open_sweeps()
    app.segmented_control(key=f"{KEY}_kind").set_value(kind).run()
    app.number_input(key=f"{KEY}_trials_{kind}").set_value(7).run()
    assert not app.exception
    text = texts(app, "markdown").replace("\\", "")
    most = "at most " if kind == "halving" else ""
    assert f"7 combinations = {most}7 runs of 10 epochs" in text
    assert ("Runs are compared after epoch 1, 3, 9" in texts(app, "caption")) == (kind == "halving")
    app.text_input(key=f"{KEY}_values_learning_rate_low").set_value("x").run()
    assert "The range of learning_rate: low is 'x'" in texts(app, "error").replace("\\", "")


@pytest.mark.parametrize("preset", [each.id for each in PRESETS])
def test_presets_start_or_say_what_they_need(open_sweeps: OpenPage, preset: str) -> None:
    app = open_sweeps()
    app.selectbox(key=f"{KEY}_start").select(preset).run()
    assert not app.exception
    if preset.startswith("freeze"):
        assert "needs the data set “Cats and dogs”" in texts(app, "info").replace("\\", "")
        assert app.button(key=f"{KEY}_begin").disabled
    else:
        assert "8 combinations = 8 runs of 2 epochs" in texts(app, "markdown").replace("\\", "")
        assert "so the document's results cannot be expected" in texts(app, "caption")
        app.segmented_control(key=f"{KEY}_size").set_value("Full").run()
        assert "8 runs of 10 epochs" in texts(app, "markdown").replace("\\", "")
        assert not app.button(key=f"{KEY}_begin").disabled


@pytest.mark.parametrize("sweep_id", ["s-none", ""])
def test_an_unknown_sweep_in_the_link_shows_the_newest(
    open_sweeps: OpenPage, sweep_id: str
) -> None:
    newest = entered()
    app = open_sweeps(sweep=sweep_id)
    assert app.query_params["sweep"] in (newest, [newest])
