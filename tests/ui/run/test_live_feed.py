"""What goes to the browser at each tick: little, complete, and right after every mishap."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from lab.metrics import METRICS, epoch_columns, step_columns
from lab.runs.rows import EpochColumns, StepColumns
from lab.ui.run.live_feed import (
    NEW_PER_TICK,
    OVERLAP,
    WHOLE,
    LiveHistory,
    Sent,
    alt_texts,
    next_message,
)


class Run:
    """A history that a test lets grow; an epoch every ten steps."""

    def __init__(self, seed: int = 0) -> None:
        self.count = 0
        self.loss = np.random.default_rng(seed).uniform(0.1, 3, 100_000)

    def read(self, after_step: int, /) -> LiveHistory:
        step = np.arange(after_step + 1, self.count + 1)
        loss = self.loss[after_step : self.count]
        epoch = np.arange(after_step // 10 + 1, self.count // 10 + 1)
        value = self.loss[epoch * 10 - 1]
        return LiveHistory(
            StepColumns(
                step, step, loss, loss, {name: loss for name in step_columns(METRICS.values())}
            ),
            EpochColumns(
                epoch,
                epoch * 10,
                value,
                value,
                value,
                value,
                value > 0,
                ("all",) * len(epoch),
                {name: value for name in epoch_columns(METRICS.values())},
            ),
            best_epoch=1 if self.count >= 10 else None,
        )


class Blank:
    """The same history from before top-5 accuracy was measured."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def read(self, after_step: int, /) -> LiveHistory:
        history = self.run.read(after_step)
        assert isinstance(history.epochs, EpochColumns)
        none = np.full(len(history.epochs), np.nan)
        metrics = {**history.epochs.metrics, "val_top5_accuracy": none}
        epochs = dataclasses.replace(history.epochs, metrics=metrics)
        return dataclasses.replace(history, epochs=epochs)


FEW = tuple(METRICS[name] for name in ("loss", "accuracy", "macro_recall"))


def next_of(run: Run, sent: Sent | None, *, run_id: str = "r") -> tuple[dict, Sent]:
    return next_message(run.read, run_id=run_id, metrics=FEW, sent=sent)


