"""What goes to the browser at each tick: little, complete, and right after every mishap."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from lab.charts.series import EpochSeries, StepSeries
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
            StepSeries(step, loss, loss, loss / 3, loss / 3, loss),
            EpochSeries(epoch, epoch * 10, value, value / 3, value, value / 3),
            best_epoch=1 if self.count >= 10 else None,
        )


class Browser:
    """What live_chart.js does with the messages: drops what it has, asks when there is a hole."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.epochs: list[int] = []
        self.asks = False

    def take(self, message: dict) -> None:
        json.dumps(message, allow_nan=False)
        if message["whole"]:
            self.steps, self.epochs, self.asks = [], [], False
        last = self.steps[-1] if self.steps else 0
        if message["after"] > last:
            self.asks = True
            return
        steps = message["step"]
        if isinstance(steps, int):
            steps = list(range(steps, steps + len(message["loss"])))
        assert len(steps) == len(message["loss"]) == len(message["accuracy_smoothed"])
        self.steps += [step for step in steps if step > last]
        self.epochs += [n for n in message["epoch"] if n > (self.epochs or [0])[-1]]


def test_every_step_arrives_once_and_in_order() -> None:
    run, browser, sent = Run(), Browser(), None
    for run.count in (0, 0, 1, 2, 30, 30, 75, 160, 240):
        message, sent = next_message(run.read, run_id="r", sent=sent)
        browser.take(message)
    assert browser.steps == list(range(1, 241))
    assert browser.epochs == list(range(1, 25))


def test_a_tick_costs_the_same_after_100_000_steps() -> None:
    sizes = []
    for start in (1_000, 99_000):
        run, sent = Run(), None
        for run.count in (start, start + 20):
            message, sent = next_message(run.read, run_id="r", sent=sent)
        sizes.append(len(json.dumps(message)))
    assert max(sizes) < 3_000


def test_nothing_new_is_an_equal_message() -> None:
    run = Run()
    run.count = 105
    _, sent = next_message(run.read, run_id="r", sent=None)
    first, sent = next_message(run.read, run_id="r", sent=sent)
    second, _ = next_message(run.read, run_id="r", sent=sent)
    assert first == second
    assert first["loss"] == []


def test_a_short_loss_is_mended_by_the_overlap_and_a_long_one_by_asking() -> None:
    run, browser, sent = Run(), Browser(), None
    run.count = 200
    message, sent = next_message(run.read, run_id="r", sent=sent)
    browser.take(message)
    run.count = 200 + OVERLAP
    _, sent = next_message(run.read, run_id="r", sent=sent)  # lost on its way
    run.count += 10
    message, sent = next_message(run.read, run_id="r", sent=sent)
    browser.take(message)
    assert browser.steps == list(range(1, run.count + 1))

    for more in (80, 20):
        run.count += more
        message, sent = next_message(run.read, run_id="r", sent=sent)
    browser.take(message)  # only the second of the two
    assert browser.asks
    message, sent = next_message(run.read, run_id="r", sent=None)
    browser.take(message)
    assert browser.steps == list(range(1, run.count + 1))
    assert not browser.asks


def test_another_run_and_a_run_that_went_back_are_sent_whole() -> None:
    run = Run()
    run.count = 300
    _, sent = next_message(run.read, run_id="r", sent=None)
    message, _ = next_message(run.read, run_id="other", sent=sent)
    assert message["whole"]
    assert message["run"] == "other"

    run.count = 280  # resumed from its last checkpoint
    message, _ = next_message(run.read, run_id="r", sent=sent)
    assert message["whole"]

    again = Run(seed=1)  # resumed and already past the old end, on another path
    again.count = 320
    message, _ = next_message(again.read, run_id="r", sent=sent)
    assert message["whole"]


def test_a_run_that_stopped_being_a_number_still_arrives() -> None:
    run, browser, sent = Run(), Browser(), None
    run.loss[59:] = np.nan
    for run.count in (50, 60, 60, 61):
        message, sent = next_message(run.read, run_id="r", sent=sent)
        browser.take(message)
        assert not message["whole"] or run.count == 50
    assert browser.steps[-1] == 61
    assert message["loss"][-1] is None
    assert "not a number smoothed" in alt_texts(sent, live=False, best_epoch=1)["loss"]


def test_a_long_history_comes_thinned_with_its_extremes() -> None:
    run, browser = Run(), Browser()
    run.count = 50_000
    run.loss[[12_345, 23_456, 34_567]] = (99, -99, np.nan)
    message, _ = next_message(run.read, run_id="r", sent=None)
    browser.take(message)
    assert WHOLE / 3 < len(browser.steps) <= WHOLE
    assert {1, 12_346, 23_457, run.count} <= set(browser.steps)
    assert {99.0, -99.0} <= set(message["loss"])


def test_fast_runs_are_thinned_as_they_come() -> None:
    run = Run()
    run.count = 1_000
    _, sent = next_message(run.read, run_id="r", sent=None)
    run.count = 2_000
    message, sent = next_message(run.read, run_id="r", sent=sent)
    assert len(message["loss"]) <= OVERLAP + NEW_PER_TICK
    assert message["step"][-1] == sent.step == 2_000


def test_sentences() -> None:
    nothing = Sent("r", 0, np.nan, (np.nan, np.nan), None)
    assert alt_texts(nothing, live=True, best_epoch=None)["loss"] == "Loss: no point to show yet."
    sent = Sent("r", 1240, 0.5, (0.41234, 0.8765), (3.0, 0.4, 0.38, 0.88, 0.9))
    assert alt_texts(sent, live=True, best_epoch=2) == {
        "loss": "Loss after 1,240 steps so far: 0.412 smoothed over batches; "
        "epoch 3: training 0.4, validation 0.38; best epoch 2.",
        "accuracy": "Accuracy after 1,240 steps so far: 87.6% smoothed over batches; "
        "epoch 3: training 88.0%, validation 90.0%; best epoch 2.",
    }
    early = dataclasses.replace(sent, epoch=None)
    assert alt_texts(early, live=False, best_epoch=None)["loss"] == (
        "Loss after 1,240 steps: 0.412 smoothed over batches."
    )
