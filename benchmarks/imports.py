"""Bringing data in: the archive of photographs and the sign CSVs, against plain scripts; growth.

    python -m benchmarks imports            about three minutes
    python -m benchmarks imports --quick    the 1,000-photograph part

Needs LAB_REAL_DATA. The plain side does what a notebook does once per session: it opens each file
in turn, resizes it and stacks everything in memory; the lab's side also hashes, checks and writes.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

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
        parts = {
            count: _part(photographs, Path(folder) / f"part-{count}.zip", count)
            for count in ((1000,) if quick else (1000, 4000))
        }
        whole = parts[1000] if quick else photographs
        name = f"import of {1000 if quick else 10_000:,} photographs, 224 pixels"
        rows.append(_row(name, "cats-dogs", whole, _plain_photographs, rounds))
        name = "import of the sign CSVs, 34,627 rows"
        rows.append(_row(name, "sign-mnist", signs, _plain_signs, rounds))
        lines += ["| images | at 224 pixels | peak |", "|---|---|---|"]
        for count, part in parts.items():
            seconds, peak = _add("cats-dogs", part)
            lines.append(f"| {count:,} | {seconds:.1f} s | {peak:,.0f} MB |")
        if not quick:
            lines.append(f"| 10,000 | {statistics.median(rows[0].lab):.1f} s | the row below |")
        lines += ["", "| image size | 1,000 photographs |", "|---|---|"]
        for size in (64, 128, 224):
            seconds, _ = _add("mine", parts[1000], image_size=size)
            lines.append(f"| {size} | {seconds:.1f} s |")
    section = "Bringing data in" + (", quick" if quick else "")
    write(section, rows, text="\n".join(lines), how=f"{IN_TURN}, each time in a process of its own")


def _row(
    name: str, dataset: str, archive: Path, plainly: Callable[[Path], object], rounds: int
) -> Row:
    """The lab's import and the plain script's, in turn."""
    pairs = [(_add(dataset, archive), _aside(plainly, archive)) for _ in range(rounds)]
    own, theirs = ([side[0] for side in sides] for sides in zip(*pairs, strict=True))
    peaks = [max(side[1] for side in sides) for sides in zip(*pairs, strict=True)]
    note = f"peak {peaks[0]:,.0f} MB, plain {peaks[1]:,.0f} MB"
    return Row(name, tuple(theirs), tuple(own), "", note)


def _add(name: str, archive: Path, **options: object) -> tuple[float, float]:
    """Seconds and peak MB of adding `archive` anew."""
    from lab.data import catalog
    from lab.errors import LabError

    with contextlib.suppress(LabError):  # it was not there
        catalog.remove_dataset(name)
    seconds, mb = _aside(_added, name, archive, options)
    print(f"{name} from {archive.name} {options or ''}: {seconds:.1f} s, {mb:,.0f} MB")
    return seconds, mb


def _aside(work: Callable[..., object], *given: object) -> tuple[float, float]:
    """Seconds and peak MB of `work` in a new process: nothing that came before counts."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, work, given).result()


def _measured(work: Callable[..., object], given: tuple[object, ...]) -> tuple[float, float]:
    import lab.data.catalog  # noqa: F401  (not part of what is measured)

    with peak_memory() as peak:
        began = time.perf_counter()
        work(*given)
        seconds = time.perf_counter() - began
    return seconds, peak.mb


def _added(name: str, archive: Path, options: dict[str, Any]) -> None:
    from lab.data import catalog

    catalog.add_dataset(name, archive, **options)


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


def _plain_photographs(archive: Path) -> None:
    from PIL import Image

    images = []
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if name.lower().endswith(".jpg"):
                with Image.open(io.BytesIO(whole.read(name))) as image:
                    images.append(np.asarray(image.convert("RGB").resize((SIZE, SIZE))))
    np.stack(images)


def _plain_signs(archive: Path) -> None:
    import pandas as pd

    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if name.lower().endswith((".csv", ".csv.gz")) and "__MACOSX" not in name:
                with whole.open(name) as file:
                    table = pd.read_csv(file)
                    table.drop(columns="label").to_numpy(np.uint8).reshape(-1, 28, 28)
