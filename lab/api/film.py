"""A run's film strip as plain JSON values: columns of answers; maps and pictures by address.

The browser lays the maps over the pictures itself: all cells of a picture share one colour scale,
which grows with the run, so a finished image could not be kept.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.api.run_values import number, numbers
from lab.errors import NotFoundError
from lab.training.watch import film_files
from lab.training.watch.film_files import ProbeSnapshot
from lab.words import stage_title


def film_values(snapshots: Sequence[ProbeSnapshot]) -> dict[str, Any]:
    """Returns the columns of `snapshots` and the pictures of the newest one, its rows in order."""
    newest = snapshots[-1]
    return {
        "stages": list(newest.stages),
        "stage_titles": [stage_title(stage) for stage in newest.stages],
        "default_stage": newest.default_stage,
        "every": newest.every,
        "pictures": [
            {
                "index": index,
                "name": newest.names[row],
                "label": int(newest.labels[row]),
                "part": newest.parts[row],
            }
            for row, index in enumerate(newest.indices.tolist())
        ],
        "columns": [_column(snapshot) for snapshot in snapshots],
    }


def _column(snapshot: ProbeSnapshot) -> dict[str, Any]:
    predicted = snapshot.predicted.tolist()
    return {
        "epoch": snapshot.epoch,
        "indices": snapshot.indices.tolist(),
        "predicted": predicted,
        "probability": _shares(snapshot.probabilities[np.arange(len(predicted)), predicted]),
        "true_probability": _shares(
            snapshot.probabilities[np.arange(len(predicted)), snapshot.labels]
        ),
        "peaks": [numbers(row) for row in snapshot.peaks.tolist()],
        "meaningful": snapshot.meaningful.tolist(),
    }


def maps_values(folder: Path, epoch: int, stage: str) -> dict[str, Any]:
    """Returns the maps of one column: shape (P, h, w), base64 of bytes, each map as shares of its
    peak (255 is the peak, whose value stands in the column). Raises NotFoundError."""
    maps = film_files.read_maps(folder, epoch, stage)
    if maps is None:
        raise NotFoundError(f"There are no maps of {stage!r} after epoch {epoch}.")
    maps = np.where(np.isfinite(maps), maps, 0)  # a run that diverged has other numbers, too
    peaks = maps.max(axis=(1, 2), keepdims=True)
    shares = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0).clip(0, 1)
    data = (shares * 255).round().astype(np.uint8)
    return {"shape": list(maps.shape), "data": base64.b64encode(data.tobytes()).decode("ascii")}


def _shares(values: Any) -> list[float | None]:
    return [number(round(float(value), 5)) for value in values]
