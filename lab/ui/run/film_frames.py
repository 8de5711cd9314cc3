"""The film strip as HTML: one row a probe image, one column an epoch, each cell a small overlay.

Takes plain values, knows nothing of Streamlit. Text stays text, so a screen reader and a search
find it; colours are the page's own (currentColor), so light and dark both work.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.explain.overlay import COLOURS
from lab.training.watch.film_files import Floats, Pixels, ProbeSnapshot
from lab.words import whole_percent

CELL = 72
"""Side of a cell's picture in pixels; narrow pages show it smaller."""
LARGE = 176
MOST_COLUMNS = 10
STRENGTH = 0.6
"""How much of the picture full colour hides, as everywhere in the lab."""


@dataclass(frozen=True, eq=False)
class Strip:
    """What is shown: the chosen epochs of a run and their maps in one stage."""

    takes: Sequence[ProbeSnapshot]
    """The columns, ascending."""
    maps: Sequence[Floats | None]
    """For each column (P, h, w) raw; None where there are none (a perceptron, a damaged file)."""
    stage: str | None
    scales: Mapping[int, float]
    """Index of a probe -> the raw value that shows as full colour, in every column."""
    pictures: Mapping[int, Pixels]
    """Index -> (H, W, C) uint8 as the network was given it."""
    class_names: Sequence[str]


def columns(epochs: Sequence[int], chosen: int, most: int = MOST_COLUMNS) -> tuple[int, ...]:
    """At most `most` of `epochs` (ascending): the first, the last, evenly many between, and the
    chosen one in place of its nearest neighbour."""
    if len(epochs) <= most:
        return tuple(epochs)
    places = np.linspace(0, len(epochs) - 1, most).round().astype(int)
    shown = [epochs[i] for i in places]
    if chosen in epochs and chosen not in shown:
        inner = range(1, most - 1)
        shown[min(inner, key=lambda i: abs(shown[i] - chosen))] = chosen
    return tuple(sorted(shown))


def scales(takes: Sequence[ProbeSnapshot], stage: str | None) -> dict[int, float]:
    """Index of each probe -> its largest raw value in `stage` over all `takes`."""
    found: dict[int, float] = {}
    for take in takes:
        if stage in take.stages:
            tops = take.peaks[take.stages.index(stage)]
            for index, top in zip(take.indices.tolist(), tops.tolist(), strict=True):
                found[index] = max(top, found.get(index, 0.0))
    return found


