"""The Runs page's table: several runs at once, tags, titles, no empty words."""

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.runs.store import store
from lab.ui.run import table
from tests.app.conftest import OpenPage
from tests.runs.fakes import ended, epoch, started, step


def completed(config: RunConfig, name: str | None = None) -> str:
    run_id = store().create_run(config, name=name, status="preparing")
    store().record(run_id, [started(), step(1), epoch(1), ended(steps=1)])
    return run_id


@pytest.fixture
def ids() -> list[str]:
    base = RunConfig()
    return [
        completed(base),
        completed(base.changed(activation="sigmoid", best_metric="val_accuracy")),
        store().create_run(base.changed(architecture="mlp"), status="stopped"),
    ]


def frame(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value.set_index("Name")


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(str(element.value) for element in getattr(app, kind))


def keys(app: AppTest) -> list[str]:
    return [str(button.key) for button in app.button]


def test_the_table_has_titles_and_what_chose_the_weights(
    open_page: OpenPage, ids: list[str]
) -> None:
    app = open_page("runs")
    rows = frame(app)
    first, sigmoid = (
        "Simple CNN on Drawn cats and dogs",
        "Simple CNN on Drawn cats and dogs, Sigmoid, best epoch by validation accuracy",
    )
    assert set(rows.index) >= {first, sigmoid, "Multi-layer perceptron on Drawn cats and dogs"}
    assert rows["Architecture"][first] == "Simple CNN"
    assert rows["Data set"][first] == "Drawn cats and dogs"
    assert rows["Freeze strategy"][first] == "From scratch"
    assert rows["Activation"][first] == "ReLU"  # its own one
    assert rows["Activation"][sigmoid] == "Sigmoid"
    assert rows["Best epoch by"][first] == "Validation loss"
    assert rows["Best epoch by"][sigmoid] == "Validation accuracy"
    assert app.dataframe[0].proto.placeholder == "–"
    assert "chose the weights" not in texts(app, "caption")
    assert "3 runs." in texts(app, "caption")


def test_one_run_is_one_run(open_page: OpenPage) -> None:
    completed(RunConfig())
    assert "1 run." in texts(open_page("runs"), "caption")


def test_several_ticked_runs_are_compared_tagged_and_deleted_together(
    open_page: OpenPage, ids: list[str]
) -> None:
    app = open_page("runs", run=ids[0])
    assert "runs_compare_ticked" not in keys(app)
    assert "runs_again" in keys(app)  # the open run's actions
    app.session_state[table.TICKED] = ids
    app.run()
    assert not app.exception
    assert app.button(key="runs_compare_ticked").label == "Compare these 3"
    assert app.button(key="runs_delete_ticked").label == "Delete 3 runs"
    assert "runs_again" not in keys(app)
    app.button(key="runs_untick").click().run()
    assert not app.exception
    assert "runs_compare_ticked" not in keys(app)
    assert not app.session_state["run"]


def test_ticks_stay_with_their_runs(open_page: OpenPage, ids: list[str]) -> None:
    """A run that comes moves every place in the table by one."""
    app = open_page("runs")
    app.session_state[table.TICKED] = ids[:2]
    app.run()
    before = app.dataframe[0].proto.id
    new = completed(RunConfig(seed=9))
    app.run()
    assert app.session_state[table.TICKED] == ids[:2]
    assert app.dataframe[0].proto.id != before
    assert app.button(key="runs_delete_ticked").label == "Delete 2 runs"
    app.text_input(key="runs_search").set_value("perceptron").run()
    assert "runs_delete_ticked" not in keys(app)  # what the filter hides is not deleted
    assert store().run(new).status == "completed"


def test_a_run_that_trains_is_not_deleted_with_others(open_page: OpenPage, ids: list[str]) -> None:
    active = store().create_run(RunConfig(seed=4), status="preparing")
    app = open_page("runs")
    app.session_state[table.TICKED] = [*ids[:2], active]
    app.run()
    assert app.button(key="runs_compare_ticked").label == "Compare these 3"
    assert app.button(key="runs_delete_ticked").label == "Delete 2 runs"


def test_a_tag_is_a_column_and_finds_its_runs(open_page: OpenPage, ids: list[str]) -> None:
    app = open_page("runs")
    assert "Tag" not in frame(app)
    store().set_tag([ids[1]], "lesson 3")
    app.run()
    assert list(frame(app)["Tag"].dropna()) == ["lesson 3"]
    app.text_input(key="runs_search").set_value("lesson").run()
    assert len(frame(app)) == 1


def test_only_the_statuses_that_there_are_can_be_chosen(
    open_page: OpenPage, ids: list[str]
) -> None:
    app = open_page("runs")
    pills = app.button_group(key="runs_status")
    assert {str(option) for option in pills.options} >= {"Stopped", "Completed"}
    assert len(pills.options) == 2
    pills.set_value(["stopped"]).run()
    assert list(frame(app)["Status"]) == ["Stopped"]
