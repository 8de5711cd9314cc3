"""The confusion matrix: numbers in the right cells, every cell a point to click on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.charts.confusion import LONGEST_NAME, confusion_matrix, confusion_matrix_alt

MATRIX = np.array([[8, 2, 0], [0, 1000, 1], [0, 0, 0]])
NAMES = ("cat", "dog", "bird")


def test_counts_and_shares_are_written_in_their_cells() -> None:
    heat = confusion_matrix(MATRIX, NAMES).data[0]
    assert heat.text.tolist() == [["8", "2", ""], ["", "1,000", "1"], ["", "", ""]]
    heat = confusion_matrix(MATRIX, NAMES, share=True).data[0]
    assert heat.text.tolist() == [["80%", "20%", ""], ["", "100%", "<1%"], ["", "", ""]]
    # The colour is the same in both, and an empty cell has none.
    assert heat.z[0][0] == pytest.approx(np.sqrt(0.8))
    assert np.isnan(heat.z[2]).all()


def test_every_cell_has_a_point_that_knows_it() -> None:
    points = confusion_matrix(MATRIX, NAMES).data[1]
    assert len(points.x) == 9
    for x, y, (true, predicted) in zip(points.x, points.y, points.customdata, strict=True):
        assert (x, y) == (predicted, true)
    assert points.text[1] == "true: cat<br>predicted: dog<br>2 images, 20.0% of the row"
    sent = json.loads(confusion_matrix(MATRIX, NAMES).to_json())["data"][1]["customdata"]
    assert sent[:3] == [[0, 0], [0, 1], [0, 2]]


def test_the_first_class_is_on_top_and_a_finger_scrolls_the_page() -> None:
    layout = confusion_matrix(MATRIX, NAMES).layout
    assert layout.yaxis.range[0] > layout.yaxis.range[1]
    assert layout.xaxis.fixedrange
    assert layout.yaxis.fixedrange
    assert layout.dragmode is False


def test_the_chosen_cell_is_framed() -> None:
    (frame,) = confusion_matrix(MATRIX, NAMES, chosen=(1, 2)).layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 0.5, 1.5)


def test_names_are_shortened_and_are_not_markup() -> None:
    names = ("a very long name of a class", "<b>&", "c")
    figure = confusion_matrix(MATRIX, names)
    short = figure.layout.xaxis.ticktext
    assert len(short[0]) == LONGEST_NAME
    assert short[1] == "&lt;b&gt;&amp;"
    assert "a very long name of a class" in figure.data[1].text[0]


@pytest.mark.parametrize("classes", [2, 24, 100])
def test_any_number_of_classes_fits_a_page(classes: int) -> None:
    figure = confusion_matrix(np.eye(classes, dtype=int), [f"class {i}" for i in range(classes)])
    assert 300 <= figure.layout.height <= 760


def test_without_images_it_says_so() -> None:
    empty = np.zeros((3, 3), dtype=int)
    figure = confusion_matrix(empty, NAMES, chosen=(0, 0))
    assert figure.layout.annotations[0].text == "No images"
    assert not figure.layout.shapes
    assert confusion_matrix_alt(empty, NAMES) == "Confusion matrix: no images."


def test_the_sentence() -> None:
    said = confusion_matrix_alt(MATRIX, NAMES)
    assert "1,008 of 1,011 images are on the diagonal" in said
    assert "most frequent mistake is cat taken for dog, 2 times" in said
    assert confusion_matrix_alt(np.diag([3, 4]), ("a", "b")).endswith("there is no mistake.")
