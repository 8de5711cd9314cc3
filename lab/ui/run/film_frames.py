"""The film strip as HTML: one row a probe image, one column an epoch, each cell a small overlay.

Plain values in, a string out, no Streamlit. Text stays text for screen readers and searches;
colours are the page's own (currentColor), so light and dark both work.
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
    """The shown epochs of a run and their maps in one stage."""

    snapshots: Sequence[ProbeSnapshot]
    """The columns, ascending."""
    maps: Sequence[Floats | None]
    """For each column (P, h, w), raw; None where there are none (a perceptron, a damaged file)."""
    stage: str | None
    scales: Mapping[int, float]
    """Index of a probe -> the raw value that shows as full colour, in every column."""
    pictures: Mapping[int, Pixels]
    """Index -> (H, W, C) uint8, the network's input."""
    class_names: Sequence[str]


def columns(epochs: Sequence[int], chosen: int, most: int = MOST_COLUMNS) -> tuple[int, ...]:
    """Returns at most `most` of `epochs` (ascending): first, last and an even choice between.

    The chosen one is among them, in place of its nearest neighbour.
    """
    if len(epochs) <= most:
        return tuple(epochs)
    positions = np.linspace(0, len(epochs) - 1, most).round().astype(int)
    shown = [epochs[i] for i in positions]
    if chosen in epochs and chosen not in shown:
        inner = range(1, most - 1)
        shown[min(inner, key=lambda i: abs(shown[i] - chosen))] = chosen
    return tuple(sorted(shown))


def scales(snapshots: Sequence[ProbeSnapshot], stage: str | None) -> dict[int, float]:
    """Returns the index of each probe -> its largest raw value in `stage` over all `snapshots`."""
    largest: dict[int, float] = {}
    for snapshot in snapshots:
        if stage in snapshot.stages:
            tops = snapshot.peaks[snapshot.stages.index(stage)]
            for index, top in zip(snapshot.indices.tolist(), tops.tolist(), strict=True):
                largest[index] = max(top, largest.get(index, 0.0))
    return largest


