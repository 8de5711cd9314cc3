"""The confusion matrix: numbers in the right cells, colours that their text stands out from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.charts.confusion import DARK_TEXT, LIGHT_TEXT, confusion_matrix, confusion_matrix_alt
from tests.charts.test_style import contrast

MATRIX = np.array([[8, 2, 0], [0, 1000, 1], [0, 0, 0]])
NAMES = ("cat", "dog", "bird")


def texts(*, share: bool = False) -> dict[tuple[int, int], str]:
    cells = confusion_matrix(MATRIX, NAMES, share=share)["cells"]
    return {(cell["true"], cell["predicted"]): cell["text"] for cell in cells}


def test_counts_and_shares_are_written_in_their_cells_and_empty_ones_are_left_out() -> None:
    assert texts() == {(0, 0): "8", (0, 1): "2", (1, 1): "1,000", (1, 2): "1"}
    assert texts(share=True) == {(0, 0): "80%", (0, 1): "20%", (1, 1): ">99%", (1, 2): "<1%"}


def test_a_cell_tells_its_count_and_its_share_whatever_is_written_in_it() -> None:
    for share in (False, True):
        second = confusion_matrix(MATRIX, NAMES, share=share)["cells"][1]
        assert second["about"] == "2 of 10 images, 20.0% of the row"


def test_the_colour_goes_by_the_share_of_the_row() -> None:
    counts, shares = (confusion_matrix(MATRIX, NAMES, share=s)["cells"] for s in (False, True))
    assert [cell["colour"] for cell in counts] == [cell["colour"] for cell in shares]
    most, some, _, few = counts
    assert most["colour"] != some["colour"] != few["colour"]
    from_white = [contrast(cell["colour"], "#ffffff") for cell in (most, some, few)]
    assert from_white == sorted(from_white, reverse=True)


@pytest.mark.parametrize("share", [1, 20, 49, 50, 51, 75, 99, 100])
def test_the_number_stands_out_from_its_cell(share: int) -> None:
    first = confusion_matrix(np.array([[share, 100 - share], [0, 1]]), ("a", "b"))["cells"][0]
    assert first["ink"] == (DARK_TEXT if share < 50 else LIGHT_TEXT)
    assert contrast(first["colour"], first["ink"]) >= 4.5


def test_the_chosen_cell_and_names_come_as_plain_json() -> None:
    names = ("<b>&", "a very long name of a class", "c")
    sent = json.loads(json.dumps(confusion_matrix(MATRIX, names, chosen=(1, 2))))
    assert sent["chosen"] == [1, 2]
    assert sent["names"] == list(names)
    assert confusion_matrix(MATRIX, NAMES)["chosen"] is None


def test_without_images_there_is_no_cell() -> None:
    empty = np.zeros((3, 3), dtype=int)
    assert confusion_matrix(empty, NAMES, chosen=(0, 0))["cells"] == []
    assert confusion_matrix_alt(empty, NAMES) == "Confusion matrix: no images."


def test_the_sentence() -> None:
    said = confusion_matrix_alt(MATRIX, NAMES)
    assert "1,008 of 1,011 images are on the diagonal" in said
    assert "most frequent mistake is cat taken for dog, 2 times" in said
    assert confusion_matrix_alt(np.diag([3, 4]), ("a", "b")).endswith("there is no mistake.")
