"""The board, an assignment from hand-out to run, and the rules, as pages show them."""

import pytest

from lab import people
from lab.config import RunConfig
from lab.people import Person, acting_as
from lab.runs.assignments import assignment, assignments, create_assignment
from lab.runs.class_rules import change_rules, rules
from lab.runs.queue import Queue
from lab.runs.store import store
from lab.training.plan import resolve
from lab.ui.widgets import links
from tests.app.conftest import OpenPage
from tests.components import components

PUPIL = Person("p1", "Ada", "member")
QUICK = RunConfig(dataset="drawn-signs", architecture="single-layer-perceptron", epochs=2)


@pytest.fixture
def given() -> str:
    """An assignment whose epochs may be moved."""
    made = create_assignment(
        store().database, title="Signs", text="Choose *well*.", config=resolve(QUICK),
        open=["epochs"],
    )  # fmt: skip
    return made.id


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run trains: what is submitted waits."""
    monkeypatch.setattr(Queue, "start", lambda self: None)


def test_an_assignment_shows_its_open_knobs_and_starts_with_the_fixed_ones(
    open_page: OpenPage, given: str, started: None
) -> None:
    app = open_page("train", assignment=given)
    assert app.title[0].value == "Signs"
    knobs = {widget.key for widget in app.number_input if widget.key.startswith("train_")}
    assert knobs == {"train_epochs"}
    assert "train_dataset" not in {widget.key for widget in app.selectbox}
    app.number_input(key="train_epochs").set_value(1).run()
    app.session_state["train_batch_size"] = 7  # a browser that sends what is not open
    app.button(key="train_start").click().run()
    assert not app.exception
    (run,) = store().runs()
    assert run.assignment == given
    fixed = assignment(store().database, given).config
    assert run.config == fixed.changed(epochs=1)
    app.button(key="train_leave_assignment").click().run()
    assert "assignment" not in app.query_params


def test_an_open_architecture_and_data_set_are_chosen_by_title(open_page: OpenPage) -> None:
    made = create_assignment(
        store().database, title="Open", text="", config=resolve(QUICK),
        open=["dataset", "architecture"],
    )  # fmt: skip
    app = open_page("train", assignment=made.id)
    assert not app.exception
    assert "Single-layer perceptron" in app.selectbox(key="train_architecture").options
    assert "Drawn signs" in app.selectbox(key="train_dataset").options


def test_a_link_to_no_assignment_says_so(open_page: OpenPage) -> None:
    app = open_page("train", assignment="a-none")
    assert "no assignment" in app.error[0].value
    assert app.title[0].value == "Train"


def test_a_teacher_hands_settings_out(open_page: OpenPage) -> None:
    app = open_page("train")
    app.session_state["train_sharing"] = True
    app.run()
    app.button(key="train_hand_out_open").click().run()
    # All at once: a run of the whole script, as here, draws the dialog after a press alone.
    app.button(key="train_hand_out_open").click()
    app.text_input(key="train_hand_out_title").set_value("Ours")
    app.button(key="train_hand_out").click().run()
    assert not app.exception
    (made,) = assignments(store().database)
    assert (made.title, made.open) == ("Ours", ("batch_size", "learning_rate", "epochs"))


@pytest.mark.parametrize("signs_in", [False, True])
def test_the_board_names_the_expander_that_the_train_page_has(
    open_page: OpenPage, given: str, monkeypatch: pytest.MonkeyPatch, signs_in: bool
) -> None:
    monkeypatch.setattr(links, "has_sign_in", lambda: signs_in)
    titles = [expander.label for expander in open_page("train").expander]
    hint = next(c.value for c in open_page("board").caption if "Make one" in c.value)
    assert hint.split("“")[1].split("”")[0] in titles


def test_the_board_has_a_line_for_each_person(
    open_page: OpenPage, given: str, started: None
) -> None:
    with acting_as(PUPIL):
        store().create_run(QUICK, assignment=given)
    app = open_page("board", subject=given)
    [panel] = components(app, "panel")
    board = panel["panel"]["blocks"][0]
    (row,) = board["rows"]
    assert (board["kind"], row["name"], row["now"]["text"]) == ("board", "Ada", "Next in line")
    assert board["metric"].startswith("Validation")
    app.button(key="board_show_test").click().run()
    assert rules(store().database).test_shown
    assert not open_page("board", view="projector", subject=given).exception


def test_a_link_opens_the_board_that_it_names_not_the_newest(
    open_page: OpenPage, given: str, started: None
) -> None:
    newer = create_assignment(
        store().database, title="Newer", text="", config=resolve(QUICK), open=[]
    )
    app = open_page("board", subject=given)
    box = app.selectbox(key="board_subject")
    assert box.value == given
    assert given in app.query_params["subject"]
    box.set_value(newer.id).run()
    assert newer.id in app.query_params["subject"]
    [panel] = components(app, "panel")
    assert panel["panel"]["state"] == "empty"


def test_a_member_sees_no_switches_and_no_test_results(
    open_page: OpenPage, given: str, started: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "OPERATOR", PUPIL)  # who acts where nobody has signed in
    store().create_run(QUICK, assignment=given)
    app = open_page("board", subject=given)
    keys = {button.key for button in app.button}
    assert not keys & {"board_show_test", "board_stop", "board_delete"}
    own = [metric.label for metric in open_page("storage").metric]
    assert own[:3] == ["Yours", "You may have", "Data sets"]


def test_the_rules_are_set_on_the_page(open_page: OpenPage, given: str) -> None:
    app = open_page("board")
    assert app.number_input(key="board_rule_most_epochs").value is None  # no limit is no zero
    app.number_input(key="board_rule_most_epochs").set_value(12)
    app.toggle(key="board_rule_short_first").set_value(True)
    next(b for b in app.button if b.label == "Save").click().run()
    now = rules(store().database)
    assert (now.most_epochs, now.short_first, now.queue_limit) == (12, True, 3)
    assert now.most_minutes == 0
    change_rules(store().database, most_epochs=0)


def test_storage_tells_what_the_lab_keeps(open_page: OpenPage) -> None:
    app = open_page("storage")
    labels = [metric.label for metric in app.metric]
    assert labels == ["The lab's folder", "It may hold", "Free on the disk", "Can be cleaned"]
