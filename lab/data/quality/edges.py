"""Features without a network: which way edges run in each part of a picture, and its colours.

The edges are a histogram of oriented gradients (Dalal and Triggs 2005) on a grey copy of
SIDE x SIDE pixels: in CELLS x CELLS cells, ORIENTATIONS directions without sign, each block of 2 x
2 cells scaled to length 1. The colours are the mean of each channel in 4 x 4 parts.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from lab.data.pack import Pack
from lab.data.preprocess import LUMA
from lab.data.quality.features import EXTRACTORS, Extractor, Floats, OpenExtractor, resized_to

SIDE, CELLS, ORIENTATIONS = 32, 8, 8
_COLOURS = 4
_COLOUR_WEIGHT = 0.5
"""Of the length that colours have beside edges."""


def edges_and_colours(images: npt.NDArray[np.uint8]) -> Floats:
    """Pictures (n, H, W, C) uint8 -> (n, D)."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
    x = resized_to(x, SIDE)
    grey = x if x.shape[1] == 1 else torch.einsum("nchw,c->nhw", x, torch.tensor(LUMA))[:, None]
    colours = avg_pool2d(x, SIDE // _COLOURS).flatten(1) - 0.5
    colours = colours / math.sqrt(colours.shape[1]) * 2 * _COLOUR_WEIGHT
    return torch.cat([_edges(grey), colours], dim=1).numpy()


def _edges(grey: Tensor) -> Tensor:
    around = pad(grey, (1, 1, 1, 1), mode="replicate")[:, 0]
    dx = around[:, 1:-1, 2:] - around[:, 1:-1, :-2]
    dy = around[:, 2:, 1:-1] - around[:, :-2, 1:-1]
    strength = torch.hypot(dx, dy)
    # A direction counts in the two bins nearest to it, by its distance from each.
    angle = torch.atan2(dy, dx).remainder(math.pi) * (ORIENTATIONS / math.pi)
    lower = angle.floor()
    share = angle - lower
    bins = torch.zeros(len(grey), ORIENTATIONS, SIDE, SIDE)
    low = (lower.long() % ORIENTATIONS)[:, None]
    bins.scatter_(1, low, (strength * (1 - share))[:, None])
    bins.scatter_add_(1, (low + 1) % ORIENTATIONS, (strength * share)[:, None])
    cells = avg_pool2d(bins, SIDE // CELLS)
    blocks = avg_pool2d(cells.square().sum(1, keepdim=True), 2, stride=1, padding=1)
    norms = (blocks[:, :, 1:, 1:] + 1e-4).sqrt() * 2
    edges: Tensor = (cells / norms).flatten(1)
    unit: Tensor = edges / torch.linalg.vector_norm(edges, dim=1, keepdim=True).clamp_min(1e-6)
    return unit


def _shares(images: npt.NDArray[np.uint8], weights: Floats) -> Floats:
    parts = edges_and_colours(images) * weights
    edges = parts[:, : ORIENTATIONS * CELLS * CELLS].reshape(-1, ORIENTATIONS, CELLS, CELLS).sum(1)
    colours = parts[:, ORIENTATIONS * CELLS * CELLS :]
    colours = colours.reshape(len(parts), -1, _COLOURS, _COLOURS).sum(1)
    factor = CELLS // _COLOURS
    shares: Floats = edges + colours.repeat(factor, 1).repeat(factor, 2) / factor**2
    return shares


def _open(pack: Pack, detail: str) -> OpenExtractor:
    return OpenExtractor(
        title="edges and colours (no network)",
        identity=f"edges 1 {SIDE} {CELLS} {ORIENTATIONS} {_COLOUR_WEIGHT}",
        batch=256,
        vectors=edges_and_colours,
        shares=_shares,
    )


EXTRACTORS.add(
    "edges",
    Extractor(
        name="edges",
        title="Edges and colours (no network)",
        ready=lambda: True,
        open=_open,
    ),
)
