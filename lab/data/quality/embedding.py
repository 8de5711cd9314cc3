"""Lays the pictures of a data set out on a plane, so that alike ones lie together.

    features (N, D)  ── pca ──>   the plane of largest spread: exact, at once, the same every time
                     ── tsne ──>  neighbours stay neighbours: clusters show, distances between them
                                  and their sizes mean little; a minute for 20,000 pictures
                     ── similar ─> the nearest pictures of one, in the features themselves

    steps (T, N, D)  ── aligned ──> (T, N, 2): one map a step, turned so that it moves as little as
                                    it can

t-SNE is openTSNE's: 13 MB, compiled, it can be followed and cancelled. UMAP would bring 210 MB of
compiler and compile for half a minute in every process before its first map, which shows the same
kind of thing. What t-SNE finds is kept, by a hash of the features, in
LAB_HOME/quality/<images_hash>/; PCA is quicker than reading it would be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lab.data.array_file import BROKEN
from lab.data.quality.features import similar as nearest_rows
from lab.errors import ConfigError, DataError
from lab.home import atomic_file, home_folder
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

METHODS = {"pca": "PCA", "tsne": "t-SNE"}
PERPLEXITY = 30
"""About how many neighbours of a picture count in t-SNE; its usual value."""
FEWEST_FOR_TSNE = 10
COMPONENTS = 50
"""t-SNE sees so many principal components: nearly the same neighbours, sooner found."""
EARLY, LATER = 250, 500
"""Iterations of t-SNE's two phases; its usual values."""
REPORT_EVERY = 10
"""Iterations between two looks at `cancel`."""

_FORMAT = 1
_ROWS = 8192
"""Rows of features that are in memory as float64 at once."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Where N pictures lie on the plane."""

    method: str
    points: Floats
    """(N, 2), centred, the farthest coordinate is 1 or -1."""
    share: float | None
    """How much of the features' variance the plane shows, in [0, 1]; None where the method has no
    such number."""


def embed(
    features: Floats,
    method: str,
    *,
    images_hash: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Embedding:
    """Returns the map of `features` (N, D) by one of METHODS; t-SNE's is kept and read again.

    Raises ConfigError for another method, or for t-SNE with too few pictures; DataError where the
    features are no numbers; ResourceError where the map cannot be kept; Cancelled.
    """
    if method not in METHODS:
        raise ConfigError(f"The map {method!r} is unknown; allowed are: {', '.join(METHODS)}.")
    _require_numbers(features)
    if method == "pca":
        return pca_map(features)
    file = home_folder("quality", images_hash) / f"tsne-{_fingerprint(features)}.npz"
    if (points := _read(file, len(features))) is None:
        points = _tsne(features, progress, cancel)
        with atomic_file(file) as temporary, temporary.open("wb") as target:
            np.savez(target, format=_FORMAT, points=points)
    return Embedding("tsne", points, None)


# --- principal components -------------------------------------------------------------------------
def pca_map(features: Floats) -> Embedding:
    """Returns the plane of largest spread through `features` (N, D)."""
    coordinates, shares = principal_components(features, 2)
    return Embedding("pca", _framed(coordinates), float(shares.sum()))


def principal_components(features: Floats, count: int) -> tuple[Floats, Floats]:
    """(N, D) -> coordinates (N, count) along the directions of largest variance, and the share of
    the variance (count,) of each.

    Deterministic: each direction points to where its largest weight is positive. Directions that
    the features do not have (fewer than `count`, or no variance) are zero.
    """
    number, width = features.shape
    found = min(count, number, width)
    coordinates = np.zeros((number, count), dtype=np.float32)
    shares = np.zeros(count, dtype=np.float32)
    if not found:
        return coordinates, shares
    mean = features.mean(axis=0, dtype=np.float64)
    if width <= number:
        products = np.zeros((width, width))
        total = 0.0
        for start in range(0, number, _ROWS):
            part = features[start : start + _ROWS] - mean
            products += part.T @ part
            total += float(np.einsum("nd,nd->", part, part))
        vectors = np.linalg.eigh(products).eigenvectors[:, -found:]
    else:  # fewer pictures than features: the products of pictures are the smaller matrix
        centred = features - mean
        products = centred @ centred.T
        total = float(np.trace(products))
        vectors = centred.T @ np.linalg.eigh(products).eigenvectors[:, -found:]
        lengths = np.linalg.norm(vectors, axis=0)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
    vectors = vectors[:, ::-1]  # largest first
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(found)] < 0, -1, 1)
    for start in range(0, number, _ROWS):
        part = features[start : start + _ROWS] - mean
        coordinates[start : start + _ROWS, :found] = part @ vectors
    if total > 0:
        spread = np.einsum("nd,nd->d", coordinates, coordinates, dtype=np.float64)
        shares[:] = spread / total
    return coordinates, shares


