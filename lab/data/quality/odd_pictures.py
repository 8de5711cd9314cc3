"""Finds pictures that are odd by themselves: dark, bright, blurred, empty, oddly shaped, tiny, grey
among colour.

The measures and absolute limits are cleanvision's (0.3.7), which were set on many photographs. A
picture must also stand out from its own set, by more than twice the quartile range below the
median: in a set of dark X-rays only the one that is black is dark.

All is measured on copies of at most SIDE pixels, as cleanvision measures blur. Shape and size are
those of the files; packs of older code hold no more than a count of them, which is a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import conv2d, interpolate

from lab.data.pack import Pack
from lab.data.preprocess import LUMA
from lab.data.quality.findings import CHECKS, Check, CheckResult, Finding, rows_in_use
from lab.progress import Cancel, Progress, Report, check_cancel, throttled

SIDE = 64
ODD_SHAPE = 0.35
"""Shorter side by longer side below which an original is oddly shaped."""
TINY = 0.5
"""Side of an original (the root of its area) by that of the stored square below which it was blown
up beyond use."""
RARE = 0.1
"""Grey pictures are odd where they are fewer than this share; coloured ones likewise."""
GREY_SPREAD = 4 / 255
"""Between the channels of a grey pixel, after JPEG."""
MOST_LISTED = 1000
_BRIGHTNESS = (0.241, 0.691, 0.068)
_BATCH = 128
_TEXT = "Measuring light, blur and colour"

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Measure:
    """A number a picture of which little is odd."""

    title: str
    limit: float
    """Below which cleanvision calls a picture odd."""


MEASURES: Mapping[str, Measure] = {
    "dark": Measure("Dark", 0.32),
    "bright": Measure("Bright", 0.05),
    "blurred": Measure("Blurred", 0.29),
    "empty": Measure("Nearly empty", 0.3),
}


def measure(images: npt.NDArray[np.uint8]) -> dict[str, Values]:
    """Returns the measures (n,) of pictures (n, H, W, C) uint8, by name.

    "dark": the brightness that 1 % of the pixels exceed. "bright": 1 - the one that 95 % exceed.
    "blurred": how much the edges vary, plus how uneven the grey values are. "empty": the entropy of
    the grey values, 10 bits being 1. "colour": how far the channels are apart in the most coloured
    1 % of the pixels.
    """
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    if max(x.shape[2:]) > SIDE:
        x = interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True)
    x = x.round_().clamp_(0, 255)
    if x.shape[1] == 1:
        brightness = x[:, 0] / 255
        grey = x
        spread = torch.zeros_like(brightness)
    else:
        weights = torch.tensor(_BRIGHTNESS)
        brightness = torch.einsum("nchw,c->nhw", x.square(), weights).sqrt() / 255
        grey = torch.einsum("nchw,c->nhw", x, torch.tensor(LUMA))[:, None].round_()
        spread = (x.amax(dim=1) - x.amin(dim=1)) / 255
    low, high = torch.quantile(brightness.flatten(1), torch.tensor([0.05, 0.99]), dim=1)
    counts = torch.zeros(len(x), 256)
    counts.scatter_add_(1, grey.flatten(1).long(), torch.ones(len(x), grey[0].numel()))
    shares = counts / grey[0].numel()
    entropy = -torch.special.xlogy(shares, shares).sum(1) / np.log(2)
    kernel = torch.full((1, 1, 3, 3), -1.0)
    kernel[0, 0, 1, 1] = 8
    edges = conv2d(grey, kernel).clamp_(0, 255)
    sharp = 1 - torch.exp(-edges.flatten(1).std(dim=1, correction=0) / 100)
    # In cleanvision a histogram is of up to 64 x 64 pixels: fewer have smaller counts.
    scale = SIDE * SIDE / grey[0].numel()
    uneven = 1 - torch.exp(-counts.std(dim=1, correction=0) * scale / 100)
    uneven[uneven <= 0.18] = 0
    return {
        "dark": high.numpy(),
        "bright": (1 - low).numpy(),
        "blurred": (sharp + uneven).clamp_max(1).numpy(),
        "empty": (entropy / 10).clamp_max(1).numpy(),
        "colour": torch.quantile(spread.flatten(1), 0.99, dim=1).numpy(),
    }


def limit_of(name: str, values: Values) -> float:
    """Returns the value below which a picture of this set is odd."""
    lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
    return float(min(MEASURES[name].limit, median - 2 * (upper - lower)))


def tiny_limit(sides: Values, stored: int) -> float:
    """Returns the side (root of the area, in pixels) below which an original of this set is tiny.

    A picture must stand out from its own set: sides are compared by their ratio, as they are
    spread by ratios.
    """
    lower, median, upper = np.quantile(sides, [0.25, 0.5, 0.75])
    return float(min(TINY * stored, median * (lower / upper) ** 2))


def _run(pack: Pack, progress: Report, cancel: Cancel) -> CheckResult:
    used = rows_in_use(pack)
    progress = throttled(progress)
    parts: list[dict[str, Values]] = []
    for start in range(0, len(used), _BATCH):
        check_cancel(cancel, _TEXT)
        parts.append(measure(pack.take(used[start : start + _BATCH])))
        progress(Progress(min(start + _BATCH, len(used)), len(used), _TEXT, "pictures"))
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    findings: list[Finding] = []
    for name in MEASURES:
        limit = limit_of(name, values[name])
        odd = np.flatnonzero(values[name] < limit)
        findings += _listed(name, used, odd, limit - values[name][odd])
    if pack.sizes is not None:
        sizes = pack.sizes[used].astype(np.float32)
        shape = sizes.min(axis=1) / sizes.max(axis=1)
        odd = np.flatnonzero(shape < ODD_SHAPE)
        findings += _listed("shape", used, odd, ODD_SHAPE - shape[odd])
        sides = np.sqrt(sizes.prod(axis=1))
        limit = tiny_limit(sides, pack.meta.image_size)
        odd = np.flatnonzero(sides < limit)
        findings += _listed("tiny", used, odd, 1 - sides[odd] / limit)
    grey = values["colour"] <= GREY_SPREAD
    if 0 < grey.mean() < RARE:
        findings += _listed("grey", used, np.flatnonzero(grey), -values["colour"][grey])
    elif 0 < (~grey).mean() < RARE:
        findings += _listed("coloured", used, np.flatnonzero(~grey), values["colour"][~grey])
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}
    return CheckResult(tuple(findings), dict(counts), _notes(pack, counts), 0.0)


def _listed(
    kind: str,
    rows: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    score: npt.NDArray[np.floating],
) -> list[Finding]:
    order = np.argsort(-score, kind="stable")[:MOST_LISTED]
    return [
        Finding(kind=kind, row=int(rows[places[i]]), score=round(float(score[i]), 6)) for i in order
    ]


def _notes(pack: Pack, counts: Mapping[str, int]) -> tuple[str, ...]:
    said = [f"{count:,} {KINDS[kind].lower()}" for kind, count in counts.items() if count]
    notes = [f"Odd pictures: {', '.join(said)}." if said else "No picture is odd by itself."]
    shaped = sum(count for size, count in pack.meta.original_sizes.items() if _is_odd(size))
    if shaped and pack.sizes is None:
        notes.append(
            f"At least {shaped:,} originals were oddly shaped (one side nearly three times the "
            "other, or more) before they became squares. Which ones is not known of sets that an "
            "earlier version of the lab imported: add this one again to find out."
        )
    return tuple(notes)


def _is_odd(size: str) -> bool:
    width, _, height = size.partition("x")
    return min(int(width), int(height)) < ODD_SHAPE * max(int(width), int(height))


KINDS = {
    **{name: entry.title for name, entry in MEASURES.items()},
    "shape": "Odd shape",
    "tiny": "Tiny file",
    "grey": "Grey among colour",
    "coloured": "Coloured among grey",
}

CHECKS.add(
    "odd_pictures",
    Check(
        name="odd_pictures",
        title="Odd pictures",
        explain="Light, blur, detail, colour, shape and size of each picture, against "
        "cleanvision's limits and against the other pictures of the set.",
        kinds=KINDS,
        run=_run,
        version=2,
    ),
)
