"""The confusion matrix: which class is taken for which.

Streamlit reports clicks on points but not on the cells of a heat map, so a point that cannot be
seen lies in the middle of each cell; its customdata is (true, predicted).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from lab.charts.style import ACCENT, HEIGHT, styled

Counts = npt.NDArray[np.int64]

# From few to many, with a jump at half of the row: left of it dark text is readable, right of it
# white, and plotly chooses by lightness. Both ends stand out from a white and from a near-black
# page; an empty cell is not painted at all.
HALF = math.sqrt(0.5)
COLOURS = ((0.0, "#b5d3ed"), (HALF, "#86b6df"), (HALF, "#2f6fb0"), (1.0, "#123f6d"))
LONGEST_NAME = 14


def confusion_matrix(
    matrix: Counts,
    class_names: Sequence[str],
    *,
    share: bool = False,
    chosen: tuple[int, int] | None = None,
) -> go.Figure:
    """`matrix` (K, K) counts: rows are true classes from the top, columns predicted ones.

    With `share` the numbers are percent of their row. `chosen` (true, predicted) is framed. The
    colour goes by the share of the row in both cases, in square root, so that a few mistakes are
    seen beside hundreds of right answers.
    """
    classes = len(class_names)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    ticks = {
        "tickvals": list(range(classes)),
        "ticktext": [_short(name) for name in class_names],
        "range": [-0.5, classes - 0.5],
        "fixedrange": True,  # a finger that drags here scrolls the page
        "showgrid": False,
    }
    figure = go.Figure()
    if matrix.sum():
        figure.add_heatmap(
            z=np.where(matrix > 0, np.sqrt(shares), np.nan),
            text=_texts(matrix, shares, share=share),
            texttemplate="%{text}",
            colorscale=[list(step) for step in COLOURS],
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            showscale=False,
            hoverinfo="skip",
        )
        figure.add_scatter(**_points(matrix, shares, class_names))
    if chosen is not None and matrix.sum():
        true, predicted = chosen
        figure.add_shape(
            type="rect", x0=predicted - 0.5, x1=predicted + 0.5, y0=true - 0.5, y1=true + 0.5,
            line={"color": ACCENT, "width": 3},
        )  # fmt: skip
    height = max(HEIGHT, 110 + min(26, 520 // max(1, classes)) * classes)
    styled(
        figure,
        x_title="predicted class",
        y_title="true class",
        empty="No images",
        height=min(760, height),
    )
    figure.update_xaxes(**ticks)
    figure.update_yaxes(**{**ticks, "range": [classes - 0.5, -0.5]})
    # The nearest point is the one of the cell under the pointer, wherever in the cell that is.
    figure.update_layout(hovermode="closest", hoverdistance=-1, dragmode=False, showlegend=False)
    return figure


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


def _points(
    matrix: Counts, shares: npt.NDArray[np.float64], class_names: Sequence[str]
) -> dict[str, object]:
    """The trace that is clicked on and that tells a cell's numbers when hovered over."""
    classes = len(class_names)
    true, predicted = (axis.ravel() for axis in np.indices((classes, classes)))
    invisible = {"marker": {"opacity": 0}}
    return {
        "x": predicted,
        "y": true,
        "mode": "markers",
        "marker": {"symbol": "square", "size": 14, "opacity": 0},
        # A selection would dim the others; the chosen cell is framed instead.
        "selected": invisible,
        "unselected": invisible,
        # Lists: a numpy array of pairs would come back from the browser as a dictionary.
        "customdata": np.stack([true, predicted], axis=1).tolist(),
        "text": [
            f"true: {_plain(class_names[t])}<br>predicted: {_plain(class_names[p])}"
            f"<br>{matrix[t, p]:,} images, {shares[t, p]:.1%} of the row"
            for t, p in zip(true.tolist(), predicted.tolist(), strict=True)
        ],
        "hoverinfo": "text",
        "name": "",
    }


def _texts(
    matrix: Counts, shares: npt.NDArray[np.float64], *, share: bool
) -> npt.NDArray[np.object_]:
    """(K, K) what is written in the cells; nothing in empty ones."""
    texts = np.full(matrix.shape, "", dtype=object)
    for true, predicted in np.argwhere(matrix > 0).tolist():
        number = f"{shares[true, predicted]:.0%}" if share else f"{matrix[true, predicted]:,}"
        # One in a thousand is not 0 %.
        texts[true, predicted] = "<1%" if number == "0%" else number
    return texts


def _short(name: str) -> str:
    return _plain(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…")


def _plain(name: str) -> str:
    """Plotly reads some HTML in texts; class names are a person's own."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
