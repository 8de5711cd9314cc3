"""ROC and precision-recall figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.charts.two_classes import (
    MOST_POINTS,
    precision_recall,
    precision_recall_alt,
    roc,
    roc_alt,
)


@pytest.mark.parametrize("count", [0, 1, 2, 20_000])
def test_figures_of_any_length_are_drawable_and_small(count: int) -> None:
    line = np.linspace(0, 1, count)
    for figure in (roc(line, line), precision_recall(line, 1 - line / 2, share=0.5)):
        sent = figure.to_json()
        assert json.loads(sent)["layout"]
        assert len(sent) < 100_000
        assert bool(figure.layout.annotations) == (count == 0)
        if count:
            chance, run = figure.data
            assert chance.line.dash == "dash"
            assert len(run.x) == min(count, MOST_POINTS)
            assert (run.x[0], run.x[-1]) == (line[0], line[-1])


def test_the_threshold_is_a_point_where_it_has_a_place() -> None:
    line = np.linspace(0, 1, 5)
    for point, traces in (((0.5, 0.6), 3), ((0.0, np.nan), 2), (None, 2)):
        for figure in (
            roc(line, line, point=point),
            precision_recall(line, line, share=0.5, point=point),
        ):
            assert len(figure.data) == traces


def test_chance_is_the_share_of_positive_images() -> None:
    chance = precision_recall(np.array([0.5, 1.0]), np.array([1.0, 0.4]), share=0.3).data[0]
    assert chance.y == (0.3, 0.3)


def test_the_sentences() -> None:
    assert "dog as the positive class: the area under it is 0.912" in roc_alt(0.9123, "dog")
    assert "average precision 0.800; by chance it would be 0.250" in precision_recall_alt(
        0.8, 0.25, "dog"
    )
