"""A drawing of a network as HTML: one block a stage, its lock, and its layers behind a click."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from lab.words import plural

Lock = Literal["open", "closed", "clock"]


@dataclass(frozen=True)
class DrawnLayer:
    name: str
    kind: str
    shape: tuple[int, ...]
    """(C, H, W) or (C,)."""
    parameters: int


@dataclass(frozen=True)
class DrawnStage:
    name: str
    shape: tuple[int, ...]
    """(C, H, W) or (C,)."""
    parameters: int
    lock: Lock
    """Trained; frozen; frozen in the first phase and trained in the second."""
    layers: tuple[DrawnLayer, ...]


SIDE = 32.0
"""Units of the drawing for the side of the picture that goes in."""
MOST_CHANNELS = 2048
"""So many channels are as long as the picture is high."""
SLANT = 0.45

_LOCKS: dict[Lock, str] = {
    "open": '<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M9.5 7V4a2.6 2.6 0 0 1 '
    '5.2 0v1.2" fill="none"/>',
    "closed": '<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5.5 7V4.5a2.5 2.5 0 0 1 '
    '5 0V7" fill="none"/>',
    "clock": '<path d="M4.5 6V4a2.5 2.5 0 0 1 5 0v2" fill="none"/><circle cx="9" cy="10.5" r="4.5" '
    'fill="none"/><path d="M9 8v2.7l1.8 1" fill="none"/>',
}


def network_html(
    stages: Sequence[DrawnStage], *, title: str, picture: tuple[int, ...], second_phase: int = 0
) -> str:
    """Returns the drawing of the network called `title`, whose input has the shape `picture`.

        `second_phase` is its first epoch. Every stage is a button with the number of its panel in
    `data-stage`; panels are hidden. Colours are for the style sheet.
    """
    words = lock_words(second_phase)
    used = {stage.lock: words[stage.lock] for stage in stages}
    cells = [_picture(picture)]
    panels = []
    for number, stage in enumerate(stages):
        cells.append(_stage(number, stage, picture, words[stage.lock]))
        panels.append(_panel(number, stage, words[stage.lock]))
    legend = "".join(
        f'<span class="{lock}">{_icon(lock)} {escape(used[lock])}</span>'
        for lock in _LOCKS
        if lock in used
    )
    alt = escape(network_alt(stages, title), quote=True)
    return (
        f'<div class="network" role="group" aria-label="{alt}">'
        f'<div class="stages">{"".join(cells)}</div><p class="legend">{legend}</p>'
        f"{''.join(panels)}</div>"
    )


def network_alt(stages: Sequence[DrawnStage], title: str) -> str:
    """Returns the drawing in a sentence."""
    parameters = sum(stage.parameters for stage in stages)
    trained = [stage.name for stage in stages if stage.lock == "open"]
    part = "all trained" if len(trained) == len(stages) else f"trained: {', '.join(trained)}"
    later = [stage.name for stage in stages if stage.lock == "clock"]
    also = f"; in the second phase also {', '.join(later)}" if later else ""
    return f"{title}: {plural(len(stages), 'stage')}, {parameters:,} parameters; {part}{also}."


def lock_words(second_phase: int = 0) -> dict[Lock, str]:
    """Returns what each lock means."""
    return {
        "open": "trained",
        "closed": "frozen",
        "clock": f"frozen, then trained from epoch {second_phase} on",
    }


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape (C, H, W) as "56×56×64", (C,) as "512"."""
    if len(shape) == 3:
        channels, height, width = shape
        return f"{height}×{width}×{channels}"
    return "×".join(f"{n}" for n in shape)


def short_count(count: int) -> str:
    """Returns a number of parameters as "312", "9.4 k" or "2.2 M"."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.1f} k" if count < 999_950 else f"{count / 1e6:.1f} M"


def block_size(shape: Sequence[int], picture: Sequence[int]) -> tuple[float, float]:
    """Returns side and length of a stage's block, which grow with the square root of height and
    channels, or the last stages would vanish."""
    height = shape[1] if len(shape) == 3 else 1
    side = SIDE * math.sqrt(height / picture[1])
    length = SIDE * math.sqrt(min(shape[0], MOST_CHANNELS) / MOST_CHANNELS)
    return max(3.0, side), max(2.0, length)


def _picture(shape: tuple[int, ...]) -> str:
    return (
        f'<div class="cell picture"><span class="lock"></span>{_block(shape, shape)}'
        f"<b>picture</b><small>{shape_text(shape)}</small><small>&nbsp;</small></div>"
    )


def _stage(number: int, stage: DrawnStage, picture: tuple[int, ...], words: str) -> str:
    size = f"output {shape_text(stage.shape)}, {stage.parameters:,} parameters"
    label = f"{stage.name}: {size}, {words}. Shows its layers."
    return (
        f'<button type="button" class="cell {stage.lock}" data-stage="{number}" '
        f'aria-expanded="false" aria-controls="stage-{number}" '
        f'aria-label="{escape(label, True)}" title="{escape(label, True)}">'
        f'<span class="lock">{_icon(stage.lock)}</span>{_block(stage.shape, picture)}'
        f"<b>{escape(stage.name)}</b><small>{shape_text(stage.shape)}</small>"
        f"<small>{short_count(stage.parameters)}</small></button>"
    )


def _block(shape: Sequence[int], picture: Sequence[int]) -> str:
    side, length = block_size(shape, picture)
    rise = length * SLANT
    x, y = (2 * SIDE - side - length) / 2, (SIDE * (1 + SLANT) - side - rise) / 2 + rise
    front = _polygon((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    top = _polygon((x, y), (x + length, y - rise), (x + side + length, y - rise), (x + side, y))
    flank = _polygon(
        (x + side, y),
        (x + side + length, y - rise),
        (x + side + length, y + side - rise),
        (x + side, y + side),
    )
    box = f"0 0 {2 * SIDE:g} {SIDE * (1 + SLANT):g}"
    return f'<svg class="block" viewBox="{box}" aria-hidden="true">{top}{flank}{front}</svg>'


def _polygon(*points: tuple[float, float]) -> str:
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _icon(lock: Lock) -> str:
    return f'<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">{_LOCKS[lock]}</svg>'


def _panel(number: int, stage: DrawnStage, words: str) -> str:
    rows = "".join(
        f'<tr><td title="{escape(layer.name, True)}">{escape(layer.kind)}</td>'
        f"<td>{shape_text(layer.shape)}</td><td>{layer.parameters:,}</td></tr>"
        for layer in stage.layers
    )
    return (
        f'<section id="stage-{number}" hidden="" tabindex="0" '
        f'aria-label="Layers of {escape(stage.name, True)}">'
        f"<p><b>{escape(stage.name)}</b>: {stage.parameters:,} parameters, {escape(words)}</p>"
        "<table><thead><tr><th>Layer</th><th>Output</th><th>Parameters</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></section>"
    )
