"""What a run keeps of the health of its layers, and how it is read again. Imports no torch: pages
read it.

<run folder>/layers/
├── layers.json     the layers' names, in order, and what follows each
└── samples.bin     one record of fixed length a sampled step, appended in one write; from
                    version 2 on with its CRC-32 at the end

A reader counts whole records, so that a half-written last one is not there for it, and leaves out
records with another checksum. The file is only
ever appended to or replaced as a whole: whoever reads it while a run resumes sees the old or the
new one.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.home import atomic_file, writing
from lab.seal import read_sealed, seal

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]

logger = logging.getLogger(__name__)

FOLDER = "layers"
BINS = 40
"""Of a histogram."""

_VERSION = 2
_HEADER = "layers.json"
_SAMPLES = "samples.bin"
_FIGURES = ("gradient_norm", "weight_norm", "update_ratio", "dead", "saturated")


@dataclass(frozen=True, eq=False)
class LayerHistory:
    """T sampled steps of L layers, those with a weight matrix or filters, in the order of the
    network. A figure that is no finite number because the training went wrong is +inf; NaN says
    that there is none."""

    layers: tuple[str, ...]
    """L names: the stage, and the path inside it where the stage has several layers."""
    steps: Ints
    """(T,) ascending."""
    gradient_norm: Floats
    """(T, L) L2 norm of the gradient of the layer's weights, before clipping; NaN while frozen."""
    weight_norm: Floats
    """(T, L) L2 norm of the weights before the step."""
    update_ratio: Floats
    """(T, L) length of the step that the weights took over their own length before it; NaN while
    frozen."""
    dead: Floats
    """(T, L) share of units (of a convolution: filters) that a ReLU kept at zero for all images of
    the batch and at all places; NaN where no ReLU follows or the layer did not run."""
    saturated: Floats
    """(T, L) share of activations in the flat ends: sigmoid below 0.05 or above 0.95, tanh beyond
    0.95 either way; NaN where neither follows or the layer did not run."""
    histograms: Counts
    """(T, L, B) how many of the sampled values lie in each bin; zeros where the layer did not
    run."""
    edges: Floats
    """(T, L, B + 1) of the bins; from the smallest to the largest finite value; NaN likewise."""
    activations: tuple[str, ...] = ()
    """L names of the curve behind each layer, such as "relu"; "" where there is none, and then the
    histogram is of the layer's own output."""
    samples: int = 0
    """How many sampled steps are kept in all; T of them are here."""


def _record(header: dict[str, Any]) -> np.dtype[Any]:
    layers = len(header["layers"])
    fields: list[tuple[Any, ...]] = [
        ("step", "<i8"),
        ("figures", "<f4", (len(_FIGURES), layers)),
        ("range", "<f4", (2, layers)),
        ("counts", "<u2", (layers, BINS)),
    ]
    return np.dtype([*fields, ("checksum", "<u4")] if header["version"] > 1 else fields)


def _checksum(record: bytes) -> int:
    return zlib.crc32(record[:-4])


# --- writing, in the training thread --------------------------------------------------------------


class LayerWriter:
    """Appends samples to the file of one run. Raises ResourceError when the disk is full."""

    def __init__(self, folder: Path, layers: tuple[str, ...], activations: tuple[str, ...]) -> None:
        """Go on with what is there, or begin anew where that was of other layers."""
        place = folder / FOLDER
        self._file = place / _SAMPLES
        header = {
            "version": _VERSION,
            "bins": BINS,
            "layers": list(layers),
            "activations": list(activations),
        }
        there = _read_header(folder)
        goes_on = there is not None and {**there, "version": _VERSION} == header
        header = there if there is not None and goes_on else header
        self._dtype = _record(header)
        with writing(place):
            place.mkdir(exist_ok=True)
            if not goes_on:
                self._file.unlink(missing_ok=True)
                with atomic_file(place / _HEADER) as temporary:
                    temporary.write_text(json.dumps(seal(header)), encoding="utf-8")
            self._open = self._file.open("ab", buffering=0)

    def append(
        self,
        step: int,
        figures: npt.NDArray[Any],
        ranges: npt.NDArray[Any],
        counts: npt.NDArray[Any],
    ) -> None:
        """One sampled step: `figures` (5, L) in the order of LayerHistory, `ranges` (2, L) lowest
        and highest value, `counts` (L, B)."""
        record = np.zeros((), dtype=self._dtype)
        record["step"] = step
        record["figures"] = figures
        record["range"] = ranges
        record["counts"] = counts
        if "checksum" in (self._dtype.names or ()):
            record["checksum"] = _checksum(record.tobytes())
        with writing(self._file):
            self._open.write(record.tobytes())

    def close(self) -> None:
        self._open.close()


