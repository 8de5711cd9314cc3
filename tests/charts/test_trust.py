from __future__ import annotations

import numpy as np

from lab.charts.trust import copies, copies_alt, hiding, hiding_alt, likeness, likeness_alt

WHAT = ["head", "block3 to head", "all stages"]
MEANS = np.array([0.4, 0.2, 0.1])
DRAWS = [np.array([0.4, 0.5, 0.3]), np.array([0.2, 0.4, 0]), np.array([0.1, 0.2, 0])]
X = np.linspace(0, 1, 5)
OWN = np.array([1, 0.5, 0.2, 0.1, 0.1])
RANDOM = np.array([[1, 0.9, 0.6, 0.3, 0.1], [1, 0.8, 0.5, 0.4, 0.1]])


def test_every_draw_and_the_average_are_drawn() -> None:
    figure = likeness(WHAT, MEANS, DRAWS, unchanged=0.7)
    points, line = figure.data
    assert len(points.x) == 9
    assert list(line.x) == WHAT
    assert list(line.y) == MEANS.tolist()
    assert figure.layout.shapes[0].y0 == 0.7


def test_the_sentence_of_the_likeness() -> None:
    assert likeness_alt(WHAT, MEANS) == (
        "Rank correlation of the map with the one made when these weights are random: "
        "head 0.40, block3 to head 0.20, all stages 0.10."
    )


def test_nothing_tested() -> None:
    nothing = np.empty(0)
    assert likeness([], nothing, [], unchanged=0.7).layout.annotations[0].text == "Not tested"
    assert likeness_alt([], nothing).endswith("not tested.")
    empty = np.empty((0, 0))
    figure = hiding(nothing, nothing, empty, nothing, nothing, empty)
    assert figure.layout.annotations[0].text == "Not tested"


def test_the_band_spans_all_random_orders_on_both_sides() -> None:
    figure = hiding(X, OWN, RANDOM, X, OWN[::-1], RANDOM[:, ::-1])
    low, high, mean, own = figure.data[:4]
    assert list(low.y) == RANDOM.min(0).tolist()
    assert list(high.y) == RANDOM.max(0).tolist()
    assert high.name == "2 random orders"
    assert list(mean.y) == RANDOM.mean(0).tolist()
    assert list(own.y) == OWN.tolist()
    assert {trace.xaxis for trace in figure.data[4:]} == {"x2"}
    assert list(figure.data[7].y) == OWN[::-1].tolist()
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "2 random orders",
        "The map's order",
    ]


def test_the_map_lies_in_the_middle_of_its_copies() -> None:
    gains = np.arange(25.0).reshape(5, 5) / 100
    gains[0, 0] = 0.6
    (table,) = copies(gains).data
    assert table.z[2][2] == 0.6
    assert table.z[2][3] == gains[0, 1]  # one to the right
    assert table.z[1][2] == gains[4, 0]  # four down is one up
    assert table.x[2] == "0"
    assert "+60%" in copies_alt(gains)
    assert "24 shifted copies by +1% to +24%" in copies_alt(gains)


def test_not_told_by_colour_alone() -> None:
    figure = hiding(X, OWN, RANDOM, X, OWN[::-1], RANDOM[:, ::-1])
    assert figure.data[2].line.dash == "dash"
    assert "markers" in figure.data[3].mode


def test_the_sentence_of_the_hiding() -> None:
    assert hiding_alt(0.2, 0.8, 0.5) == (
        "Average probability of the class while places are hidden in the map's order 20%, while "
        "they are shown in that order 80%, in random order 50%."
    )
