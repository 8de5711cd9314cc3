"""The Compare page: which runs, their curves, results, knobs and mistakes, and the link to them."""

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.api.panels import PanelFeed
from lab.config import RunConfig
from lab.evaluate.compare import holm, in_words, over_seeds, paired, share_interval
from lab.evaluate.leak_free import accuracy_interval
from lab.evaluate.predictions import predict, saved_predictions
from lab.runs import schema
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.words import plain
from tests.app.conftest import Completed, OpenPage
from tests.components import blocks, component_data, components
from tests.runs.fakes import ended, epoch, started, step
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
Open = Callable[..., AppTest]
SHOWN = 60
"""Seconds that a small prediction may take on a busy machine."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not tick: a page waits for its job instead."""
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", SHOWN)


@pytest.fixture
def trained(completed: Completed) -> list[RunRow]:
    """Two seeds of one setting, and another learning rate under the name of the first."""
    base = RunConfig(dataset=make_tiny_pack(), architecture="single-layer-perceptron", epochs=2)
    return completed(
        (base, "my $bars$"),
        (base.changed(seed=1), "other seed"),
        (base.changed(learning_rate=1e-5), "my $bars$"),
    )


def recorded(number: int, **knobs: object) -> str:
    """A run without a network, with recorded results."""
    run_id = store().create_run(
        RunConfig(dataset="drawn-signs", **knobs), name=f"trial {number}", status="preparing"
    )
    events = [started(), *(step(k, loss=1 / (k + number)) for k in range(1, 6)), epoch(1)]
    store().record(run_id, [*events, ended(steps=5)])
    return run_id


@pytest.fixture
def compare(open_page: OpenPage) -> Open:
    def open_(*run_ids: str, tab: str = "Curves") -> AppTest:
        app = open_page("home", runs=",".join(run_ids)) if run_ids else open_page("home")
        check(app.switch_page("pages/compare.py").run())
        if tab != "Curves":
            app.session_state["compare_tab"] = tab
            app.run()
        return check(app)

    return open_


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def texts(app: AppTest, kind: str) -> str:
    moving = [block["text"] for block in blocks(app, "text")] if kind == "caption" else []
    return "\n".join([*moving, *(element.value for element in getattr(app, kind))])


def link(app: AppTest) -> list[str]:
    """The runs that the address names."""
    named = app.query_params["runs"]
    return (named if isinstance(named, str) else named[0]).split(",")


def alts(app: AppTest) -> list[str]:
    charts = [chart.proto.alt for chart in app.get("plotly_chart")]
    return [block["alt"] for block in blocks(app, "figure")] + charts


def matrix_alts(app: AppTest) -> list[str]:
    return [data["alt"] for data in component_data(app) if "cells" in data]


# --- which runs ----------------------------------------------------------------------------------
def test_without_runs_the_page_leads_on(compare: Open) -> None:
    app = compare()
    assert "No runs yet" in texts(app, "info")
    assert not app.multiselect


def test_nothing_chosen_offers_what_belongs_together(compare: Open) -> None:
    ids = [recorded(i, seed=i) for i in range(3)]
    store().create_run(RunConfig(), status="stopped")  # has no results
    app = compare()
    assert "Nothing is chosen yet" in texts(app, "caption")
    (button,) = [b for b in app.button if str(b.key).startswith("compare_suggest_")]
    assert button.label.endswith("all 3 runs")
    check(button.click().run())
    assert set(app.multiselect(key="compare_runs").value) == set(ids)
    assert sorted(link(app)) == sorted(ids)


def test_suggestions_have_titles(compare: Open) -> None:
    base = recorded(0)
    fixes = [recorded(i, seed=i) for i in (1, 2)]
    deep = [recorded(i, seed=i) for i in (3, 4)]
    with store().database.write() as connection:
        for ids, origin in ((fixes, f"fix:{base}"), (deep, "recipe:cd-deep:quick")):
            table = schema.runs
            connection.execute(table.update().where(table.c.id.in_(ids)).values(origin=origin))
    app = compare()
    labels = [b.label for b in app.button if str(b.key).startswith("compare_suggest_")]
    assert "Ten layers\\: sigmoid against ReLU: all 2 runs" in labels
    assert any(label.startswith("Tried against problems of ") for label in labels)
    assert not any("cd\\-deep" in label or base in label for label in labels)


def test_the_link_chooses_and_the_choice_writes_the_link(compare: Open) -> None:
    ids = [recorded(i, seed=i) for i in range(3)]
    app = compare(ids[2], ids[0])
    choice = app.multiselect(key="compare_runs")
    assert choice.value == [ids[2], ids[0]]  # in the link's order
    check(choice.unselect(ids[2]).select(ids[1]).run())
    assert link(app) == [ids[0], ids[1]]
    # Another link followed in the same session rules over what was chosen before.
    app.query_params["runs"] = ids[2]
    check(app.run())
    assert app.multiselect(key="compare_runs").value == [ids[2]]


