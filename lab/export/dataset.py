"""The version of the data set that a run was trained on, as a zip.

labels.csv                      file, part, class, label, picture (its name in the data set)
train/<class>/000017.png        what the run was trained on
val/..., test/...               as the run cut them
unused/...                      images that this run had no part for
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.data import catalog
from lab.data.pack import verify_images
from lab.evaluate.opened import open_data
from lab.export.formats import Written
from lab.home import require_free_space
from lab.names import csv_cell, fits_a_folder
from lab.progress import Cancel, Progress, Report, check_cancel, throttled
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata

_CHUNK = 64


def write_dataset(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    with zipfile.ZipFile(path, "w") as archive:
        return add_dataset(archive, run, "", report, cancelled)


def add_dataset(
    archive: zipfile.ZipFile, run: RunRow, place: str, report: Report, cancelled: Cancel
) -> Written:
    """Adds the pictures and their table below the folder `place` of the zip."""
    card = CheckpointMetadata.read(store().folder(run.id))
    _, splits = open_data(card, progress=report, cancel=cancelled)
    pack = catalog.open_pack(card.config.dataset, version=card.dataset_hash)
    verify_images(pack)
    part_of = np.full(len(pack), "", dtype="U6")
    for part in ("train", "val", "test"):
        part_of[pack.indices(part)] = "unused"
    for part, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        part_of[rows] = part
    rows = np.flatnonzero(part_of != "")
    require_free_space(Path(str(archive.filename)).parent, len(rows) * pack.images[0].nbytes)
    names = card.class_names
    folders = [n if fits_a_folder(n) else f"class-{k:03d}" for k, n in enumerate(names)]
    table = io.StringIO(newline="")
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(["file", "part", "class", "label", "picture"])
    report, text = throttled(report), "Packing the pictures"
    for first in range(0, len(rows), _CHUNK):
        check_cancel(cancelled, "The export")
        chunk = rows[first : first + _CHUNK]
        for row, pixels in zip(chunk.tolist(), pack.take(chunk), strict=True):
            label = int(pack.labels[row])
            file = f"{part_of[row]}/{folders[label]}/{row:06d}.png"
            archive.writestr(place + file, _png(pixels))
            picture = csv_cell(pack.names[row])
            lines.writerow([csv_cell(file), part_of[row], csv_cell(names[label]), label, picture])
        report(Progress(first + len(chunk), len(rows), text, "images"))
    archive.writestr(f"{place}labels.csv", table.getvalue())
    counts = {part: int((part_of == part).sum()) for part in ("train", "val", "test", "unused")}
    told = ", ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    return Written(
        (
            f"{len(rows):,} pictures of {pack.meta.image_size} pixels as PNG in a folder a class: "
            f"{told}. labels.csv has a line for each.",
        ),
        {"images": counts, "dataset": card.config.dataset, "dataset_hash": card.dataset_hash},
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
