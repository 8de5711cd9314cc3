"""More epochs, other settings from here on, a changed rate; star, notes, baseline."""

import time
from collections.abc import Callable

import pytest

from lab.api.lineage import curves_before
from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.app.conftest import Completed, OpenPage
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(
        dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=2, device="cpu"
    )


def test_more_epochs_go_on_from_the_old_curve(
    open_page: OpenPage, finished: Finished, config: RunConfig
) -> None:
    first = finished(queue().submit(config.changed(schedule="step"), name="First"))
    app = open_page("train", run=first.id)
    app.number_input(key="going_on_epochs").set_value(3).run()
    assert [o for o in app.radio(key="going_on_schedule").options] == [
        "Schedule as planned",
        "Schedule anew",
        "At the last rate",
    ]
    assert any("epoch 2 on, to epoch 5" in c.value for c in app.caption)
    app.button(key="going_on_start").click().run()
    assert not app.exception
    child = finished(app.session_state["run"])
    assert (child.parent, child.parent_epoch, child.name) == (first.id, 2, "First, on to epoch 5")
    assert list(store().epochs(child.id).epoch) == [3, 4, 5]
    before = curves_before(store(), child)
    assert before is not None
    assert before["step"][-1] == first.step == store().steps(child.id).step[0] - 1
    assert len(before["validation"]["loss"]) == len(before["epoch_step"]) == 2
    app = open_page("train", run=child.id)
    assert "looked at twice" in " ".join(m.value for m in app.markdown)
    rows = open_page("runs").dataframe[0].value.set_index("Name")
    assert rows["From"]["First, on to epoch 5"] == "First, epoch 2"


def test_the_form_goes_on_with_other_settings(
    open_page: OpenPage, completed: Completed, finished: Finished, config: RunConfig
) -> None:
    [first] = completed((config, None))
    app = open_page("train", run=first.id)
    app.button(key="going_on_fork").click().run()
    assert app.session_state["train_start_from"] == first.id
    app.switch_page("pages/train.py").run()
    app.number_input(key="train_learning_rate").set_value(1e-4).run()
    app.button(key="train_start").click().run()
    child = finished(app.session_state["run"])
    assert child.status == "completed", child.message
    assert (child.parent, child.parent_epoch, child.config.learning_rate) == (first.id, 2, 1e-4)


def test_the_rate_of_a_running_run_is_changed(open_page: OpenPage, config: RunConfig) -> None:
    run_id = queue().submit(config.changed(epochs=3000))
    until = time.monotonic() + 60
    while not store().run(run_id).step and time.monotonic() < until:
        time.sleep(0.02)
    app = open_page("train", run=run_id)
    app.number_input(key="live_rate").set_value(2e-4).run()
    app.button(key="live_rate_change").click().run()
    while not store().run(run_id).rate_changes and time.monotonic() < until:
        time.sleep(0.02)
    queue().stop(run_id)
    assert store().run(run_id).rate_changes[0][1] == 2e-4


def test_star_notes_and_baseline_stand_in_the_table(
    open_page: OpenPage, finished: Finished, config: RunConfig
) -> None:
    one = finished(queue().submit(config, name="One"))
    finished(queue().submit(config.changed(learning_rate=1e-5), name="Two"))
    app = open_page("runs", run=one.id)
    app.button(key="runs_star").click().run()
    app.button(key="runs_baseline").click().run()
    rows = app.dataframe[0].value.set_index("Name")
    assert rows["Starred"]["One"] == "★"
    assert rows["Test vs baseline"]["One"] == "the baseline"
    assert "points" in rows["Test vs baseline"]["Two"]
    store().set_notes(one.id, "a *note*")
    app = open_page("runs", run=one.id)
    assert any("note" in m.value for m in app.markdown)