def test_a_link_to_a_deleted_run_says_so(compare: Open) -> None:
    present, deleted = recorded(1), recorded(2)
    store().delete(deleted)
    app = compare(present, deleted, "<script>")
    assert app.multiselect(key="compare_runs").value == [present]
    assert deleted.replace("-", "\\-") in texts(app, "warning")
    assert link(app) == [present]
    check(app.multiselect(key="compare_runs").set_value([]).run())
    assert not app.warning


def test_a_run_that_is_deleted_meanwhile_leaves_the_choice(compare: Open) -> None:
    present, deleted = recorded(1), recorded(2)
    app = compare(present, deleted)
    store().delete(deleted)
    check(app.run())
    assert app.multiselect(key="compare_runs").value == [present]


# --- curves --------------------------------------------------------------------------------------
def test_curves_and_only_the_differences(compare: Open) -> None:
    ids = [recorded(i, seed=i, learning_rate=0.01 * i) for i in (1, 2)]
    app = compare(*ids)
    assert alts(app) == [
        "Validation accuracy of 2 runs: at their ends the lowest is trial 1 with 50.0%, the "
        "highest trial 2 with 50.0%."
    ]
    table = app.dataframe[-1].value
    assert list(table["Setting"]) == ["Learning rate", "Seed"]
    assert list(table["trial 1"]) == ["0.01", "1"]
    check(app.selectbox(key="compare_curve").select("train_loss").run())
    assert alts(app)[0].startswith("Training loss of 2 runs")
    for across in ("step", "seconds", "epoch"):
        app.session_state["compare_across"] = across
        check(app.run())
    check(app.toggle(key="compare_log").set_value(True).run())
    check(app.select_slider(key="compare_smooth_steps").set_value(-1).run())
    last = [store().steps(run_id)["loss"][-1] for run_id in ids]
    assert f"lowest is trial 2 with {last[1]:.3g}" in alts(app)[0]


def test_equal_settings_have_no_differences(compare: Open) -> None:
    app = compare(recorded(1), recorded(2))
    assert "Nothing: these runs have the same settings" in texts(app, "caption")


def test_many_runs_are_coloured_by_a_knob(compare: Open) -> None:
    ids = [
        recorded(i, seed=i, architecture=["mlp", "simple-cnn"][i % 2], learning_rate=0.001 * i)
        for i in range(1, 15)
    ]
    app = compare(*ids)
    colour = app.selectbox(key="compare_colour")
    # The fewest groups first; many learning rates are put into ranges.
    assert colour.options == ["Architecture", "Learning rate", "Nothing"]
    assert "Colour and dash show the group" in texts(app, "caption")
    check(colour.select("learning_rate").run())
    check(colour.select("").run())
    assert len(app.dataframe[-1].value) == 14  # a row a run, so many columns would not be read
    app.session_state["compare_curve"] = "train_loss"
    check(app.run())
    assert -1 not in app.select_slider(key="compare_smooth_steps").options


def test_a_run_that_has_not_begun_is_counted(compare: Open) -> None:
    waiting = store().create_run(RunConfig(seed=5), status="paused")
    app = compare(recorded(1), waiting)
    assert "1 of the 2 runs has no such curve yet" in texts(app, "caption")
    assert "on several data sets" in texts(app, "caption")
    for tab in ("Final results", "Settings and results", "Same images"):
        app.session_state["compare_tab"] = tab
        check(app.run())
    assert "has no network" in texts(app, "error")