# --- t-SNE ----------------------------------------------------------------------------------------
def _tsne(features: Floats, progress: Report, cancel: Cancel) -> Floats:
    number = len(features)
    if number < FEWEST_FOR_TSNE:
        raise ConfigError(
            f"t-SNE needs at least {FEWEST_FOR_TSNE} pictures, and here are {number}. Use PCA."
        )
    import openTSNE  # here: it takes a second, and most maps are PCA's

    title = f"t-SNE of {number:,} pictures"
    total = EARLY + LATER
    done = 0

    def follow(*_: object) -> bool:
        nonlocal done
        done += REPORT_EVERY
        progress(Progress(min(done, total), total, f"{title}: laying them out", "iterations"))
        return cancel()  # True ends it

    progress(Progress(0, 0, f"{title}: looking for neighbours"))
    reduced, _ = principal_components(features, COMPONENTS)
    check_cancel(cancel, title)
    # One thread: with several, sums come in another order and the map is another one every time.
    layout = openTSNE.TSNE(
        perplexity=min(PERPLEXITY, (number - 1) / 3),
        early_exaggeration_iter=EARLY,
        n_iter=LATER,
        initialization="pca",
        random_state=0,
        n_jobs=1,
        callbacks=follow,
        callbacks_every_iters=REPORT_EVERY,
    ).fit(reduced)
    check_cancel(cancel, title)
    points = np.asarray(layout, dtype=np.float32)
    _require_numbers(points)
    return _framed(points)


# --- neighbours -----------------------------------------------------------------------------------
def similar(
    features: Floats, row: int, count: int, *, among: Ints | None = None
) -> tuple[Ints, Floats]:
    """Returns the `count` pictures nearest to picture `row`, the nearest first, and how alike each
    is: the cosine of the angle between the features, 1 for the same.

    `features` (N, D) of unit length; `among` are the rows that may be named, all by default; `row`
    itself is not.
    """
    candidates = np.arange(len(features)) if among is None else np.asarray(among)
    candidates = candidates[candidates != row].astype(np.int64)
    if not len(candidates):
        return candidates, np.zeros(0, dtype=np.float32)
    places, likeness = nearest_rows(features[candidates], features[row : row + 1], count)
    return candidates[places[0]], likeness[0]


# --- maps over time -------------------------------------------------------------------------------
def aligned(steps: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Turns the features of the same N pictures at T moments into T maps that can be compared.

    Features of a network at two moments are two unrelated systems of axes, so each moment is turned
    and mirrored (Procrustes: distances within it stay) onto the one after it; all are then seen
    in the plane of largest spread of the last moment. Each is scaled to the same average distance
    from the middle, because what counts is which pictures lie together, not how large the numbers
    grew.

    `steps`: T arrays (N, D). Returns maps (T, N, 2) in one frame, and the share (T,) of each
    moment's variance that its map shows.
    """
    if not steps:
        return np.zeros((0, 0, 2), dtype=np.float32), np.zeros(0, dtype=np.float32)
    turned: list[npt.NDArray[np.float64]] = []
    following: npt.NDArray[np.float64] | None = None
    for step in reversed(steps):
        centred = step - step.mean(axis=0, dtype=np.float64)
        size = np.sqrt(np.square(centred).sum(axis=1).mean())
        centred = centred / (size or 1.0)
        if following is None:
            coordinates, _ = principal_components(centred.astype(np.float32), centred.shape[1])
            following = coordinates.astype(np.float64)
        else:
            left, _, right = np.linalg.svd(centred.T @ following)
            following = centred @ (left @ right)
        turned.append(following)
    turned.reverse()
    maps = np.stack([step[:, :2] for step in turned]).astype(np.float32)
    spread = np.array([np.square(step).sum() for step in turned])
    shown = np.square(maps).sum(axis=(1, 2))
    shares = np.divide(shown, spread, out=np.zeros_like(spread), where=spread > 0)
    reach = float(np.abs(maps).max())
    return maps / np.float32(reach or 1), shares.astype(np.float32)


# --- small parts ----------------------------------------------------------------------------------
def _framed(points: Floats) -> Floats:
    """Centred, with the farthest coordinate at 1 or -1; the aspect stays."""
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    reach = float(np.abs(centred).max()) if len(points) else 0.0
    framed: Floats = (centred / (reach or 1.0)).astype(np.float32)
    return framed


def _require_numbers(features: Floats) -> None:
    if features.ndim != 2:
        raise ValueError(f"features have the shape {features.shape}, not (N, D)")
    if not np.isfinite(features).all():
        raise DataError(
            "Some features are no numbers, so no map can be drawn of them: the network that they "
            "come from has diverged. Choose features of another one."
        )


def _fingerprint(features: Floats) -> str:
    digest = hashlib.blake2b(repr(features.shape).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(features, dtype=np.float32).data)
    return digest.hexdigest()


def _read(file: Path, number: int) -> Floats | None:
    """What was kept; None where nothing was, or what cannot be used."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            points: Floats = kept["points"]
            usable = int(kept["format"]) == _FORMAT and points.shape == (number, 2)
            return points if usable else None
    except BROKEN:
        return None  # then it is made anew
