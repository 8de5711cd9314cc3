"""A curve small enough for a card, as SVG without text: no axes; the page writes the value."""

from __future__ import annotations

from collections.abc import Sequence

from lab.charts.style import QUIET, TRAIN

WIDTH, HEIGHT = 240, 64
_EDGE = 6
"""Room for the thickness of the line and its last point."""


def accuracy_sparkline(values: Sequence[float], *, guessing: float) -> str:
    """Returns the SVG of an accuracy after each epoch, values in [0, 1]; "" without any.

    `guessing` is the accuracy of guessing, where the curve begins; a dashed line shows it.
    """
    finite = [value for value in values if value == value]
    if not finite:
        return ""
    points = [guessing, *finite]
    low = min(points)
    span = max(1.0 - low, 0.05)
    step = (WIDTH - 2 * _EDGE) / (len(points) - 1)

    def place(number: int, value: float) -> tuple[float, float]:
        return _EDGE + number * step, _EDGE + (HEIGHT - 2 * _EDGE) * (1 - (value - low) / span)

    line = " ".join("{:.1f},{:.1f}".format(*place(i, v)) for i, v in enumerate(points))
    x, y = place(len(points) - 1, points[-1])
    _, base = place(0, guessing)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'preserveAspectRatio="xMinYMid meet">'
        f'<line x1="{_EDGE}" y1="{base:.1f}" x2="{WIDTH - _EDGE}" y2="{base:.1f}" '
        f'stroke="{QUIET}" stroke-width="1.5" stroke-dasharray="4 4"/>'
        f'<polyline points="{line}" fill="none" stroke="{TRAIN}" stroke-width="3" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{TRAIN}"/></svg>'
    )
