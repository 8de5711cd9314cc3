"""Many runs in one chart: nothing, one point, NaN, two hundred; every sentence is true."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from lab.charts.compare import (
    MOST_SINGLE,
    FinalAccuracy,
    RunCurve,
    final_accuracies,
    final_accuracies_alt,
    overlaid,
    overlaid_alt,
    smooth,
)
from lab.charts.compare_knobs import (
    category_axis,
    knob_scatter,
    knob_scatter_alt,
    number_axis,
    parallel,
    parallel_alt,
)


def line(name: str, points: int = 5, *, level: float = 0.5, group: str = "") -> RunCurve:
    return RunCurve(name, np.arange(1, points + 1) * 10, np.full(points, level), group)


def drawable(figure: go.Figure) -> str:
    return json.dumps(json.loads(figure.to_json()))


def draw(lines: list[RunCurve], **options: bool) -> go.Figure:
    return overlaid(lines, x_title="step", y_title="loss", **options)


# --- curves --------------------------------------------------------------------------------------
def test_a_few_lines_have_a_style_each() -> None:
    figure = draw([line(f"run {i}", level=i) for i in range(MOST_SINGLE)])
    assert drawable(figure)
    assert [trace.name for trace in figure.data] == [f"run {i}" for i in range(MOST_SINGLE)]
    styles = {(trace.line.color, trace.line.dash) for trace in figure.data}
    assert len(styles) == MOST_SINGLE


def test_many_lines_are_one_trace_a_group_with_gaps_between_the_runs() -> None:
    lines = [line(f"run {i}", 3, level=i, group="ab"[i % 2]) for i in range(200)]
    figure = draw(lines)
    assert drawable(figure)
    assert [trace.name for trace in figure.data] == ["a (100)", "b (100)"]
    assert figure.data[0].line.dash == "solid"
    first = figure.data[1]
    assert len(first.x) == len(first.y) == len(first.customdata) == 100 * 4 - 1
    assert first.y[:5].tolist()[:3] == [1.0, 1.0, 1.0]
    assert np.isnan(first.y[3])
    assert first.y[4] == 3.0
    assert first.customdata[:5].tolist() == ["run 1"] * 4 + ["run 3"]
    assert first.connectgaps is None


def test_long_names_keep_what_tells_them_apart() -> None:
    start = "Multi-layer perceptron on Drawn cats and dogs, "
    figure = draw([line(start + "Sigmoid (quick)"), line(start + "ReLU (quick)")])
    first, second = (trace.name for trace in figure.data)
    assert first.startswith("Multi-layer")
    assert first.endswith("Sigmoid (quick)")
    assert second.endswith("ReLU (quick)")
    assert len(first) <= 40


@pytest.mark.parametrize("count", [1, MOST_SINGLE + 1])
def test_single_points_and_empty_lines(count: int) -> None:
    one = draw([line(f"run {i}", 1) for i in range(count)])
    assert {trace.mode for trace in one.data} == {"markers"}  # a line through one point is unseen
    none = draw([line(f"run {i}", 0) for i in range(count)])
    assert none.layout.annotations[0].text == "Nothing measured yet"
    assert draw([]).layout.annotations


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.5, (0.45, 0.55)), (1.0, (0.95, 1.01)), (0.0, (-0.01, 0.05)), (0.98, (0.93, 1.01))],
)
def test_the_axis_of_a_flat_share_stays_around_it(
    level: float, expected: tuple[float, float]
) -> None:
    figure = draw([line("a", level=level), line("b", 1, level=level)], share=True)
    assert figure.layout.yaxis.range == pytest.approx(expected)


def test_the_axis_of_shares_holds_every_value() -> None:
    figure = draw([line("a", level=0.1), line("b", level=0.9)], share=True)
    low, high = figure.layout.yaxis.range
    assert 0 <= low < 0.1
    assert 0.9 < high <= 1
    assert draw([line("a", 0)], share=True).layout.yaxis.range is None
    assert draw([line("a", level=np.nan)], share=True).layout.yaxis.range is None


def test_few_epochs_have_whole_ticks() -> None:
    few = RunCurve("a", np.arange(1, 5), np.full(4, 0.5))
    many = RunCurve("b", np.arange(1, 40), np.full(39, 0.5))

    def dtick(lines: list[RunCurve], x_title: str) -> object:
        return overlaid(lines, x_title=x_title, y_title="loss").layout.xaxis.dtick

    assert dtick([few], "epoch") == 1
    assert dtick([few], "seconds") is None
    assert dtick([few, many], "epoch") is None  # Plotly's own are whole there


def test_log_scale_and_percent() -> None:
    figure = draw([line("a", level=0.01), line("b", level=0.9)], log=True, share=True)
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.yaxis.tickformat == "~%"
    assert draw([line("a")], share=True).layout.yaxis.tickformat == ".0%"
    assert drawable(draw([line("zero", level=0.0)], log=True))


@pytest.mark.parametrize("lowest", [0.5, 0.01, 1e-6])
def test_a_log_axis_has_full_numbers_however_far_it_is_zoomed(lowest: float) -> None:
    """Plotly chooses the ticks anew at each zoom, if none are fixed, and writes them by the
    format; without one it writes a bare 2 for 0.2 and for 0.02."""
    axis = draw([line("a", level=lowest), line("b", level=0.9)], log=True).layout.yaxis
    assert (axis.type, axis.tickformat) == ("log", "~g")
    assert axis.dtick is None
    assert axis.nticks == 4  # more would lie over each other


def test_names_are_not_read_as_html() -> None:
    for count in (1, MOST_SINGLE + 1):
        said = drawable(draw([line("<b>me & you</b>", group="<i>")] * count))
        assert "<b>" not in said
        assert "&lt;b&gt;me &amp; you" in said


def test_the_sentence_of_the_curves() -> None:
    assert overlaid_alt([], what="Loss") == "Loss: nothing measured yet."
    assert overlaid_alt([line("a")], what="Loss") == "Loss of one run, a: 0.5 at its end."
    lines = [line("a", level=0.9), line("b", level=0.25), line("c", 0), line("d", level=np.nan)]
    assert overlaid_alt(lines, what="Accuracy", share=True) == (
        "Accuracy of 2 runs: at their ends the lowest is b with 25.0%, the highest a with 90.0%."
    )


# --- smoothing -----------------------------------------------------------------------------------
def test_smoothing_is_the_documented_average() -> None:
    y = np.array([1.0, 3.0, np.nan, 5.0])
    weights = 0.5 ** (np.array([3.0, 2.0, 0.0]) / 2)  # steps ago, at a half-life of 2
    wanted = (weights * [1, 3, 5]).sum() / weights.sum()
    out = smooth(np.array([1, 2, 3, 4]), y, 2)
    assert out[0] == 1.0
    assert np.isnan(out[2])
    assert out[3] == pytest.approx(wanted)
    assert np.array_equal(smooth(np.arange(4), y, 0), y, equal_nan=True)
    assert smooth(np.array([5]), np.array([2.0]), 10).tolist() == [2.0]


def test_a_thinned_curve_is_smoothed_to_the_same_line() -> None:
    x = np.arange(1, 5001)
    y = 2 * np.exp(-x / 1500) + 0.1 * np.sin(x / 300)
    whole, thinned = smooth(x, y, 500), smooth(x[::25], y[::25], 500)
    assert np.abs(whole[::25] - thinned).max() < 0.02
    assert np.abs(whole - y).max() > 0.1  # it does smooth
    assert smooth(x, np.full(5000, 0.3), 100) == pytest.approx(0.3)


# --- final figures -------------------------------------------------------------------------------
ROWS = [
    FinalAccuracy("good", 0.95, (0.9, 0.98), 0.93, (0.91, 0.95)),
    FinalAccuracy("untested <b>", 0.5, (0.4, 0.6), None, None),
    FinalAccuracy("new", None, None, None, None),
]


def test_final_figures_have_whiskers_as_long_as_their_intervals() -> None:
    figure = final_accuracies(ROWS)
    assert "<b>" not in drawable(figure).replace("<br>", "")
    validation, test = figure.data
    assert (validation.name, test.name) == ("Validation", "Test")
    assert validation.marker.symbol != test.marker.symbol
    assert test.x + test.error_x.array == pytest.approx([0.95])
    assert test.x - test.error_x.arrayminus == pytest.approx([0.91])
    assert len(validation.x) == 2
    assert "untested" in validation.text[1]
    assert "95%: 40.0% to 60.0%" in validation.text[1]
    assert final_accuracies([]).layout.annotations
    long = FinalAccuracy("Single-layer perceptron on Drawn signs", 0.5, None, None, None)
    (shown,) = final_accuracies([long]).layout.yaxis.ticktext
    assert shown == "Single-layer perceptron on<br>Drawn signs"
    endless = FinalAccuracy("a very " * 20 + "long name", 0.5, None, None, None)
    (shown,) = final_accuracies([endless]).layout.yaxis.ticktext
    assert shown.count("<br>") == 1
    assert shown.endswith("name")
    assert final_accuracies_alt(ROWS) == (
        "Accuracy of 3 runs with 95% intervals: the highest test accuracy is 93.0% (good), the "
        "lowest 93.0% (good)."
    )
    assert final_accuracies_alt(ROWS[1:]) == "Accuracy of 2 runs: none has been tested yet."


# --- knobs ---------------------------------------------------------------------------------------
NAMES = ["a", "b", "c", "d"]
RATE = number_axis("Learning rate", [0.1, 0.01, 0.001, 0.01], log=True)
OPTIMIZER = category_axis("Optimizer", ["sgd", "adam", "sgd", "adam"])
RESULT = number_axis("Test accuracy", [0.9, 0.8, None, 0.7], share=True)


def test_a_knob_against_a_result() -> None:
    figure = knob_scatter(RATE, RESULT, NAMES, intervals=[(0.8, 0.95), (0.7, 0.9), None, (0, 1)])
    assert drawable(figure)
    (dots,) = figure.data
    assert dots.x.tolist() == [0.1, 0.01, 0.01]  # the run without a result is not drawn
    assert dots.y - dots.error_y.arrayminus == pytest.approx([0.8, 0.7, 0.0])
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["0.001", "0.01", "0.1"]
    assert dots.text[0] == "a<br>Learning rate 0.1<br>Test accuracy 90.0%"
    assert knob_scatter_alt(RATE, RESULT, NAMES) == (
        "Test accuracy against Learning rate for 3 runs: the highest is 90.0%, of a with "
        "Learning rate 0.1."
    )


def test_words_are_spread_and_have_their_mean() -> None:
    figure = knob_scatter(OPTIMIZER, RESULT, NAMES, by=RATE)
    assert list(figure.layout.xaxis.ticktext) == ["adam", "sgd"]
    assert [trace.name for trace in figure.data] == ["0.01", "0.1"]
    adam = figure.data[0]
    assert sorted(adam.x) == pytest.approx([-0.16, 0.16])  # side by side, not one on the other
    (mean,) = figure.layout.shapes
    assert (mean.y0, mean.y1) == pytest.approx((0.75, 0.75))
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_no_run_with_both() -> None:
    nothing = number_axis("Test accuracy", [None] * 4)
    assert knob_scatter(RATE, nothing, NAMES).layout.annotations[0].text == (
        "No run has both of these"
    )
    assert "no run has both" in knob_scatter_alt(RATE, nothing, NAMES)
    assert drawable(parallel([RATE, nothing], NAMES))
    assert parallel_alt([RATE, nothing], NAMES).endswith("No run has a Test accuracy yet.")


def test_a_rate_of_zero_is_not_drawn_in_powers_of_ten() -> None:
    assert not number_axis("Weight decay", [0.0, 0.1], log=True).log


def test_parallel_axes_end_in_the_result() -> None:
    figure = parallel([RATE, OPTIMIZER, RESULT], NAMES)
    assert drawable(figure)
    assert [trace.name for trace in figure.data] == [
        "worst 1: 70.0%",
        "middle 1: 80.0%",
        "best 1: 90.0%",
    ]
    best = figure.data[-1]
    assert best.text[0].startswith("a<br>Learning rate 0.1<br>Optimizer sgd")
    assert list(best.x) == [0, 1, 2, None]
    assert list(best.y[:3]) == pytest.approx([1.0, 1.0, 1.0])
    assert list(figure.data[1].y[:3]) == pytest.approx([0.5, 0.0, 0.5])
    assert best.line.width > figure.data[0].line.width
    assert figure.data[0].line.dash == "dash"
    assert list(figure.layout.xaxis.ticktext) == ["Learning rate", "Optimizer", "Test accuracy"]
    said = [note.text for note in figure.layout.annotations]
    assert said == ["0.001", "0.01", "0.1", "adam", "sgd", "70.0%", "80.0%", "90.0%"]


def test_for_a_loss_the_lowest_is_the_best() -> None:
    loss = number_axis("Test loss", [0.3, 0.1, 0.2, 0.4])
    figure = parallel([RATE, loss], NAMES, higher_is_better=False)
    assert figure.data[-1].name == "best 1: 0.1"
    assert "The best Test loss is 0.1, of b with Learning rate 0.01." in parallel_alt(
        [RATE, loss], NAMES, higher_is_better=False
    )


def test_two_hundred_runs_on_parallel_axes_are_three_traces() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    values = rng.random(200).tolist()
    names = [f"run {i}" for i in range(200)]
    figure = parallel([number_axis("Dropout", values), number_axis("Result", values)], names)
    assert [trace.name.split(":")[0] for trace in figure.data] == [
        "worst 40",
        "middle 120",
        "best 40",
    ]
    assert sum(len(trace.x) for trace in figure.data) == 200 * 3
    assert len(figure.layout.annotations) == 6  # both ends and the middle


def test_equal_results_are_one_group_in_the_middle() -> None:
    equal = number_axis("Test accuracy", [0.8] * 4, share=True)
    assert [trace.name for trace in parallel([RATE, equal], NAMES).data] == ["all 4: 80.0%"]
    # The axis does not show how exactly a computer can tell 0.8 from its mean.
    low, high = knob_scatter(OPTIMIZER, equal, NAMES).layout.yaxis.range
    assert (low, high) == pytest.approx((0.76, 0.84))
