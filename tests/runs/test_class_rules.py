"""A run's budget, assignments, and who sees test results."""

from dataclasses import replace

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, NotAllowedError, NotFoundError, StateError
from lab.people import Person, acting_as
from lab.runs import schema
from lab.runs.assignments import (
    assignment,
    assignments,
    close_assignment,
    create_assignment,
    delete_assignment,
)
from lab.runs.class_rules import ClassRules, change_rules, results_hidden, rules
from lab.runs.queue import Queue
from lab.runs.recorder import Recorder
from lab.runs.store import Store
from lab.training.control import Control

from .fakes import CONFIG, ended, epoch, started, step

PUPIL = Person("p1", "Ada", "member")


@pytest.fixture
def queue(runs: Store) -> Queue:
    """Not started: what is submitted waits."""
    return Queue(runs, resolve=lambda config: "cpu")


def test_rules_are_kept_and_only_an_admin_changes_them(runs: Store) -> None:
    assert rules(runs.database) == ClassRules()
    change_rules(runs.database, most_epochs=5, short_first=True)
    changed = change_rules(runs.database, most_minutes=10)
    assert rules(runs.database) == changed
    assert (changed.most_epochs, changed.most_minutes, changed.short_first) == (5, 10, True)
    with pytest.raises(ConfigError, match=r"Most epochs is -1; .*greater than or equal to 0"):
        change_rules(runs.database, most_epochs=-1)
    with acting_as(PUPIL), pytest.raises(NotAllowedError):
        change_rules(runs.database, most_epochs=0)


def test_a_member_keeps_to_the_budget_and_an_admin_need_not(queue: Queue, runs: Store) -> None:
    change_rules(runs.database, most_epochs=3, most_image_size=64, queue_limit=2)
    large = CONFIG.changed(epochs=9, image_size=128)
    queue.submit(large)
    with acting_as(PUPIL):
        with pytest.raises(ConfigError, match=r"epochs is 9; the teacher allows at most 3"):
            queue.submit(large)
        with pytest.raises(ConfigError, match=r"image_size is 128; .* at most 64"):
            queue.submit(large.changed(epochs=3))
        for _ in range(2):
            queue.submit(CONFIG)
        with pytest.raises(StateError, match="You have 2 runs waiting"):
            queue.submit(CONFIG)
        taken_out = runs.queued()[-1].id
        queue.remove(taken_out)
        queue.submit(CONFIG)
        with pytest.raises(StateError, match="You have 2 runs waiting"):
            queue.resume(taken_out)


def test_test_results_are_hidden_from_members_until_they_are_shown(
    runs: Store, run_id: str
) -> None:
    end = ended("completed")
    runs.record(run_id, [started(), epoch(1), end])
    assert runs.run(run_id).test == end.test != {}

    def seen() -> list[object]:
        with acting_as(PUPIL):
            row, (listed,) = runs.run(run_id), runs.runs()
            assert row == listed
            return [row.test_accuracy, row.test_samples, results_hidden(runs.database)]

    assert seen() == [None, None, True]
    change_rules(runs.database, test_shown=True)
    assert seen() == [end.test["accuracy"], 10, False]


def test_the_live_view_leaves_test_results_out_of_a_class_that_does_not_see_them(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.record(run_id, [started(), ended("completed")])
    assert runs.run_for_all(run_id).test  # a lab of one's own hides nothing
    monkeypatch.setenv("LAB_SHARED", "class")
    assert not runs.run_for_all(run_id).test


def test_an_assignment_is_kept_and_lets_only_its_open_knobs_move(queue: Queue, runs: Store) -> None:
    given = create_assignment(
        runs.database,
        title=" Signs,  the learning rate ",
        text="Find a good one.",
        config=RunConfig(dataset="drawn-signs", architecture="sign-cnn", epochs=3),
        open=["epochs", "learning_rate"],
    )
    assert given.open == ("learning_rate", "epochs") or given.open == ("epochs", "learning_rate")
    assert assignment(runs.database, given.id) == given
    assert assignments(runs.database) == [given]
    assert given.title == "Signs, the learning rate"
    moved = given.config.changed(learning_rate=0.5, image_size=28)
    with acting_as(PUPIL):
        run_id = queue.submit(moved, assignment=given.id)
        assert runs.run(run_id).assignment == given.id
        with pytest.raises(ConfigError, match=r"batch_size is 7; in .* fixed at 32"):
            queue.submit(moved.changed(batch_size=7), assignment=given.id)
        with pytest.raises(NotFoundError, match="no assignment 'a-none'"):
            queue.submit(moved, assignment="a-none")
        with pytest.raises(NotAllowedError):
            close_assignment(runs.database, given.id)
    close_assignment(runs.database, given.id)
    with pytest.raises(StateError, match="closed"):
        queue.submit(moved, assignment=given.id)
    delete_assignment(runs.database, given.id)
    assert assignments(runs.database) == []


def test_an_assignment_s_fixed_knobs_are_told_in_words(runs: Store) -> None:
    config = RunConfig(dataset="drawn-signs", architecture="sign-cnn", epochs=3, batch_size=8)
    given = create_assignment(
        runs.database, title="T", text="", config=config, open=["epochs", "freeze"]
    )
    words = given.fixed()
    assert len(words) == 3
    assert words[2] == "batch size 8"
    assert given.with_open(RunConfig(epochs=9, seed=3)) == config.changed(epochs=9)


def test_a_run_ends_at_the_minutes_that_the_teacher_allows(runs: Store, queue: Queue) -> None:
    change_rules(runs.database, most_minutes=1)
    with acting_as(PUPIL):
        run_id = queue.submit(CONFIG)
    assert runs.run(run_id).most_seconds == 60
    runs.claim(run_id)
    control = Control()
    with Recorder(runs, run_id, control) as recorder:
        recorder.add(started())
        recorder.add(replace(step(1), seconds=59.0))
        assert control.wanted == "run"
        recorder.add(replace(step(2), seconds=60.0))
        assert control.wanted == "finish"
        recorder.add(replace(step(3), seconds=61.0))
        recorder.add(ended("completed"))
    (line,) = [line for line in runs.log(run_id) if line.level == "warning"]
    assert line.text.startswith("Finished after 1 min 00 s of training, which is the limit")
    assert runs.run(queue.submit(CONFIG)).most_seconds is None  # the operator's own


def test_damaged_rules_and_assignments_are_passed_over(runs: Store) -> None:
    with runs.database.write() as connection:
        for key, value in (
            ("class", [1]),
            ("class", "x"),
            ("assignment:a-1", {}),
            ("assignment:a-2", 5),
        ):
            connection.execute(schema.settings.delete().where(schema.settings.c.key == key))
            connection.execute(schema.settings.insert().values(key=key, value=value))
    assert rules(runs.database) == ClassRules()
    assert assignments(runs.database) == []
