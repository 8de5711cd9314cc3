"""A run at a glance: what is drawn where, and nothing when there is nothing."""

import numpy as np

from lab.charts.run import run_curves


def test_losses_by_step_and_accuracies_by_epoch() -> None:
    step, epoch = np.arange(1, 101), np.array([1, 2])
    figure = run_curves(
        step,
        1 / step,
        epoch,
        np.array([50, 100]),
        *(np.array([0.1, np.nan]) * n for n in (1, 2, 3)),
    )
    loss, val_loss, train, val = figure.data
    assert (loss.x[0], loss.xaxis, loss.mode) == (1, "x", "lines")
    assert list(val_loss.x) == [50, 100]
    assert (train.xaxis, train.y[0], val.y[0]) == ("x2", 0.2, 0.1 * 3)
    assert val.line.dash == "dash"  # not told by colour alone


def test_nothing_yet() -> None:
    none = np.empty(0)
    figure = run_curves(none, none, none, none, none, none, none)
    assert "No step is done yet." in [note.text for note in figure.layout.annotations]
