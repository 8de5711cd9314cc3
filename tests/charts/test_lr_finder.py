"""The finder's chart: every place on it is where the number says."""

import numpy as np

from lab.charts.lr_finder import loss_against_rate, loss_against_rate_alt

RATES = np.geomspace(1e-5, 1, 50)
LOSSES = np.interp(np.log10(RATES), [-5, -3, -2, -1, 0], [2, 2, 1, 1, 500])


def named(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}  # type: ignore[attr-defined]


def test_range_suggestion_and_current_rate_are_drawn() -> None:
    figure = loss_against_rate(
        RATES, LOSSES, LOSSES, low=1e-3, high=1e-2, suggested=3e-3, current=1e-4
    )
    traces = named(figure)
    assert set(traces) == {"Each step", "Smoothed", "Now set", "Suggested"}
    assert set(traces["Suggested"].x) == {3e-3}  # type: ignore[attr-defined]
    star = traces["Suggested"].y[1]  # type: ignore[attr-defined]
    assert star == np.interp(np.log10(3e-3), np.log10(RATES), LOSSES)
    assert set(traces["Now set"].x) == {1e-4}  # type: ignore[attr-defined]
    [band] = figure.layout.shapes
    assert (band.x0, band.x1) == (1e-3, 1e-2)
    assert figure.layout.xaxis.type == "log"


def test_the_explosion_does_not_flatten_the_curve() -> None:
    low, high = loss_against_rate(RATES, LOSSES, LOSSES).layout.yaxis.range
    assert low < 1
    assert 2 < high < 4


def test_a_rate_outside_the_ramp_is_left_out() -> None:
    assert "Now set" not in named(loss_against_rate(RATES, LOSSES, LOSSES, current=5.0))


def test_without_a_suggestion_and_without_steps() -> None:
    flat = np.full(50, 0.7)
    figure = loss_against_rate(RATES, flat, flat)
    assert set(named(figure)) == {"Each step", "Smoothed"}
    low, high = figure.layout.yaxis.range
    assert low < 0.7 < high
    none = loss_against_rate(np.empty(0), np.empty(0), np.empty(0), current=1e-3)
    assert none.layout.annotations[0].text == "No step was taken"
    nan = np.full(3, np.nan)
    assert named(loss_against_rate(RATES[:3], nan, np.ones(3)))


def test_the_sentence_beside_it() -> None:
    said = loss_against_rate_alt(RATES, LOSSES, low=1e-3, high=1e-2, suggested=3e-3)
    assert "50 steps from 1.0e-05 to 1.0e+00" in said
    assert "3.0e-03 is suggested" in said
    none = loss_against_rate_alt(RATES, LOSSES, low=None, high=None, suggested=None)
    assert none.endswith("it suggests no rate.")
    empty = np.empty(0)
    assert "no step" in loss_against_rate_alt(empty, empty, low=None, high=None, suggested=None)
