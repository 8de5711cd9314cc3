"""What viewers of a run are sent: all once, then what is new, nothing twice, nothing left out."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from lab.api import run_feed
from lab.api.history import NEW, WHOLE
from lab.api.judging import Judge
from lab.api.run_feed import IDLE, LIVE, SOON, RunFeed
from lab.errors import NotFoundError
from lab.runs.judging import Judgement
from lab.runs.spill import Spill
from lab.runs.store import Store
from lab.training.watch import layer_file
from lab.training.watch.film_files import ProbeSnapshot, remove_from, write_snapshot
from lab.training.watch.layer_file import BINS, LayerWriter
from tests.runs.fakes import CONFIG, ended, epoch, started, step

from .conftest import train


@pytest.fixture(autouse=True)
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging has a test file of its own."""
    monkeypatch.setattr(Judge, "look", lambda *_, **__: None)


@pytest.fixture
def feed(runs: Store, run_id: str) -> RunFeed:
    runs.record(run_id, [started()])
    return RunFeed(runs, run_id)


class Viewer:
    """Collects what it is sent, as the browser does."""

    def __init__(self) -> None:
        self.cursor = ""
        self.steps: list[int] = []
        self.epochs: list[int] = []
        self.lines: list[int] = []

    def take(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        json.dumps(message, allow_nan=False)
        self.cursor = message["cursor"]
        history = message.get("history", {"whole": False, "step": [], "epoch": []})
        if history["whole"]:
            self.steps, self.epochs = [], []
        self.steps += steps_of(history)
        self.epochs += history["epoch"]
        self.lines += [line["seq"] for line in message.get("log", [])]


def steps_of(history: dict[str, Any]) -> list[int]:
    step = history["step"]
    if isinstance(step, list):
        return step
    return [step + i for i in range(len(history["step_columns"]["loss"]))]


def snapshot_of(number: int, *, peak: float = 2.0, probability: float = 0.75) -> ProbeSnapshot:
    return ProbeSnapshot(
        epoch=number,
        step=number * 5,
        every=1,
        seconds=0.1,
        stages=("conv1",),
        default_stage="conv1",
        names=("a", "b"),
        parts=("train", "val"),
        indices=np.array([3, 9]),
        labels=np.array([0, 1]),
        targets=np.array([0, 1]),
        probabilities=np.array([[probability, 1 - probability]] * 2, dtype=np.float32),
        influence=np.ones((1, 2), dtype=np.float32),
        peaks=np.full((1, 2), peak, dtype=np.float32),
        meaningful=np.ones((1, 2), dtype=np.bool_),
    )


def film(runs: Store, run_id: str, number: int, **values: float) -> None:
    maps = np.ones((2, 3, 3), dtype=np.float32)
    write_snapshot(runs.folder(run_id), snapshot_of(number, **values), [maps])


# --- a viewer that comes --------------------------------------------------------------------------
def test_a_snapshot_has_all_there_is(runs: Store, done: str) -> None:
    film(runs, done, 0)
    message = RunFeed(runs, done).snapshot("")
    viewer = Viewer()
    viewer.take(message)
    assert viewer.steps == list(range(1, 11))
    assert viewer.epochs == [1, 2]
    assert message["run"]["status"] == "completed"
    assert message["run"]["id"] == done
    assert message["history"]["whole"]
    assert [c["epoch"] for c in message["film"]["columns"]] == [0]
    assert [line["text"] for line in message["log"]] == ["completed after 10 steps"]
    assert [panel["id"] for panel in message["metrics"]][:2] == ["loss", "accuracy"]
    assert "layers" in message
    assert message["progress"]["text"].startswith("Step 10 of 10")
    assert {"Epoch", "Test accuracy"} <= {tile["label"] for tile in message["tiles"]}
    assert "Loss after 10 steps: " in message["alt"]["loss"]


def test_a_run_that_is_not_there_is_not_found(runs: Store) -> None:
    with pytest.raises(NotFoundError):
        RunFeed(runs, "r-no")


def test_a_deleted_run_is_not_found(runs: Store, done: str) -> None:
    feed = RunFeed(runs, done)
    runs.delete(done)
    with pytest.raises(NotFoundError):
        feed.changes()
    with pytest.raises(NotFoundError):
        feed.snapshot("")


def test_a_viewer_that_comes_back_goes_on_where_it_was(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    """With a break behind every single write."""
    viewer = Viewer()
    for number in range(1, 11):
        runs.record(run_id, [step(number)])
        viewer.take(feed.snapshot(viewer.cursor))
        if number % 5 == 0:
            runs.record(run_id, [epoch(number // 5)])
            runs.write_log(run_id, "info", f"epoch {number // 5}")
            viewer.take(feed.snapshot(viewer.cursor))
        if number % 4 == 0:
            viewer.take(feed.snapshot(viewer.cursor))  # nothing new
    assert viewer.steps == list(range(1, 11))
    assert viewer.epochs == [1, 2]
    assert viewer.lines == [1, 2]


def test_a_cursor_of_changes_is_one_to_come_back_with(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    viewer = Viewer()
    viewer.take(feed.snapshot(""))
    train(runs, run_id, range(2, 4))
    runs.record(run_id, [step(4), step(5)])
    viewer.take(feed.changes())
    runs.record(run_id, [epoch(1), step(6)])
    viewer.take(feed.snapshot(viewer.cursor))
    assert viewer.steps == list(range(2, 7))
    assert viewer.epochs == [1]


@pytest.mark.parametrize("cursor", ["nonsense", "1.2", "1.2.3", "a.b.c.d", "1.2.3.4.5", "0.0.0.0"])
def test_an_unreadable_cursor_is_none(runs: Store, done: str, cursor: str) -> None:
    message = RunFeed(runs, done).snapshot(cursor)
    assert message["history"]["whole"]
    assert len(message["log"]) == 1


def test_a_long_history_is_thinned(runs: Store, run_id: str) -> None:
    total = 3 * WHOLE
    runs.record(run_id, [started(per_epoch=total)])
    runs.record(run_id, [step(n, per_epoch=total, loss=9.0 if n == 77 else 1 / n)
                         for n in range(1, total + 1)])  # fmt: skip
    history = RunFeed(runs, run_id).snapshot("")["history"]
    steps = steps_of(history)
    assert WHOLE / 2 < len(steps) <= WHOLE
    assert (steps[0], steps[-1]) == (1, total)
    assert 77 in steps, "the highest loss stays"
    assert all(len(column) == len(steps) for column in history["step_columns"].values())


# --- all viewers ----------------------------------------------------------------------------------
def test_changes_bring_what_is_new_and_nothing_else(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    feed.changes()
    assert feed.changes() is None
    runs.record(run_id, [step(1), step(2)])
    message = feed.changes()
    assert message is not None
    assert steps_of(message["history"]) == [1, 2]
    assert not message["history"]["whole"]
    assert message["history"]["epoch"] == []
    assert not {"log", "film", "layers", "judgement"} & set(message)
    assert message["run"]["step"] == 2
    assert feed.changes() is None
    runs.write_log(run_id, "warning", "look")
    message = feed.changes()
    assert message is not None
    assert [line["text"] for line in message["log"]] == ["look"]
    assert "history" not in message
    assert feed.changes() is None


def test_an_epoch_is_told_when_it_ends_not_with_the_next_step(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    """Behind the last epoch no step comes, but the test set, which may take a minute."""
    runs.record(run_id, [step(n) for n in range(1, 6)])
    feed.changes()
    runs.record(run_id, [epoch(1)])
    message = feed.changes()
    assert message is not None
    assert message["history"]["epoch"] == [1]
    assert [t["value"] for t in message["tiles"] if t["label"] == "Validation accuracy"] == [
        "50.0%"
    ]


def test_what_happens_between_snapshot_and_changes_is_told(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    viewer = Viewer()
    runs.record(run_id, [step(1)])
    viewer.take(feed.snapshot(""))
    runs.record(run_id, [step(2)])
    message = feed.changes()
    assert message is not None
    told = [*viewer.steps, *steps_of(message["history"])]
    assert set(told) == {1, 2}, "twice is allowed, never is not"


def test_many_new_steps_are_thinned(runs: Store, run_id: str, feed: RunFeed) -> None:
    runs.record(run_id, [step(n, per_epoch=5000) for n in range(1, 1001)])
    message = feed.changes()
    assert message is not None
    steps = steps_of(message["history"])
    assert len(steps) <= NEW
    assert (steps[0], steps[-1]) == (1, 1000)


def test_a_run_that_goes_on_from_an_earlier_step_is_sent_whole(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    viewer = Viewer()
    viewer.take(feed.snapshot(""))
    train(runs, run_id, range(2, 6))
    runs.record(run_id, [step(1)])
    viewer.take(feed.changes())
    before = viewer.cursor
    runs.record(run_id, [ended("paused", steps=5)])
    runs.enqueue(run_id)
    runs.claim(run_id)
    runs.record(run_id, [started(3)])
    message = feed.changes()
    viewer.take(message)
    assert message is not None
    assert message["history"]["whole"]
    assert viewer.steps == [1, 2, 3]
    assert viewer.epochs == []
    tiles = {tile["label"]: tile["value"] for tile in message["tiles"]}
    assert tiles["Validation accuracy"] == "–", "the epoch it was measured after is gone"
    assert feed.snapshot(before)["history"]["whole"], "an old cursor is worth nothing"
    assert not feed.snapshot(viewer.cursor)["history"]["whole"]


def test_film_columns_come_once(runs: Store, run_id: str, feed: RunFeed) -> None:
    film(runs, run_id, 0)
    message = feed.changes()
    assert message is not None
    assert [c["epoch"] for c in message["film"]["columns"]] == [0]
    film(runs, run_id, 1)
    message = feed.changes()
    assert message is not None
    assert [c["epoch"] for c in message["film"]["columns"]] == [1]
    assert not message["film"]["whole"]
    assert feed.changes() is None


def test_film_columns_that_are_taken_back_leave_the_browser_too(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    for number in (0, 1):
        film(runs, run_id, number)
    feed.changes()
    remove_from(runs.folder(run_id), 1)
    message = feed.changes()
    assert message is not None
    assert message["film"]["whole"]
    assert [c["epoch"] for c in message["film"]["columns"]] == [0]
    remove_from(runs.folder(run_id), 0)
    message = feed.changes()
    assert message is not None
    assert message["film"] == {"columns": [], "whole": True}


def test_the_newest_columns_of_a_long_film_strip_are_sent(
    runs: Store, run_id: str, feed: RunFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_feed, "LONG_STRIP", 3)
    for number in range(6):
        film(runs, run_id, number)
    columns = feed.snapshot("")["film"]["columns"]
    assert [column["epoch"] for column in columns] == [3, 4, 5]


def test_the_number_of_layer_samples_comes_when_it_grows(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    feed.changes()
    writer = LayerWriter(runs.folder(run_id), ("a", "b"), ("relu", ""))
    for number in (1, 2):
        zeros = np.zeros((2, 2))
        writer.append(number, np.zeros((5, 2)), zeros, np.zeros((2, BINS)))
        message = feed.changes()
        assert message is not None
        assert message["layers"] == number
        assert feed.changes() is None
    writer.close()
    assert layer_file.newest_sample(runs.folder(run_id)) is not None


def test_a_judgement_comes_when_there_is_a_new_one(
    runs: Store, run_id: str, feed: RunFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = Judgement((), judged_by="Judged by nothing.")
    feed.changes()
    monkeypatch.setattr(Judge, "look", lambda *_, **__: judgement)
    message = feed.changes()
    assert message is not None
    assert message["judgement"]["judged_by"] == "Judged by nothing."
    assert feed.changes() is None
    assert feed.snapshot("")["judgement"]["judged_by"] == "Judged by nothing."


def test_numbers_of_a_diverged_run_are_null(runs: Store, run_id: str, feed: RunFeed) -> None:
    viewer = Viewer()
    runs.record(run_id, [step(1), step(2, values={"loss": math.nan, "accuracy": 0.5}),
                         step(3, loss=math.inf)])  # fmt: skip
    film(runs, run_id, 0, peak=math.nan, probability=math.nan)
    message = feed.changes()
    viewer.take(message)  # raises where it is no JSON
    assert message is not None
    assert message["history"]["step_columns"]["loss"] == [1.0, None, None]
    assert message["film"]["columns"][0]["peaks"] == [[None, None]]
    assert message["film"]["columns"][0]["probability"] == [None, None]
    viewer.take(feed.snapshot(""))


# --- how often ------------------------------------------------------------------------------------
def test_a_queued_run_says_what_trains_before_it(runs: Store, run_id: str) -> None:
    runs.record(run_id, [started()])
    second, third = runs.create_run(CONFIG, name="second"), runs.create_run(CONFIG)
    feed = RunFeed(runs, third)
    assert [r["id"] for r in feed.snapshot("")["ahead"]] == [run_id, second]
    assert feed.snapshot("")["place"] == 2, "the one that trains is in no line"
    assert feed.seconds == LIVE, "it may wait for hours"
    runs.remove(second)
    message = feed.changes()
    assert message is not None
    assert [r["id"] for r in message["ahead"]] == [run_id]
    assert message["place"] == 1
    runs.record(run_id, [ended(steps=0, status="stopped")])
    message = feed.changes()
    assert message is not None
    assert message["ahead"] == []
    assert feed.seconds == SOON, "its turn has come"


def test_it_is_read_soon_before_the_first_point_and_rarely_behind_the_last(
    runs: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = RunFeed(runs, run_id)
    assert feed.seconds == SOON
    train(runs, run_id, range(1, 4))
    feed.changes()
    assert feed.seconds == LIVE
    runs.record(run_id, [ended("stopped", steps=3)])
    feed.changes()
    assert feed.seconds == SOON, "a person waits for the verdicts"
    monkeypatch.setattr(Judge, "look", lambda *_, **__: Judgement(()))
    feed.changes()
    assert feed.seconds == IDLE


def test_an_ending_that_no_disk_has_room_for_is_told_at_once(
    runs: Store, run_id: str, feed: RunFeed
) -> None:
    feed.changes()
    spill = runs.waiting[run_id] = Spill(runs.folder(run_id))
    spill.keep_in_memory(0.0, ended("paused", steps=3, message="The disk is full: ..."))
    message = feed.changes()
    assert message is not None
    assert (message["run"]["status"], message["run"]["message"]) == (
        "paused",
        "The disk is full: ...",
    )