class Browser:
    """What live_chart.js does: drops known points, asks for the whole history when some lack."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.epochs: list[int] = []
        self.asks = False

    def receive(self, message: dict) -> None:
        json.dumps(message, allow_nan=False)
        if message["whole"]:
            self.steps, self.epochs, self.asks = [], [], False
        last = self.steps[-1] if self.steps else 0
        if message["after"] > last:
            self.asks = True
            return
        steps = message["step"]
        if isinstance(steps, int):
            steps = list(range(steps, steps + len(message["step_columns"]["loss"])))
        assert (
            len(steps)
            == len(message["step_columns"]["loss"])
            == len(message["step_columns"]["accuracy_smoothed"])
        )
        self.steps += [step for step in steps if step > last]
        self.epochs += [n for n in message["epoch"] if n > (self.epochs or [0])[-1]]


def test_every_step_arrives_once_and_in_order() -> None:
    run, browser, sent = Run(), Browser(), None
    for run.count in (0, 0, 1, 2, 30, 30, 75, 160, 240):
        message, sent = next_of(run, sent)
        browser.receive(message)
    assert browser.steps == list(range(1, 241))
    assert browser.epochs == list(range(1, 25))


def test_a_tick_costs_the_same_after_100_000_steps() -> None:
    sizes = []
    for start in (1_000, 99_000):
        run, sent = Run(), None
        for run.count in (start, start + 20):
            message, sent = next_of(run, sent)
        sizes.append(len(json.dumps(message)))
    assert max(sizes) < 3_000


def test_nothing_new_is_an_equal_message() -> None:
    run = Run()
    run.count = 105
    _, sent = next_of(run, None)
    first, sent = next_of(run, sent)
    second, _ = next_of(run, sent)
    assert first == second
    assert first["step_columns"]["loss"] == []


def test_a_short_loss_is_mended_by_the_overlap_and_a_long_one_by_asking() -> None:
    run, browser, sent = Run(), Browser(), None
    run.count = 200
    message, sent = next_of(run, sent)
    browser.receive(message)
    run.count = 200 + OVERLAP
    _, sent = next_of(run, sent)  # lost on its way
    run.count += 10
    message, sent = next_of(run, sent)
    browser.receive(message)
    assert browser.steps == list(range(1, run.count + 1))

    for more in (80, 20):
        run.count += more
        message, sent = next_of(run, sent)
    browser.receive(message)  # only the second of the two
    assert browser.asks
    message, sent = next_of(run, None)
    browser.receive(message)
    assert browser.steps == list(range(1, run.count + 1))
    assert not browser.asks


def test_another_run_and_a_run_that_went_back_are_sent_whole() -> None:
    run = Run()
    run.count = 300
    _, sent = next_of(run, None)
    message, _ = next_of(run, sent, run_id="other")
    assert message["whole"]
    assert message["run"] == "other"

    run.count = 280  # resumed from its last checkpoint
    message, _ = next_of(run, sent)
    assert message["whole"]

    again = Run(seed=1)  # resumed and already past the old end, on another path
    again.count = 320
    message, _ = next_of(again, sent)
    assert message["whole"]


def test_a_run_that_stopped_being_a_number_still_arrives() -> None:
    run, browser, sent = Run(), Browser(), None
    run.loss[59:] = np.nan
    for run.count in (50, 60, 60, 61):
        message, sent = next_of(run, sent)
        browser.receive(message)
        assert not message["whole"] or run.count == 50
    assert browser.steps[-1] == 61
    assert message["step_columns"]["loss"][-1] is None
    assert "not a number smoothed" in alt_texts(sent, live=False, best_epoch=1)["loss"]


def test_a_long_history_comes_thinned_with_its_extremes() -> None:
    run, browser = Run(), Browser()
    run.count = 50_000
    run.loss[[12_345, 23_456, 34_567]] = (99, -99, np.nan)
    message, _ = next_of(run, None)
    browser.receive(message)
    assert WHOLE / 3 < len(browser.steps) <= WHOLE
    assert {1, 12_346, 23_457, run.count} <= set(browser.steps)
    assert {99.0, -99.0} <= set(message["step_columns"]["loss"])


def test_fast_runs_are_thinned_as_they_come() -> None:
    run = Run()
    run.count = 1_000
    _, sent = next_of(run, None)
    run.count = 2_000
    message, sent = next_of(run, sent)
    assert len(message["step_columns"]["loss"]) <= OVERLAP + NEW_PER_TICK
    assert message["step"][-1] == sent.step == 2_000


def test_a_metric_that_an_older_run_lacks_is_not_offered() -> None:
    run = Run()
    run.count = 30
    many = (*FEW, METRICS["top5_accuracy"])

    message, sent = next_message(run.read, run_id="r", metrics=many, sent=None)
    assert [metric["id"] for metric in message["metrics"]] == [m.name for m in many]
    assert "val_macro_recall" in message["epoch_columns"]
    assert "macro_recall" not in message["step_columns"]
    blank = Blank(run)
    message, sent = next_message(blank.read, run_id="r", metrics=many, sent=None)
    assert [metric["id"] for metric in message["metrics"]] == ["loss", "accuracy", "macro_recall"]
    run.count = 40
    message, _ = next_message(blank.read, run_id="r", metrics=many, sent=sent)
    assert "val_top5_accuracy" not in message["epoch_columns"]


def test_sentences() -> None:
    loss_and_accuracy = tuple(METRICS[name] for name in ("loss", "accuracy"))
    nothing = Sent("r", 0, np.nan, loss_and_accuracy, None, {})
    assert alt_texts(nothing, live=True, best_epoch=None)["loss"] == "Loss: no point to show yet."
    latest = {
        "loss_smoothed": 0.41234, "accuracy_smoothed": 0.8765, "train_loss": 0.4, "val_loss": 0.38,
        "train_accuracy": 0.88, "val_accuracy": 0.9, "val_macro_recall": 0.85,
    }  # fmt: skip
    sent = Sent("r", 1240, 0.5, (*loss_and_accuracy, METRICS["macro_recall"]), 3, latest)
    assert alt_texts(sent, live=True, best_epoch=2) == {
        "loss": "Loss after 1,240 steps so far: 0.4123 smoothed over batches; "
        "epoch 3: training 0.4, validation 0.38; best epoch 2.",
        "accuracy": "Accuracy after 1,240 steps so far: 87.6% smoothed over batches; "
        "epoch 3: training 88.0%, validation 90.0%; best epoch 2.",
        "macro_recall": "Macro recall after 1,240 steps so far: "
        "epoch 3: validation 85.0%; best epoch 2.",
    }
    early = dataclasses.replace(sent, epoch=None)
    assert alt_texts(early, live=False, best_epoch=None)["loss"] == (
        "Loss after 1,240 steps: 0.4123 smoothed over batches."
    )
