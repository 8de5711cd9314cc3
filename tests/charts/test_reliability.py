"""The reliability diagram."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.charts.reliability import reliability, reliability_alt

EDGES = np.linspace(0, 1, 6)
COUNTS = np.array([0, 0, 4, 0, 10])
CONFIDENCE = np.array([np.nan, np.nan, 0.5, np.nan, 0.9])
ACCURACY = np.array([np.nan, np.nan, 0.25, np.nan, 1.0])


def test_only_bins_with_images_are_drawn() -> None:
    figure = reliability(EDGES, COUNTS, CONFIDENCE, ACCURACY)
    diagonal, bars, diamonds, images = figure.data
    assert diagonal.line.dash == "dash"
    assert bars.x.tolist() == pytest.approx([0.5, 0.9])
    assert bars.y.tolist() == [0.25, 1.0]
    assert bars.width.tolist() == pytest.approx([0.2, 0.2])
    assert diamonds.y.tolist() == [0.5, 0.9]
    assert images.y.tolist() == [4, 10]
    assert "NaN" not in json.dumps(json.loads(figure.to_json())["data"])


def test_with_temperature_it_is_a_line() -> None:
    figure = reliability(EDGES, COUNTS, CONFIDENCE, ACCURACY, scaled=(CONFIDENCE, ACCURACY))
    line = next(trace for trace in figure.data if trace.name == "With temperature")
    assert line.x.tolist() == [0.5, 0.9]
    assert line.y.tolist() == [0.25, 1.0]


def test_without_images_it_says_so() -> None:
    nothing = np.full(5, np.nan)
    figure = reliability(EDGES, np.zeros(5, dtype=int), nothing, nothing)
    assert figure.layout.annotations[0].text == "No images"
    assert reliability_alt(np.zeros(5), np.nan, np.nan) == "Reliability diagram: no images."


def test_the_sentence() -> None:
    assert "On average more sure than right, by 5.0%." in reliability_alt(COUNTS, 0.07, 0.05)
    assert "On average less sure than right, by 5.0%." in reliability_alt(COUNTS, 0.07, -0.05)
    assert "14 images: expected calibration error 7.0%" in reliability_alt(COUNTS, 0.07, 0.05)
