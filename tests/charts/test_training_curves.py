"""Every figure with no points, one point, NaN and a long history; every sentence is true."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from lab.charts.series import EpochSeries, LabelCounts, StepSeries, last_number, row_of
from lab.charts.training_curves import (
    accuracy_per_epoch,
    accuracy_per_epoch_alt,
    loss_per_epoch,
    loss_per_epoch_alt,
    loss_per_step,
    loss_per_step_alt,
)


def steps(count: int) -> StepSeries:
    step = np.arange(1, count + 1)
    fall = 2.0 / np.sqrt(step)
    return StepSeries(step, fall * 1.1, fall, 1 - fall / 3, 1 - fall / 3, np.full(count, 0.001))


def epochs(count: int) -> EpochSeries:
    epoch = np.arange(1, count + 1)
    fall = 2.0 / np.sqrt(epoch)
    return EpochSeries(epoch, epoch * 10, fall, 1 - fall / 3, fall * 1.2, 1 - fall / 2.8)


def drawable(figure: go.Figure) -> bool:
    return bool(json.loads(figure.to_json())["layout"])


@pytest.mark.parametrize("count", [0, 1, 2, 100_000])
def test_step_figure(count: int) -> None:
    figure = loss_per_step(steps(count))
    assert drawable(figure)
    assert [len(trace.x) for trace in figure.data] == [count] * 3
    # A line through one point is invisible.
    assert figure.data[1].mode == ("lines" if count > 1 else "markers")
    assert bool(figure.layout.annotations) == (count == 0)


@pytest.mark.parametrize("count", [0, 1, 30, 1000])
@pytest.mark.parametrize("draw", [loss_per_epoch, accuracy_per_epoch])
def test_epoch_figures(draw, count: int) -> None:
    figure = draw(epochs(count), best_epoch=count or None)
    assert drawable(figure)
    names = [trace.name for trace in figure.data]
    assert names == ["Training", "Validation"] + ["Best epoch"] * bool(count)
    train, validation = figure.data[:2]
    assert train.line.dash is None
    assert validation.line.dash == "dash"
    if count:
        assert figure.data[2].x[0] == count


def test_nan_is_a_gap_and_is_said() -> None:
    series = epochs(4)
    series.val_loss[2:] = np.nan
    series.train_loss[3] = np.inf
    assert drawable(loss_per_epoch(series, best_epoch=2))
    assert loss_per_epoch_alt(series, best_epoch=2) == (
        "Loss per epoch after 4 epochs: training not a number, validation not a number; "
        "best epoch 2 with validation 1.7."
    )
    run = steps(3)
    run.loss_smoothed[2] = np.nan
    assert drawable(loss_per_step(run))
    assert "went from 2 to 1.41" in loss_per_step_alt(run)


def test_a_best_epoch_that_is_not_in_the_history_is_not_marked() -> None:
    assert len(loss_per_epoch(epochs(3), best_epoch=7).data) == 2


def test_sentences() -> None:
    assert loss_per_step_alt(StepSeries.empty()) == "Loss per step: no steps yet."
    assert loss_per_step_alt(steps(1600)) == (
        "Loss per step over 1,600 steps: the smoothed loss went from 2 to 0.05."
    )
    nothing = EpochSeries.empty()
    assert accuracy_per_epoch_alt(nothing) == "Accuracy per epoch: no epoch is finished yet."
    assert accuracy_per_epoch_alt(epochs(4), best_epoch=4) == (
        "Accuracy per epoch after 4 epochs: training 66.7%, validation 64.3%; "
        "best epoch 4 with validation 64.3%."
    )


def test_small_questions_about_columns() -> None:
    assert last_number(np.array([1.0, np.nan])) == 1.0
    assert last_number(np.array([np.nan])) is None
    assert last_number(np.empty(0)) is None
    assert row_of(np.array([1, 5]), 5) == 1
    assert row_of(np.array([1, 5]), 2) is None
    assert row_of(np.array([1, 5]), None) is None
    assert LabelCounts((), {}).class_names == ()
