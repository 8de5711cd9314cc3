"""The picture of a recipe: the accuracies that its document reports and, once run, ours."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lab.charts.expected import ExpectedBar, expected_alt, expected_html
from lab.data import catalog
from lab.experiments.recipes.recipe import Recipe, Reported
from lab.experiments.recipes.results import Result, compared, label

MOST_LETTERS = 32
"""Of a document's words beside a bar."""


def draw_picture(each: Recipe, results: Sequence[Result]) -> None:
    """Draws the picture; `results` are those of `answered`."""
    bars = expected_bars(each, results)
    names = catalog.describe(each.datasets[0]).class_names
    guessing = 1 / len(names) if names else None
    st.html(expected_html(bars, guessing=guessing, alt=expected_alt(bars)))


def expected_bars(each: Recipe, results: Sequence[Result]) -> list[ExpectedBar]:
    ours = {result.variant.key: result.run.test_accuracy for result in results}
    bars = []
    for other, variant in compared(each):
        reported = variant.reported
        low, high, open_end = reported.low, reported.high, None
        if low is None:
            low = high = reported.drawn if reported.than is None else reported.beyond
            open_end = None if reported.than is None else reported.than[0]
        title = label(each, other, variant)
        bars.append(
            ExpectedBar(
                title,
                _in_short(reported),
                low,
                high,
                open_end,
                here=ours.get(variant.key),
                own=other.id == each.id,
            )
        )
    return bars


def _in_short(reported: Reported) -> str:
    """The document's words, or where they are many, the direction alone."""
    if len(reported.text) > MOST_LETTERS and reported.than is not None:
        return "higher" if reported.than[0] == "above" else "lower"
    return reported.text
