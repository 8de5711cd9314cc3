"""Bringing data in: the archive of photographs and the sign CSVs, against plain scripts; growth.

    python -m benchmarks imports            about nine minutes
    python -m benchmarks imports --quick    the 1,000-photograph part

Needs LAB_REAL_DATA. The plain side does what a notebook does once per session: it opens each file
in turn, resizes it and stacks everything in memory; the lab's side also hashes, checks and writes.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_memory
from benchmarks.results import IN_TURN, Row, write

SIZE = 224


def main(*, quick: bool = False) -> None:
    data = Path(os.environ["LAB_REAL_DATA"])
    photographs, signs = data / "cats_and_dogs.zip", data / "sign-language-mnist.zip"
    rows, lines = [], ["How an import grows (seconds, peak memory of the process):", ""]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = str(Path(folder) / "lab")
        rounds = 1 if quick else 3
        whole = photographs
        if quick:
            whole = _part(photographs, Path(folder) / "part-1000.zip", 1000)
        name = f"import of {1000 if quick else 10_000:,} photographs, 224 pixels"
        rows.append(_row(name, "cats-dogs", whole, _plain_photographs, rounds))
        name = "import of the sign CSVs, 34,627 rows"
        rows.append(_row(name, "sign-mnist", signs, _plain_signs, rounds))
        lines += ["| images | at 224 pixels | peak |", "|---|---|---|"]
        for count in (1000,) if quick else (1000, 4000):
            part = _part(photographs, Path(folder) / f"part-{count}.zip", count)
            seconds, peak = _add("cats-dogs", part)
            lines.append(f"| {count:,} | {seconds:.1f} s | {peak:,.0f} MB |")
        if not quick:
            lines.append(f"| 10,000 | {statistics.median(rows[0].lab):.1f} s | see below |")
        lines += ["", "| image size | 1,000 photographs |", "|---|---|"]
        for size in (64, 128, 224):
            seconds, _ = _add("mine", Path(folder) / "part-1000.zip", image_size=size)
            lines.append(f"| {size} | {seconds:.1f} s |")
    section = "Bringing data in" + (", quick" if quick else "")
    write(section, rows, text="\n".join(lines), how=f"{IN_TURN}, in one process")


def _row(
    name: str, dataset: str, archive: Path, plainly: Callable[[Path], float], rounds: int
) -> Row:
    """The lab's import and the plain script's, in turn."""
    own, theirs = [], []
    for _ in range(rounds):
        seconds, peak = _add(dataset, archive)
        own.append(seconds)
        theirs.append(plainly(archive))
    return Row(name, tuple(theirs), tuple(own), "", f"peak {peak:,.0f} MB")


def _add(name: str, archive: Path, **options: object) -> tuple[float, float]:
    """Seconds and peak MB of adding `archive` anew."""
    from lab.data import catalog
    from lab.errors import LabError

    with contextlib.suppress(LabError):  # it was not there
        catalog.remove_dataset(name)
    with peak_memory() as peak:
        began = time.perf_counter()
        catalog.add_dataset(name, archive, **options)  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
    print(f"{name} from {archive.name} {options or ''}: {seconds:.1f} s, {peak.mb:,.0f} MB")
    return seconds, peak.mb


def _part(archive: Path, target: Path, count: int) -> Path:
    """Write to `target` the first photographs of each class and split, in the whole's
    proportions."""
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(target, "w") as part:
        folders: dict[str, list[str]] = {}
        for name in sorted(whole.namelist()):
            if name.lower().endswith(".jpg"):
                folders.setdefault(name.rsplit("/", 1)[0], []).append(name)
        total = sum(map(len, folders.values()))
        for names in folders.values():
            for name in names[: round(count * len(names) / total)]:
                part.writestr(name, whole.read(name))
    return target


def _plain_photographs(archive: Path) -> float:
    from PIL import Image

    began = time.perf_counter()
    images = []
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if name.lower().endswith(".jpg"):
                with Image.open(io.BytesIO(whole.read(name))) as image:
                    images.append(np.asarray(image.convert("RGB").resize((SIZE, SIZE))))
    np.stack(images)
    return time.perf_counter() - began


def _plain_signs(archive: Path) -> float:
    import pandas as pd

    began = time.perf_counter()
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if name.lower().endswith((".csv", ".csv.gz")) and "__MACOSX" not in name:
                with whole.open(name) as file:
                    table = pd.read_csv(file)
                    table.drop(columns="label").to_numpy(np.uint8).reshape(-1, 28, 28)
    return time.perf_counter() - began