def cut_back(folder: Path, step: int) -> None:
    """Take back what was sampled after `step`: the run goes on, or begins anew, from there."""
    place = folder / FOLDER
    if not place.exists():
        return
    header = _read_header(folder)
    if header is None or step <= 0:
        for name in (_SAMPLES, _HEADER):
            with writing(place):
                (place / name).unlink(missing_ok=True)
        return
    dtype = _record(header)
    try:
        content = (place / _SAMPLES).read_bytes()
    except FileNotFoundError:
        return
    whole = len(content) // dtype.itemsize
    steps = np.frombuffer(content, dtype=dtype, count=whole)["step"]
    kept = int(np.searchsorted(steps, step, side="right")) * dtype.itemsize
    if kept < len(content):
        with atomic_file(place / _SAMPLES) as temporary:
            temporary.write_bytes(content[:kept])


# --- reading, in any thread or process ------------------------------------------------------------


def newest_sample(folder: Path) -> tuple[int, int] | None:
    """(how many steps were sampled, the last of them); None when none was. A few kilobytes are
    read, however long the run is."""
    header = _read_header(folder)
    if header is None:
        return None
    size = _record(header).itemsize
    try:
        with (folder / FOLDER / _SAMPLES).open("rb") as file:
            count = os.fstat(file.fileno()).st_size // size
            if not count:
                return None
            file.seek((count - 1) * size)
            return count, int.from_bytes(file.read(8), "little", signed=True)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            logger.warning("%s cannot be read: %s", folder / FOLDER / _SAMPLES, error)
        return None


def layer_history(
    folder: Path, *, points: int = 400, last: int | None = None
) -> LayerHistory | None:
    """At most `points` sampled steps of the run in `folder`, evenly spread over all samples or
    over the `last` so many, the newest among them; None when there is none.

    Reads only what it returns. The result is shared between callers: do not write into it.
    """
    newest = newest_sample(folder)
    if newest is None:
        return None
    try:
        changed = (folder / FOLDER / _SAMPLES).stat()
    except OSError:  # replaced at this moment
        return None
    stamp = (*newest, changed.st_mtime_ns, changed.st_ino)
    return _history(folder, stamp, max(1, points), last)


@functools.lru_cache(maxsize=8)
def _history(
    folder: Path, stamp: tuple[int, ...], points: int, last: int | None
) -> LayerHistory | None:
    header = _read_header(folder)
    count = stamp[0]
    if header is None:
        return None
    dtype = _record(header)
    first = 0 if last is None else max(0, count - max(1, last))
    places = np.unique(np.linspace(count - 1, first, min(points, count - first)).round())
    try:
        with (folder / FOLDER / _SAMPLES).open("rb") as file:
            parts = []
            for place in places.astype(int).tolist():
                file.seek(place * dtype.itemsize)
                parts.append(file.read(dtype.itemsize))
        if header["version"] > 1:
            whole = [p for p in parts if int.from_bytes(p[-4:], "little") == _checksum(p)]
            if len(whole) < len(parts):
                logger.warning("%s: %s damaged steps are left out", folder, len(parts) - len(whole))
            parts = whole
        rows = np.frombuffer(b"".join(parts), dtype=dtype)
    except (OSError, ValueError) as error:  # cut back while it was read, or gone
        logger.warning("%s cannot be read: %s", folder / FOLDER / _SAMPLES, error)
        return None
    low, high = rows["range"][:, 0, :, None], rows["range"][:, 1, :, None]
    share = np.linspace(0, 1, BINS + 1, dtype=np.float32)
    figures = {name: rows["figures"][:, number] for number, name in enumerate(_FIGURES)}
    return LayerHistory(
        layers=tuple(header["layers"]),
        steps=rows["step"].astype(np.int64),
        histograms=rows["counts"].astype(np.int32),
        edges=(low * (1 - share) + high * share).astype(np.float32),
        activations=tuple(header["activations"]),
        samples=count,
        **figures,
    )


def _read_header(folder: Path) -> dict[str, Any] | None:
    """None when there is none of this version; a damaged one is logged."""
    file = folder / FOLDER / _HEADER
    try:
        found = read_sealed(file)
        if found["version"] in (1, _VERSION) and found["bins"] == BINS and found["layers"]:
            return {name: found[name] for name in ("version", "bins", "layers", "activations")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is left out: %s", file, error)
    return None
