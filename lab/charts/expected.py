"""A small picture of the accuracies to expect from an experiment, as HTML.

Boxes and not Plotly: a page shows a dozen of them, and each costs the browser next to nothing. Text
has the colour of the page around it, so that it follows the light or dark appearance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from lab.charts.style import GRID, TEST, TRAIN

THICKNESS = (28, 20, 14, 12)
"""Pixels of a bar of one, two, three, four and more bars."""
DOCUMENT, HERE = TRAIN, TEST


@dataclass(frozen=True, slots=True)
class ExpectedBar:
    """One run: the reported accuracy and, once it was trained here, ours; fractions."""

    label: str
    reported: str
    """The document's result in a few words."""
    low: float | None = None
    high: float | None = None
    """The reported accuracy, or the ends of its range."""
    open_end: Literal["above", "below"] | None = None
    """Only "above" or "below" `low` is reported."""
    here: float | None = None
    own: bool = True
    """False for another experiment's run that stands beside for comparison: drawn faint."""


def expected_html(bars: Sequence[ExpectedBar], *, guessing: float | None, alt: str) -> str:
    """Returns the picture: a bar a run from 0 to 100 %, ours below the document's.

    `guessing` is the accuracy of random answers, a dashed line.
    """
    thick = THICKNESS[min(len(bars), len(THICKNESS)) - 1]
    rows = "".join(_row(bar, thick, guessing) for bar in bars)
    here = any(bar.here is not None for bar in bars)
    return (
        f'<div role="img" aria-label="{escape(alt)}" style="display:flex;flex-direction:column;'
        'gap:.4rem;font-size:.8125rem;line-height:1.35;font-variant-numeric:tabular-nums">'
        f"{rows}"
        f"{_legend(guessing, here=here)}</div>"
    )


def expected_alt(bars: Sequence[ExpectedBar]) -> str:
    """One true sentence in place of `expected_html`."""
    reported = "; ".join(f"{bar.label}: {bar.reported}" for bar in bars)
    ours = "; ".join(f"{bar.label}: {bar.here:.1%}" for bar in bars if bar.here is not None)
    return f"Accuracy in the document: {reported}." + (f" Here: {ours}." if ours else "")


def _row(bar: ExpectedBar, thick: int, guessing: float | None) -> str:
    """The labels of a run over its bars."""
    text = escape(bar.reported)
    if bar.here is not None:
        text += f" &nbsp;{_square(HERE)} {bar.here:.1%}"
    tag = "b" if bar.own else "span"
    ours = 0.0 if bar.here is None else 0.4
    parts = []
    if bar.low is not None:
        parts.append(_reported(bar, bar.low, 1 - ours))
    if bar.here is not None:
        parts.append(_box(0, bar.here, f"bottom:0;height:{ours:.0%};background:{HERE}"))
    if not bar.own:
        parts = [f'<div style="opacity:.5">{"".join(parts)}</div>']
    if guessing is not None:
        parts.append(
            f'<div style="position:absolute;left:{guessing:.1%};top:0;bottom:0;'
            'border-left:2px dashed currentColor;opacity:.6"></div>'
        )
    return (
        '<div><div style="display:flex;justify-content:space-between;gap:.5rem">'
        f"<{tag}>{escape(bar.label)}</{tag}><{tag}>{text}</{tag}></div>"
        f'<div style="position:relative;height:{thick}px;background:{GRID}">'
        f"{''.join(parts)}</div></div>"
    )


def _reported(bar: ExpectedBar, low: float, share: float) -> str:
    """The document's bar: whole up to the lower end, faint from there to the upper one; with an
    open end an arrow from `low` on."""
    place = f"top:0;height:{share:.0%};"
    if bar.open_end is None:
        high = low if bar.high is None else bar.high
        whole = _box(0, low, f"{place}background:{DOCUMENT}")
        return whole + _box(low, high, f"{place}background:{DOCUMENT};opacity:.45")
    above = bar.open_end == "above"
    side, head = ("left", "right:0") if above else ("right", "left:0")
    colours = f"to {'right' if above else 'left'},{DOCUMENT}99,{DOCUMENT}22"
    arrow = (
        f'<div style="position:absolute;{head};top:50%;transform:translateY(-50%);'
        f'line-height:1;color:{DOCUMENT}">{"▶" if above else "◀"}</div>'
    )
    start, end = (low, 1.0) if above else (0.0, low)
    return _box(
        start,
        end,
        f"{place}background:linear-gradient({colours});border-{side}:3px solid {DOCUMENT}",
        arrow,
    )


def _legend(guessing: float | None, *, here: bool) -> str:
    words = [f"{_square(DOCUMENT)} document"]
    if here:
        words.append(f"{_square(HERE)} here")
    if guessing is not None:
        words.append(f"┆ guessing {guessing:.0%}")
    return f'<div style="font-size:.75rem">{" &emsp;".join(words)}</div>'


def _square(colour: str) -> str:
    return f'<span style="color:{colour}">■</span>'


def _box(start: float, end: float, style: str, inside: str = "") -> str:
    if end <= start:
        return ""
    return (
        f'<div style="position:absolute;left:{start:.1%};width:{end - start:.1%};'
        f'box-sizing:border-box;{style}">{inside}</div>'
    )