# --- results, knobs ------------------------------------------------------------------------------
def test_final_results_with_their_intervals_and_the_spread_over_seeds(
    compare: Open, trained: list[RunRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = compare(*(row.id for row in trained), tab="Final results")
    table, seeds = (each.value for each in app.dataframe)
    assert list(table["Run"]) == [
        f"my $bars$ · {trained[0].id[-4:]}",
        "other seed",
        f"my $bars$ · {trained[2].id[-4:]}",
    ]
    assert list(table["Test"]) == [row.test_accuracy for row in trained]
    low, high = share_interval(trained[0].test_accuracy, 30) or (0, 0)
    assert table["Test, 95%"][0] == f"{100 * low:.1f} to {100 * high:.1f}%"
    (spread,) = over_seeds([r.settings for r in trained], [r.test_accuracy for r in trained])
    assert spread.members == (0, 1)
    assert seeds["Mean"][0] == spread.mean
    assert list(seeds["Result"]) == ["Test", "Validation"]
    low, high = max(0.0, spread.interval[0]), min(1.0, spread.interval[1])
    assert seeds["Mean, 95%"][0] == f"{100 * low:.1f} to {100 * high:.1f}%"
    assert "tested on these" not in texts(app, "caption")  # three looks are few
    monkeypatch.setattr("lab.experiments.looks.MANY", 2)
    app.run()
    assert "3 runs have been tested on these 30 test images" in texts(app, "caption")


def test_intervals_count_copies_once(
    compare: Open, trained: list[RunRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lab.evaluate.leak_free.known_groups", lambda pack: np.arange(len(pack)) // 6
    )
    app = compare(*(row.id for row in trained), tab="Final results")
    table = app.dataframe[0].value
    assert list(table["Independent"]) == [5, 5, 5]
    # The test's answers were kept; those to the validation images were not asked for.
    folder = store().folder(trained[0].id)
    honest = accuracy_interval(folder, "test", trained[0].test_accuracy, 30)
    assert honest.interval is not None
    by_images = share_interval(trained[0].test_accuracy, 30)
    assert by_images is not None
    assert honest.interval[1] - honest.interval[0] > by_images[1] - by_images[0]
    low, high = honest.interval
    assert table["Test, 95%"][0] == f"{100 * low:.1f} to {100 * high:.1f}%"
    assert table["Validation, 95%"][0] == "–"
    assert "Its Results find out" in texts(app, "caption")
    predict(folder, "best", "val")
    check(app.run())
    assert app.dataframe[0].value["Validation, 95%"][0] != "–"


def test_settings_over_their_seeds(
    compare: Open, trained: list[RunRow], finished: Finished
) -> None:
    base = trained[2].config
    other = finished(queue().submit(base.changed(seed=1), name="slow too"))
    app = compare(*(row.id for row in [*trained, other]), tab="Final results")
    said = texts(app, "markdown")
    assert ("Not distinguishable over their seeds" in said) or ("differ by more than" in said)


def test_no_seeds_to_compare_is_said(compare: Open) -> None:
    app = compare(recorded(1), recorded(2, epochs=3), tab="Final results")
    assert "No two of these runs differ in the seed alone" in texts(app, "caption")


def test_a_knob_against_a_result(compare: Open) -> None:
    ids = [recorded(i, learning_rate=10.0**-i, activation="relu" if i % 2 else "auto", seed=i)
           for i in (1, 2, 3, 4)]  # fmt: skip
    app = compare(*ids, tab="Settings and results")
    # The seed was not varied on purpose: it comes last of the knobs.
    assert app.selectbox(key="compare_knob").options[:3] == ["Activation", "Learning rate", "Seed"]
    check(app.selectbox(key="compare_knob").select("learning_rate").run())
    assert app.toggle(key="compare_knob_log_learning_rate").value
    check(app.selectbox(key="compare_knob_colour").select("activation").run())
    scatter, axes = alts(app)
    assert scatter.startswith("Test accuracy against Learning rate for 4 runs: the highest is")
    assert "Activation, Learning rate, Seed, Test accuracy, for 4 runs" in axes
    for name in ("test_loss", "seconds", "total_parameters"):
        check(app.selectbox(key="compare_result").select(name).run())
        check(app.selectbox(key="compare_parallel_result").select(name).run())


def test_a_unit_that_is_the_title_is_not_said_twice(compare: Open) -> None:
    app = compare(recorded(1), recorded(2, epochs=3, image_size=64), tab="Settings and results")
    drawn = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
    assert "Epochs" in drawn
    assert "(epochs)" not in drawn


def test_without_a_difference_there_is_no_setting_to_draw(compare: Open) -> None:
    app = compare(recorded(1), recorded(2), tab="Settings and results")
    assert "no setting can be drawn against a result" in texts(app, "info")


@pytest.mark.parametrize("tab", ["Final results", "Settings and results"])
def test_results_of_a_live_run_say_as_of_which_epoch_and_follow(compare: Open, tab: str) -> None:
    done = recorded(0)
    live = store().create_run(
        RunConfig(dataset="drawn-signs", seed=1), name="still going", status="preparing"
    )
    store().record(live, [started(), *(step(k) for k in range(1, 6)), epoch(1)])
    app = compare(done, live, tab=tab)
    assert "Not final yet: still going (as of epoch 1)." in texts(app, "caption")
    (panel,) = components(app, "panel")
    assert panel["topic"].startswith("panel:")
    store().record(live, [*(step(k) for k in range(6, 11)), epoch(2)])
    feed = PanelFeed(panel["topic"].removeprefix("panel:"))
    newer = feed.changes()
    assert newer is not None
    assert newer["panel"]["state"] != panel["panel"]["state"]  # so the browser asks for the page
    store().record(live, [ended()])
    assert "Not final" not in texts(check(app.run()), "caption")


def test_ended_runs_are_not_followed(compare: Open) -> None:
    app = compare(recorded(0), recorded(1, seed=1), tab="Final results")
    assert not components(app, "panel")


# --- the same images -----------------------------------------------------------------------------
def test_the_first_two_on_one_data_set_are_set_side_by_side(
    compare: Open, completed: Completed
) -> None:
    base = RunConfig(dataset=make_tiny_pack(), architecture="single-layer-perceptron", epochs=1)
    other = base.changed(dataset=make_tiny_pack("other"))
    rows = completed((base, "a"), (other, "b"), (base.changed(seed=1), "c"))
    app = compare(*(row.id for row in rows), tab="Same images")
    assert app.multiselect(key="compare_same_images").value == [rows[0].id, rows[2].id]
    assert not app.warning


def test_two_runs_on_the_same_images(compare: Open, trained: list[RunRow]) -> None:
    app = compare(*(row.id for row in trained), tab="Same images")
    assert app.multiselect(key="compare_same_images").value == [trained[0].id, trained[1].id]
    who = ", ".join(
        f"{letter} ({plain(row.name)})" for letter, row in zip("AB", trained, strict=False)
    )
    assert f"30 test images: {who}" in texts(app, "caption")
    check(app.button(key="compare_ask").click().run())
    assert "Not asked yet" not in texts(app, "caption")
    check(app.multiselect(key="compare_same_images").select(trained[2].id).run())
    check(app.button(key="compare_ask").click().run())
    one, two, other = (saved_predictions(store().folder(r.id), "best", "test") for r in trained)
    assert one is not None
    assert two is not None
    assert other is not None
    test = paired(one, other).test()
    names = [
        f"{letter} ({plain(f'my $bars$ · {row.id[-4:]}')})"
        for letter, row in (("A", trained[0]), ("C", trained[2]))
    ]
    every = [paired(a, b).test().p_mid for a, b in ((one, two), (one, other), (two, other))]
    assert in_words(test, *names, p=holm(every)[1], pairs=3) in texts(app, "markdown")
    assert "**Not distinguishable here:** A and B" in texts(app, "markdown")
    table = app.dataframe[-1].value
    assert list(table["Runs"]) == ["A and B", "A and C", "B and C"]
    assert table["Only the first"][1] == test.only_first
    matrices = matrix_alts(app)
    assert [alt[0] for alt in matrices] == ["A", "B", "C"]
    right = int(one.right.sum())
    assert f"{right} of 30 images are on the diagonal" in matrices[0]


def test_runs_on_other_images_are_left_out_and_named(
    compare: Open, trained: list[RunRow], finished: Finished
) -> None:
    config = RunConfig(
        dataset=make_tiny_pack("others", seed=9), architecture="single-layer-perceptron", epochs=1
    )
    other = finished(queue().submit(config, name="elsewhere"))
    app = compare(trained[0].id, other.id, tab="Same images")
    assert "Left out, as trained on another data set or version than A" in texts(app, "warning")
    assert "B (elsewhere)" in texts(app, "warning")
    check(app.button(key="compare_ask").click().run())
    assert len(matrix_alts(app)) == 1


# --- from the Runs page --------------------------------------------------------------------------
def test_the_runs_page_links_to_it(open_page: OpenPage, trained: list[RunRow]) -> None:
    app = open_page("runs", run=trained[1].id)
    check(app.button(key="runs_compare").click().run())
    assert app.multiselect(key="compare_runs").value == [trained[1].id]
    app = open_page("runs")
    app.session_state["runs_ticked"] = [row.id for row in trained]
    check(app.run())
    check(app.button(key="runs_compare_ticked").click().run())
    assert set(app.multiselect(key="compare_runs").value) == {row.id for row in trained}


def test_one_setting_that_differs_leads_to_the_question_whether_it_matters(compare: Open) -> None:
    one, other, both = (
        recorded(0, learning_rate=0.01),
        recorded(1, learning_rate=0.001, seed=3),
        recorded(2, learning_rate=0.001, batch_size=8),
    )

    def questions(*run_ids: str) -> list[str]:
        links = [element.proto for element in compare(*run_ids).get("page_link")]
        return [f"{e.label} {e.query_string}" for e in links if "five seeds" in e.label]

    (asked,) = questions(one, other)
    assert asked.startswith("Does learning rate matter? Try both with five seeds ")
    assert f"run={one}" in asked
    assert "matter=learning_rate&against=0.001" in asked
    assert questions(one, both) == []
    assert questions(one) == []
