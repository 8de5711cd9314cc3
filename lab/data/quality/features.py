"""Features of a set: a row of numbers for each picture, near one another where pictures are alike.

    set_features(pack)  ──> an extractor ──> Features: rows (N, D) of unit length, a title
                              │
          a pretrained network │ a run's checkpoint │ edges and colours, where there is no network

They depend on the pixels alone, so all versions of one import share them:
LAB_HOME/quality/<images hash>/features-<extractor>.npy, (N, D) float16. Networks are registered by
`lab.evaluate.extractors`; nothing is ever downloaded here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lab.data.array_file import read_array, write_array
from lab.data.pack import Pack
from lab.errors import NotFoundError, unknown_name
from lab.home import home_folder, require_free_space, writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent, throttled
from lab.registry import Registry

KEPT_BYTES = 6_000_000_000
"""Of all kept features together; those used longest ago go first."""
AUTO = "auto"
_TEXT = "Features of the pictures"
_MAPS = "Maps of what speaks for the other class"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """What an extractor makes of every picture of a pack."""

    rows: Floats
    """(N, D), each of length 1, in the pack's order; excluded images have theirs, too. A picture
    of which the extractor sees nothing has a row of zeros."""
    title: str
    """Whose features they are, such as "MobileNetV2, learned on ImageNet"."""
    extractor: str
    """The name under which they are asked for again."""
    seconds: float = 0.0
    """That they took; 0 where they were read."""


@dataclass(frozen=True, eq=False)
class OpenExtractor:
    """An extractor with its network in memory."""

    title: str
    identity: str
    """Names everything beside the pixels that the features depend on."""
    batch: int
    """Pictures that go together through it."""
    vectors: Callable[[npt.NDArray[np.uint8]], Floats]
    """Pictures (n, H, W, C) uint8 -> (n, D); may raise DataError."""
    shares: Callable[[npt.NDArray[np.uint8], Floats], Floats]
    """Pictures (n, H, W, C) uint8 and weights (n, D) -> (n, h, w): what each place adds to the
    score `vectors x weights` of a linear head; h = w = 0 where the features have no places."""


@dataclass(frozen=True)
class Extractor:
    """A way from pictures to features.

    `name` is what `set_features` is asked for, before a colon: "run:<run id>:best" is extractor
    "run" with detail "<run id>:best".
    """

    name: str
    title: str
    ready: Callable[[], bool]
    """Whether it can be opened without a download; quick."""
    open: Callable[[Pack, str], OpenExtractor]
    """For the pictures of this pack; the detail is "" but for runs."""
    preferred: Callable[[Pack], bool] = lambda pack: False
    """Whether "auto" may take it for this pack; of several, the one registered first."""


EXTRACTORS: Registry[Extractor] = Registry(
    "extractor", filled_by=("lab.evaluate.extractors", "lab.data.quality.edges")
)
"""By registry, because networks live above the data: `lab.data` imports none."""


def set_features(
    pack: Pack,
    *,
    extractor: str = AUTO,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Features:
    """Returns the features of all pictures of `pack`, computed at most once for its pixels.

    `extractor` is one of EXTRACTORS, "run:<run id>" or "run:<run id>:<checkpoint>"; "auto" is the
    best network for such pictures whose weights are on this machine, else edges and colours.
    Another thread that computes the same is waited for. Raises NotFoundError, DataError,
    WeightsError where the named weights are not here, ResourceError, Cancelled.
    """
    chosen, detail = _chosen(pack, extractor)
    opened = chosen.open(pack, detail)
    name = f"{chosen.name}:{detail}" if detail else chosen.name
    file = _file(pack, opened, name)
    with _held(file, progress, cancel):
        if (rows := _read(file, len(pack))) is not None:
            return Features(rows, opened.title, name)
        start = time.monotonic()
        half = _compute(pack, opened, throttled(progress), cancel)
        _write(file, half)
        return Features(
            half.astype(np.float32), opened.title, name, seconds=time.monotonic() - start
        )


def place_shares(
    pack: Pack,
    rows: Sequence[int],
    weights: Floats,
    *,
    extractor: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Floats:
    """Returns what each place of pictures `rows` adds to a linear head's score: (n, h, w).

    weights (n, D) are of a head over the features of `extractor`, one class for each picture. No
    picture has a map (h = w = 0) when the features have no places. Raises as `set_features`.
    """
    chosen, detail = _chosen(pack, extractor)
    opened = chosen.open(pack, detail)
    parts = []
    for start in range(0, len(rows), opened.batch):
        check_cancel(cancel, _MAPS)
        progress(Progress(start, len(rows), _MAPS, "pictures"))
        piece = slice(start, start + opened.batch)
        images = pack.take(np.asarray(rows[piece], dtype=np.int64))
        parts.append(opened.shares(images, weights[piece]))
    return np.concatenate(parts)


def similar(rows: Floats, query: Floats, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Returns the `count` rows nearest to each query: (n, count) places in `rows` and cosines.

    rows (N, D) and query (n, D) are of unit length; nearest first. A row that is a query itself is
    among its own.
    """
    count = min(count, len(rows))
    places = np.empty((len(query), count), dtype=np.int64)
    cosines = np.empty((len(query), count), dtype=np.float32)
    piece = max(1, 20_000_000 // max(1, len(rows)))  # 80 MB of cosines at once
    for start in range(0, len(query), piece):
        near = query[start : start + piece] @ rows.T
        best = np.argpartition(-near, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(near, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        places[start : start + piece] = np.take_along_axis(best, order, axis=1)
        cosines[start : start + piece] = np.take_along_axis(values, order, axis=1)
    return places, cosines


def resized_to(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) float -> (N, C, side, side), antialiased; itself where it has that size."""
    if images.shape[2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True)


def flat(outputs: Tensor, *, most: int) -> Tensor:
    """(N, C, h, w) or (N, D) -> (N, D'): places averaged to a grid of `most` numbers or fewer."""
    if outputs.ndim == 4:
        channels, height, width = outputs.shape[1:]
        grid = max(1, min(height, width, int((most // channels) ** 0.5)))
        outputs = adaptive_avg_pool2d(outputs, grid)
    return outputs.float().flatten(1)


def _chosen(pack: Pack, name: str) -> tuple[Extractor, str]:
    if name == AUTO:
        usable = (e for e in EXTRACTORS if e.preferred(pack) and e.ready())
        return next(usable, EXTRACTORS.get("edges")), ""
    kind, _, detail = name.partition(":")
    if kind not in EXTRACTORS:
        raise NotFoundError(unknown_name("extractor", kind, (AUTO, *EXTRACTORS.names())))
    return EXTRACTORS.get(kind), detail


def _compute(
    pack: Pack, opened: OpenExtractor, progress: Report, cancel: Cancel
) -> npt.NDArray[np.float16]:
    rows: npt.NDArray[np.float16] | None = None
    for start in range(0, len(pack), opened.batch):
        check_cancel(cancel, _TEXT)
        stop = min(start + opened.batch, len(pack))
        vectors = opened.vectors(pack.take(np.arange(start, stop, dtype=np.int64)))
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        if rows is None:
            rows = np.zeros((len(pack), vectors.shape[1]), dtype=np.float16)
        rows[start:stop] = vectors
        progress(Progress(stop, len(pack), _TEXT, "pictures"))
    assert rows is not None, "a pack has images"
    return rows


def _file(pack: Pack, opened: OpenExtractor, name: str) -> Path:
    # At another size the pixels are others, though they keep the hash of what they were made from.
    facts = f"{opened.identity} {pack.meta.image_size}"
    digest = hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()
    folder = home_folder("quality", pack.meta.images_hash or pack.meta.content_hash)
    return folder / f"features-{name.replace(':', '-')}-{digest}.npy"


@contextlib.contextmanager
def _held(file: Path, progress: Report, cancel: Cancel) -> Iterator[None]:
    lock = FileLock(home_folder("locks") / f"{file.parent.name}-{file.stem}.lock")
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            check_cancel(cancel, _TEXT)
            progress(Progress(0, 0, "Waiting: the same features are being computed elsewhere"))
    try:
        yield
    finally:
        lock.release()


def _read(file: Path, count: int) -> Floats | None:
    try:
        half = read_array(file)
        if half.ndim != 2 or len(half) != count:
            return None
        os.utime(file)  # used now; see _make_room
    except (OSError, ValueError, EOFError):
        return None  # none yet, or cut short: computed anew
    rows: Floats = half.astype(np.float32)
    return rows


def _write(file: Path, half: npt.NDArray[np.float16]) -> None:
    _make_room(half.nbytes)
    require_free_space(file.parent, half.nbytes)
    write_array(file, half)


def _make_room(needed: int) -> None:
    """Delete the features used longest ago until `needed` bytes more fit into KEPT_BYTES."""
    files = list(home_folder("quality").glob("*/features-*.npy"))
    files.sort(key=lambda file: file.stat().st_mtime)
    total = needed + sum(file.stat().st_size for file in files)
    for file in files:
        if total <= KEPT_BYTES:
            return
        total -= file.stat().st_size
        with writing(file):
            file.unlink(missing_ok=True)