def strip_html(strip: Strip, *, chosen: int) -> str:
    """The table; its rows are the probes of the newest column. `chosen` is the marked epoch."""
    newest = strip.takes[-1]
    heads = "".join(
        f'<th scope="col"{_marked(take.epoch == chosen)}>{_short(take.epoch)}</th>'
        for take in strip.takes
    )
    plain = {index: _thumbnail(pixels, CELL) for index, pixels in strip.pictures.items()}
    drawn = [_overlays(strip, column, plain) for column in range(len(strip.takes))]
    rows = []
    for row, index in enumerate(newest.indices.tolist()):
        cells = "".join(
            _cell(strip, column, index, drawn[column], marked=take.epoch == chosen)
            for column, take in enumerate(strip.takes)
        )
        rows.append(f"<tr>{_row_head(strip, newest, row, plain.get(index))}{cells}</tr>")
    return (
        f'<div class="film">{_STYLE}'
        '<div class="film-scroll" tabindex="0" role="region" aria-label="Film strip, one column '
        'an epoch"><table><thead><tr><th scope="col">Picture</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def large_html(strip: Strip, column: int) -> str:
    """The probes of one column, larger, with what the network says of the true class."""
    take = strip.takes[column]
    plain = {index: _thumbnail(pixels, LARGE) for index, pixels in strip.pictures.items()}
    drawn = _overlays(strip, column, plain)
    figures = []
    for row, index in enumerate(take.indices.tolist()):
        true = int(take.labels[row])
        says = _answer(strip, take, row)
        if int(take.predicted[row]) != true:
            name = html.escape(_class_name(strip, true))
            says += f"<br>{name}, the true class: {_share(take, row, true)}"
        says += _note(strip, take, row)
        picture = _image(drawn.get(index), _alt(strip, take, row), LARGE)
        figures.append(f"<figure>{picture}<figcaption>{says}</figcaption></figure>")
    return f'<div class="film">{_STYLE}<div class="film-large">{"".join(figures)}</div></div>'


# --- text ---------------------------------------------------------------------------------------


def _short(epoch: int) -> str:
    return "start" if epoch == 0 else f"epoch {epoch}"


def _when(epoch: int) -> str:
    return "before training" if epoch == 0 else f"after epoch {epoch}"


def _marked(marked: bool) -> str:
    return ' class="film-chosen"' if marked else ""


def _class_name(strip: Strip, label: int) -> str:
    names = strip.class_names
    return names[label] if label < len(names) else f"class {label}"


def _row_head(strip: Strip, take: ProbeSnapshot, row: int, plain: Pixels | None) -> str:
    true = html.escape(_class_name(strip, int(take.labels[row])))
    picture = _image(plain, f"{take.names[row]}, the picture itself", CELL)
    trains = "<small>trains on it</small>" if take.parts[row] == "train" else ""
    return f'<th scope="row" title="{html.escape(take.names[row])}">{picture}{true}{trains}</th>'


def _cell(
    strip: Strip, column: int, index: int, drawn: Mapping[int, Pixels], *, marked: bool
) -> str:
    take = strip.takes[column]
    there = take.indices.tolist()
    if index not in there:
        return f'<td{_marked(marked)} title="Not followed yet">–</td>'
    row = there.index(index)
    picture = ""
    if strip.stage is not None:  # without maps the picture would be the same in every column
        picture = _image(drawn.get(index), _alt(strip, take, row), CELL)
    says = _answer(strip, take, row) + _note(strip, take, row)
    return f"<td{_marked(marked)}>{picture}{says}</td>"


def _answer(strip: Strip, take: ProbeSnapshot, row: int) -> str:
    said = int(take.predicted[row])
    right = said == int(take.labels[row])
    mark, word = ("✓", "right") if right else ("✗", "wrong")
    name = html.escape(_class_name(strip, said))
    return (
        f'<span class="film-{word}"><span role="img" aria-label="{word}:">{mark}</span> '
        f"{name} {_share(take, row, said)}</span>"
    )


def _share(take: ProbeSnapshot, row: int, label: int) -> str:
    """The class's probability, as HTML."""
    return html.escape(whole_percent(float(take.probabilities[row, label])))


def _note(strip: Strip, take: ProbeSnapshot, row: int) -> str:
    if not lacks_map(take, strip.stage, row):
        return ""
    return "<small>no map</small>"


def lacks_map(take: ProbeSnapshot, stage: str | None, row: int) -> bool:
    """Whether nothing in `stage` speaks for the picture's true class."""
    return stage in take.stages and not take.meaningful[take.stages.index(stage), row]


def _alt(strip: Strip, take: ProbeSnapshot, row: int) -> str:
    true = _class_name(strip, int(take.labels[row]))
    if strip.stage is None:
        return f"{true} {_when(take.epoch)}"
    return f"Where {strip.stage} sees {true}, {_when(take.epoch)}"


# --- pictures -----------------------------------------------------------------------------------


def _overlays(strip: Strip, column: int, plain: Mapping[int, Pixels]) -> dict[int, Pixels]:
    """Index -> (side, side, 3) uint8 of one column, all of its maps enlarged in one go. `plain` has
    the pictures themselves, of that size."""
    take, maps = strip.takes[column], strip.maps[column]
    rows = [i for i, index in enumerate(take.indices.tolist()) if index in plain]
    indices = take.indices[rows].tolist()
    if maps is None or not rows:
        return {index: plain[index] for index in indices}

    tops = np.array([strip.scales.get(index, 0.0) for index in indices], np.float32)
    pictures = np.stack([plain[index] for index in indices])
    large = enlarged(maps[rows], pictures.shape[1])
    top = tops[:, None, None]
    share = np.divide(large, top, out=np.zeros_like(large), where=top > 0).clip(0, 1)
    alpha = STRENGTH * share[..., None]
    colours = COLOURS[(share * 255).round().astype(np.uint8)]
    mixed = (pictures * (1 - alpha) + colours * alpha).round().astype(np.uint8)
    return dict(zip(indices, mixed, strict=True))


def enlarged(maps: Floats, side: int) -> Floats:
    """(P, h, w) -> (P, side, side), bilinear like `lab.explain.grad_cam.enlarge`, in numpy: two
    matrix products for all maps."""
    down, across = _weights(maps.shape[1], side), _weights(maps.shape[2], side)
    return np.asarray(down @ maps @ across.T, dtype=np.float32)


@functools.lru_cache(maxsize=64)
def _weights(n: int, side: int) -> Floats:
    """(side, n): how much each of n values adds to each of `side` places between their centres."""
    at = ((np.arange(side) + 0.5) * n / side - 0.5).clip(0, n - 1)
    left = np.floor(at).astype(int)
    right = np.minimum(left + 1, n - 1)
    weights = np.zeros((side, n), np.float32)
    np.add.at(weights, (np.arange(side), left), 1 - (at - left))
    np.add.at(weights, (np.arange(side), right), at - left)
    return weights


def _thumbnail(pixels: Pixels, side: int) -> npt.NDArray[np.uint8]:
    """(H, W, C) -> (side, side, 3) uint8: a large picture averaged down, the pixels of a small one
    kept apart, so that the eye sees what the network saw."""
    shown = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    how = Image.Resampling.BOX if pixels.shape[0] > side else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(shown).resize((side, side), how))


def _image(pixels: Pixels | None, alt: str, side: int) -> str:
    if pixels is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}" '
        f'width="{side}" height="{side}">'
    )


_STYLE = """<style>
.film-scroll { overflow-x: auto; direction: rtl; }
.film-scroll table { direction: ltr; border-collapse: collapse; font-size: 0.8rem;
  line-height: 1.25; }
.film th, .film td { padding: 4px; vertical-align: top; text-align: left; font-weight: 400;
  width: 84px; min-width: 64px; max-width: 96px; overflow-wrap: anywhere; }
.film th:first-child { position: sticky; left: 0; backdrop-filter: blur(3px);
  background: color-mix(in srgb, Canvas 82%, transparent); }
.film thead th { border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
.film .film-chosen { background: color-mix(in srgb, currentColor 9%, transparent); }
.film thead .film-chosen { font-weight: 600; }
.film img { display: block; width: 100%; max-width: 72px; height: auto; aspect-ratio: 1;
  border-radius: 4px; margin-bottom: 2px; }
.film small { display: block; opacity: 0.75; }
.film-wrong { font-weight: 600; text-decoration: underline dotted; text-underline-offset: 3px; }
.film-large { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(132px, 176px)); }
.film-large figure { margin: 0; font-size: 0.85rem; line-height: 1.35; }
.film-large img { max-width: 176px; }
</style>"""
"""The scroller runs from right to left so that it begins at the newest column; the table in it does
not."""
