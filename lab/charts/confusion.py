"""The confusion matrix: which class is taken for which, as the cells of a table.

A table, not a Plotly figure: its cells can be clicked, focused and read aloud, and a page that
shows one does not wait for Plotly's 4.7 MB. lab.ui.widgets.matrix draws what is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from lab.words import whole_percent

Counts = npt.NDArray[np.int64]

# From few to many, with a jump at half of the row: up to it dark text is readable, from it white.
# Both ends stand out from a white and from a near-black page; an empty cell is not painted at all.
HALF = math.sqrt(0.5)
_SHARES = (0.0, HALF, HALF, 1.0)
_COLOURS = ((0xB5, 0xD3, 0xED), (0x86, 0xB6, 0xDF), (0x2F, 0x6F, 0xB0), (0x12, 0x3F, 0x6D))
DARK_TEXT, LIGHT_TEXT = "#1b2733", "#ffffff"


class Cell(TypedDict):
    """One cell with images in it."""

    true: int
    predicted: int
    text: str
    """What is written in it."""
    about: str
    """The whole of it in words, without the two classes' names."""
    colour: str
    ink: str


class Matrix(TypedDict):
    """What the browser draws; plain JSON values."""

    names: list[str]
    cells: list[Cell]
    chosen: list[int] | None


def confusion_matrix(
    matrix: Counts,
    class_names: Sequence[str],
    *,
    share: bool = False,
    chosen: tuple[int, int] | None = None,
) -> Matrix:
    """`matrix` (K, K) counts: rows are true classes from the top, columns predicted ones.

    With `share` the numbers are percent of their row. `chosen` (true, predicted) is framed. The
    colour goes by the share of the row in both cases, in square root, so that a few mistakes are
    seen beside hundreds of right answers. Cells without images are left out.
    """
    totals = matrix.sum(axis=1)
    cells: list[Cell] = []
    for true, predicted in np.argwhere(matrix > 0).tolist():
        count = int(matrix[true, predicted])
        part = count / int(totals[true])
        colour, ink = _paint(part)
        cells.append(
            Cell(
                true=true,
                predicted=predicted,
                text=whole_percent(part) if share else f"{count:,}",
                about=f"{count:,} of {int(totals[true]):,} images, {part:.1%} of the row",
                colour=colour,
                ink=ink,
            )
        )
    return Matrix(names=list(class_names), cells=cells, chosen=list(chosen) if chosen else None)


def confusion_matrix_alt(matrix: Counts, class_names: Sequence[str]) -> str:
    """One true sentence in place of `confusion_matrix`."""
    n, right = int(matrix.sum()), int(np.trace(matrix))
    if not n:
        return "Confusion matrix: no images."
    text = (
        f"Confusion matrix of {len(class_names)} classes: {right:,} of {n:,} images are on the "
        "diagonal, predicted right"
    )
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    if not errors.any():
        return f"{text}; there is no mistake."
    true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
    return (
        f"{text}; the most frequent mistake is {class_names[int(true)]} taken for "
        f"{class_names[int(predicted)]}, {int(errors.max()):,} times."
    )


def _paint(share: float) -> tuple[str, str]:
    """The colours of a cell and of its text, as CSS has them."""
    at = math.sqrt(share)
    low = 0 if at < HALF else 2
    along = (at - _SHARES[low]) / (_SHARES[low + 1] - _SHARES[low])
    red, green, blue = (
        round(a + along * (b - a)) for a, b in zip(_COLOURS[low], _COLOURS[low + 1], strict=True)
    )
    return f"#{red:02x}{green:02x}{blue:02x}", DARK_TEXT if at < HALF else LIGHT_TEXT
