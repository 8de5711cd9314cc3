import numpy as np
import pytest

from lab.charts.sweep import (
    Series,
    sweep_grid,
    sweep_grid_alt,
    sweep_importances,
    sweep_importances_alt,
    sweep_points,
    sweep_points_alt,
)

NAN = float("nan")
MEAN = np.array([[0.5, 0.9], [NAN, 0.7]])
SPREAD = np.array([[NAN, 0.01], [NAN, 0.02]])
TITLES = {"row_title": "Batch", "column_title": "Rate"}
ROWS, COLUMNS = ["32", "64"], ["0.001", "0.01"]


def test_every_number_of_the_grid_is_written_and_the_best_is_framed() -> None:
    figure = sweep_grid(ROWS, COLUMNS, MEAN, SPREAD, **TITLES, percent=True)
    (heat,) = figure.data
    assert [list(row) for row in heat.text] == [["50.0%", "90.0% ± 1.0"], ["", "70.0% ± 2.0"]]
    assert np.allclose(heat.z, [[0, 1], [NAN, 0.5]], equal_nan=True)
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.y0) == (0.5, -0.5)
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # first row on top
    assert list(figure.layout.xaxis.ticktext) == COLUMNS


def test_all_that_share_the_first_place_are_framed() -> None:
    first = np.array([[False, True], [False, True]])
    figure = sweep_grid(ROWS, COLUMNS, MEAN, SPREAD, **TITLES, percent=True, first=first)
    assert [(s.x0, s.y0) for s in figure.layout.shapes] == [(0.5, -0.5), (0.5, 0.5)]


def test_a_loss_is_better_when_it_is_lower() -> None:
    figure = sweep_grid(
        ROWS, COLUMNS, MEAN, SPREAD, **TITLES, percent=False, higher_is_better=False
    )
    assert figure.data[0].z[0][0] == 1
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].y0) == (-0.5, -0.5)
    assert list(figure.data[0].text[0]) == ["0.5", "0.9 ± 0.01"]
    summary = sweep_grid_alt(ROWS, COLUMNS, MEAN, **TITLES, percent=False, higher_is_better=False)
    assert summary.endswith("best 0.5 for Batch 32 and Rate 0.001.")


def test_the_grid_in_words() -> None:
    assert sweep_grid_alt(ROWS, COLUMNS, MEAN, **TITLES, percent=True) == (
        "Batch against Rate, 3 of 4 combinations with a result; best 90.0% for Batch 32 and Rate "
        "0.01."
    )
    empty = np.full((2, 2), NAN)
    assert sweep_grid_alt(ROWS, COLUMNS, empty, **TITLES, percent=True) == (
        "Batch against Rate, 0 of 4 combinations with a result."
    )


def test_a_grid_without_figures_or_with_equal_ones_is_drawn() -> None:
    empty = np.full((2, 2), NAN)
    figure = sweep_grid(ROWS, COLUMNS, empty, empty, **TITLES, percent=True)
    assert not figure.data
    assert figure.layout.annotations[0].text == "No run has ended yet"
    same = sweep_grid(["a"], ["b"], np.array([[0.5]]), np.array([[NAN]]), **TITLES, percent=True)
    assert same.data[0].z[0][0] == 1


def points() -> list[Series]:
    return [
        Series(
            "one",
            [0.001, 0.01, 0.1],
            np.array([0.5, 0.9, NAN]),
            np.array([[0.1, NAN, NAN], [0.2, NAN, NAN]]),
        ),
        Series("two", [0.001, 0.01, 0.1], np.array([0.6, 0.7, 0.8]), np.full((2, 3), NAN)),
    ]


def test_points_leave_out_what_has_no_figure_and_differ_by_more_than_colour() -> None:
    figure = sweep_points(points(), x_title="Rate", y_title="Accuracy", percent=True, log=True)
    one, two = figure.data
    assert list(one.x) == [0.001, 0.01]
    assert (list(one.error_y.array), list(one.error_y.arrayminus)) == ([0.1, 0], [0.2, 0])
    assert one.error_y.visible
    assert not two.error_y.visible
    assert one.customdata == (", 95%: 30.0% to 60.0%", "")
    assert one.marker.symbol != two.marker.symbol
    assert one.line.dash != two.line.dash
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.showlegend


def test_words_stand_in_their_order() -> None:
    series = [Series("", ["relu", "10"], np.array([0.5, 0.6]), np.full((2, 2), NAN))]
    figure = sweep_points(series, x_title="Activation", y_title="Loss", percent=False)
    assert figure.layout.xaxis.type == "category"
    assert not figure.layout.showlegend
    summary = sweep_points_alt(
        series, x_title="Activation", y_title="Loss", percent=False, higher_is_better=False
    )
    assert summary == "Loss over Activation, 2 combinations with a result; best 0.5 at relu."


def test_points_in_words() -> None:
    summary = sweep_points_alt(points(), x_title="Rate", y_title="Accuracy", percent=True)
    assert summary == "Accuracy over Rate, 5 combinations with a result; best 90.0% at 0.01, one."


def test_what_was_stopped_early_is_hollow_and_drawn_values_are_no_ticks() -> None:
    one, two = points()
    early = Series(two.name, two.x, two.mean, two.spread, unfinished=True)
    figure = sweep_points(
        [one, early], x_title="Rate", y_title="Accuracy", percent=True, lines=False
    )
    assert [trace.marker.symbol for trace in figure.data] == ["circle", "square-open"]
    assert {trace.mode for trace in figure.data} == {"markers"}
    assert figure.layout.xaxis.tickvals is None


@pytest.mark.parametrize("count", [0, 3])
def test_no_figure_at_all(count: int) -> None:
    series = [Series("", [1.0, 2.0], np.array([NAN, NAN]), np.full((2, 2), NAN))] * count
    figure = sweep_points(series, x_title="x", y_title="y", percent=True)
    assert not figure.data
    assert figure.layout.annotations[0].text == "No run has ended yet"
    assert sweep_points_alt(series, x_title="x", y_title="y", percent=True).startswith(
        "y over x, 0"
    )


def test_importances_have_their_interval_and_the_mark_of_chance() -> None:
    figure = sweep_importances(["Rate", "Decay"], [0.1, 0.0], [(0.05, 0.4), (0, 0.02)], [0.02, 0.0])
    own, chance = figure.data
    assert list(own.y) == ["Decay", "Rate"]  # the first one on top
    assert list(own.x) == [1e-4, 0.1]
    assert np.allclose(own.error_x.array, [0.0199, 0.3])
    assert np.allclose(own.error_x.arrayminus, [0, 0.05])
    assert list(chance.x) == [1e-4, 0.02]
    assert figure.layout.xaxis.type == "log"
    assert sweep_importances_alt(["Rate", "Decay"], [True, False]) == (
        "Importance of 2 settings, most first; more than chance: Rate."
    )
    assert sweep_importances([], [], [], []).layout.annotations[0].text == "Too few combinations"
