from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lab.charts.sparkline import HEIGHT, WIDTH, accuracy_sparkline


def points(drawing: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(drawing).find("{*}polyline")
    assert line is not None
    return [(float(x), float(y)) for x, y in (p.split(",") for p in line.attrib["points"].split())]


@pytest.mark.parametrize("values", [[0.9], [0.1, 0.5], [1.0] * 400, [0.02, 0.0, float("nan")]])
def test_the_curve_begins_at_guessing_and_stays_inside(values: list[float]) -> None:
    line = points(accuracy_sparkline(values, guessing=0.5))
    assert len(line) == 1 + sum(value == value for value in values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)


def test_more_is_higher() -> None:
    (_, guessing), (_, low), (_, high) = points(accuracy_sparkline([0.6, 0.9], guessing=0.5))
    assert guessing > low > high


@pytest.mark.parametrize("values", [[], [float("nan")]])
def test_without_values_there_is_no_curve(values: list[float]) -> None:
    assert accuracy_sparkline(values, guessing=0.5) == ""
