"""Inspect with several runs side by side, and the trust test beside a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.evaluate.predictions import predict, saved_predictions
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.words import plain
from tests.app.conftest import Completed, OpenPage
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
OpenRuns = Callable[..., AppTest]
TAB = "Runs side by side"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not tick: a page waits for its job instead."""
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)


@pytest.fixture
def runs(completed: Completed) -> list[RunRow]:
    """Four networks on one data set: another seed, another size, one without places."""
    dataset = make_tiny_pack()
    configs = [
        RunConfig(dataset=dataset, architecture="sign-cnn", epochs=1),
        RunConfig(dataset=dataset, architecture="sign-cnn", epochs=2, seed=4),
        RunConfig(dataset=dataset, architecture="simple-cnn", epochs=1, image_size=24),
        RunConfig(dataset=dataset, architecture="single-layer-perceptron", epochs=1),
    ]
    return completed(*((config, "my $bars$") for config in configs))


@pytest.fixture
def open_runs(open_page: OpenPage) -> OpenRuns:
    def open_(chosen: list[RunRow], **query: str) -> AppTest:
        app = open_page("inspect", run=chosen[0].id, **query)
        app.session_state["inspect_tab"] = TAB
        app.session_state[f"inspect_side_runs_{chosen[0].id}"] = [run.id for run in chosen]
        return check(app.run())

    return open_


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return app


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(element.value for element in app.get(kind))


def captions(app: AppTest) -> str:
    return texts(app, "caption")


def test_one_run_is_preselected(open_page: OpenPage, runs: list[RunRow]) -> None:
    app = open_page("inspect", run=runs[1].id)
    app.session_state["inspect_tab"] = TAB
    check(app.run())
    chosen = app.multiselect(key=f"inspect_side_runs_{runs[1].id}")
    assert chosen.value == [runs[1].id]
    assert len(chosen.options) == 4
    assert "**A says" in texts(app, "markdown")
    assert "Where they disagree" not in texts(app, "markdown")


def test_four_runs_of_other_sizes_and_kinds(open_runs: OpenRuns, runs: list[RunRow]) -> None:
    app = open_runs(runs)
    said = texts(app, "markdown")
    for letter in "ABCD":
        assert f"**{letter}** · my \\$bars\\$" in said
    assert "They disagree" in said or "All 4 say" in said
    assert "no layer with places" in captions(app)  # the perceptron
    assert len(app.get("progress")) >= 4 * 3  # a bar a class, and those above the tabs
    settings = app.dataframe[-1].value
    assert list(settings.columns) == ["Setting", "A", "B", "C", "D"]
    assert "Architecture" in list(settings["Setting"])
    assert "Batch size" not in list(settings["Setting"])


def test_runs_of_other_classes_are_not_offered(
    open_runs: OpenRuns, runs: list[RunRow], finished: Finished
) -> None:
    config = RunConfig(dataset="drawn-signs", architecture="single-layer-perceptron", epochs=1)
    signs = finished(queue().submit(config, name="signs"))
    assert signs.status == "completed"
    app = open_runs(runs[:2])
    chosen = app.multiselect(key=f"inspect_side_runs_{runs[0].id}")
    assert not any("signs (" in option for option in chosen.options)


def test_a_run_that_is_gone_is_no_longer_compared(open_runs: OpenRuns, runs: list[RunRow]) -> None:
    app = open_runs(runs[:2])
    store().delete(runs[1].id)
    check(app.run())
    assert app.multiselect(key=f"inspect_side_runs_{runs[0].id}").value == [runs[0].id]


def test_disagreement_is_asked_for_and_comes_first(open_runs: OpenRuns, runs: list[RunRow]) -> None:
    chosen = runs[:3]
    app = open_runs(chosen)
    names = ", ".join(
        f"{letter} ({plain(run.name)})" for letter, run in zip("ABC", chosen, strict=True)
    )
    assert f"Not asked yet about the 30 test images: {names}" in captions(app)
    check(app.button(key="inspect_side_ask").click().run())
    folders = [store().folder(run.id) for run in chosen]
    found = [saved_predictions(folder, "best", "test") for folder in folders]
    answers = np.stack([each.predicted for each in found if each is not None])
    differ = int((answers != answers[0]).any(0).sum())
    assert differ, "choose other seeds: these runs agree on every image"
    said = texts(app, "markdown")
    assert f"**{differ} of 30 test images" in said
    assert captions(app).count("apart") >= 12


def test_saved_answers_are_shown_at_once(open_runs: OpenRuns, runs: list[RunRow]) -> None:
    for run in runs[:2]:
        predict(store().folder(run.id), "best", "test")
    app = open_runs(runs[:2])
    assert "inspect_side_ask" not in [button.key for button in app.button]
    assert "of 30 test images" in texts(app, "markdown")


def test_the_class_and_the_method_of_the_maps_can_be_chosen(
    open_runs: OpenRuns, runs: list[RunRow]
) -> None:
    app = open_runs(runs[:2])
    check(app.selectbox(key=f"inspect_side_target_{runs[0].id}").select(1).run())
    check(app.selectbox(key="inspect_side_method").select("layercam").run())


def test_a_map_is_tested_on_demand(open_page: OpenPage, runs: list[RunRow]) -> None:
    app = open_page("inspect", run=runs[1].id)
    app.selectbox(key=f"inspect_cam_layer_{runs[1].id}").select("block1")
    app.selectbox(key="inspect_cam_method").select("layercam").run()
    check(app.button(key="inspect_trust").click().run())
    said = [element.value for kind in ("success", "warning") for element in app.get(kind)]
    assert len(said) == 1
    assert any(word in said[0] for word in ("rust this map", "can be trusted", "cannot tell"))
    assert "The same map with random weights" in texts(app, "markdown")
    assert "Adebayo et al." in captions(app)