def strip_html(strip: Strip, *, chosen: int) -> str:
    """Returns the table, a row for each probe of the newest column, the epoch `chosen` marked."""
    newest = strip.snapshots[-1]
    headings = "".join(
        f'<th scope="col"{_marked(snapshot.epoch == chosen)}>{_short(snapshot.epoch)}</th>'
        for snapshot in strip.snapshots
    )
    thumbnails = {index: _thumbnail(pixels, CELL) for index, pixels in strip.pictures.items()}
    overlays = [_overlays(strip, column, thumbnails) for column in range(len(strip.snapshots))]
    rows = []
    for row, index in enumerate(newest.indices.tolist()):
        cells = "".join(
            _cell(strip, column, index, overlays[column], marked=snapshot.epoch == chosen)
            for column, snapshot in enumerate(strip.snapshots)
        )
        rows.append(f"<tr>{_row_head(strip, newest, row, thumbnails.get(index))}{cells}</tr>")
    return (
        f'<div class="film">{_STYLE}'
        '<div class="film-scroll" tabindex="0" role="region" aria-label="Film strip, one column '
        'an epoch"><table><thead><tr><th scope="col">Picture</th>'
        f"{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def large_html(strip: Strip, column: int) -> str:
    """Returns the probes of one column, larger, with the probability of the true class."""
    snapshot = strip.snapshots[column]
    thumbnails = {index: _thumbnail(pixels, LARGE) for index, pixels in strip.pictures.items()}
    overlays = _overlays(strip, column, thumbnails)
    cards = []
    for row, index in enumerate(snapshot.indices.tolist()):
        true = int(snapshot.labels[row])
        caption = _answer(strip, snapshot, row)
        if int(snapshot.predicted[row]) != true:
            name = html.escape(_class_name(strip, true))
            caption += f"<br>{name}, the true class: {_share(snapshot, row, true)}"
        caption += _note(strip, snapshot, row)
        picture = _image(overlays.get(index), _alt(strip, snapshot, row), LARGE)
        cards.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="film">{_STYLE}<div class="film-large">{"".join(cards)}</div></div>'


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


def _row_head(strip: Strip, snapshot: ProbeSnapshot, row: int, thumbnail: Pixels | None) -> str:
    true = html.escape(_class_name(strip, int(snapshot.labels[row])))
    picture = _image(thumbnail, f"{snapshot.names[row]}, the picture itself", CELL)
    trains = "<small>trains on it</small>" if snapshot.parts[row] == "train" else ""
    return (
        f'<th scope="row" title="{html.escape(snapshot.names[row])}">{picture}{true}{trains}</th>'
    )


def _cell(
    strip: Strip, column: int, index: int, overlays: Mapping[int, Pixels], *, marked: bool
) -> str:
    snapshot = strip.snapshots[column]
    indices = snapshot.indices.tolist()
    if index not in indices:
        return f'<td{_marked(marked)} title="Not followed yet">–</td>'
    row = indices.index(index)
    picture = ""
    if strip.stage is not None:  # without maps the picture would be the same in every column
        picture = _image(overlays.get(index), _alt(strip, snapshot, row), CELL)
    text = _answer(strip, snapshot, row) + _note(strip, snapshot, row)
    return f"<td{_marked(marked)}>{picture}{text}</td>"


def _answer(strip: Strip, snapshot: ProbeSnapshot, row: int) -> str:
    predicted = int(snapshot.predicted[row])
    right = predicted == int(snapshot.labels[row])
    mark, word = ("✓", "right") if right else ("✗", "wrong")
    name = html.escape(_class_name(strip, predicted))
    return (
        f'<span class="film-{word}"><span role="img" aria-label="{word}:">{mark}</span> '
        f"{name} {_share(snapshot, row, predicted)}</span>"
    )


def _share(snapshot: ProbeSnapshot, row: int, label: int) -> str:
    """Returns the class's probability as HTML."""
    return html.escape(whole_percent(float(snapshot.probabilities[row, label])))


def _note(strip: Strip, snapshot: ProbeSnapshot, row: int) -> str:
    if not lacks_map(snapshot, strip.stage, row):
        return ""
    return "<small>no map</small>"


def lacks_map(snapshot: ProbeSnapshot, stage: str | None, row: int) -> bool:
    """Returns whether nothing in `stage` speaks for the picture's true class."""
    return stage in snapshot.stages and not snapshot.meaningful[snapshot.stages.index(stage), row]


def _alt(strip: Strip, snapshot: ProbeSnapshot, row: int) -> str:
    true = _class_name(strip, int(snapshot.labels[row]))
    if strip.stage is None:
        return f"{true} {_when(snapshot.epoch)}"
    return f"Where {strip.stage} sees {true}, {_when(snapshot.epoch)}"


# --- pictures -----------------------------------------------------------------------------------


def _overlays(strip: Strip, column: int, thumbnails: Mapping[int, Pixels]) -> dict[int, Pixels]:
    """Returns the overlays of one column, index -> (side, side, 3) uint8.

    `thumbnails` has the pictures of that size; all maps are enlarged in one go.
    """
    snapshot, maps = strip.snapshots[column], strip.maps[column]
    rows = [i for i, index in enumerate(snapshot.indices.tolist()) if index in thumbnails]
    indices = snapshot.indices[rows].tolist()
    if maps is None or not rows:
        return {index: thumbnails[index] for index in indices}

    peaks = np.array([strip.scales.get(index, 0.0) for index in indices], np.float32)
    pictures = np.stack([thumbnails[index] for index in indices])
    large = enlarged(maps[rows], pictures.shape[1])
    peak = peaks[:, None, None]
    share = np.divide(large, peak, out=np.zeros_like(large), where=peak > 0).clip(0, 1)
    alpha = STRENGTH * share[..., None]
    colours = COLOURS[(share * 255).round().astype(np.uint8)]
    mixed = (pictures * (1 - alpha) + colours * alpha).round().astype(np.uint8)
    return dict(zip(indices, mixed, strict=True))


def enlarged(maps: Floats, side: int) -> Floats:
    """Enlarges (P, h, w) to (P, side, side), bilinear like `lab.explain.grad_cam.enlarge`.

    In numpy, two matrix products for all maps.
    """
    down, across = _weights(maps.shape[1], side), _weights(maps.shape[2], side)
    return np.asarray(down @ maps @ across.T, dtype=np.float32)


@functools.lru_cache(maxsize=64)
def _weights(n: int, side: int) -> Floats:
    """Returns (side, n): the weight of each of n values at each of `side` places between them."""
    at = ((np.arange(side) + 0.5) * n / side - 0.5).clip(0, n - 1)
    left = np.floor(at).astype(int)
    right = np.minimum(left + 1, n - 1)
    weights = np.zeros((side, n), np.float32)
    np.add.at(weights, (np.arange(side), left), 1 - (at - left))
    np.add.at(weights, (np.arange(side), right), at - left)
    return weights


def _thumbnail(pixels: Pixels, side: int) -> npt.NDArray[np.uint8]:
    """Resizes (H, W, C) to (side, side, 3) uint8: averages a large picture, keeps a small one's
    pixels apart, as the network sees them."""
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
