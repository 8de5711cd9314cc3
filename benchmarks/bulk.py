"""Classifying picture files in bulk, beside the run's own test evaluation of the same pictures.

    python -m benchmarks bulk [--quick]

Both in one process, in turns, with the same weights: the evaluation reads the data set, which was
decoded once; in bulk, each picture is a file of the same size that is read and decoded (28 x 28:
PNG, 224 x 224: JPEG). With torch's threads as they are set (OMP_NUM_THREADS).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.results import write
from lab.words import plural

CASES = (("sign-cnn", "drawn-signs", 28), ("mobilenet_v2", "drawn-cats-dogs", 224))


def main(*, quick: bool = False) -> None:
    import torch

    lines = [
        "| network | pictures | evaluation, images/s | bulk, images/s | bulk / evaluation | of the "
        "processor's time |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        for architecture, dataset, size in CASES:
            many = size < 64
            count = (400 if many else 24) if quick else (10_000 if many else 200)
            lines.append(_measure(architecture, dataset, size, count, rounds=3 if quick else 7))
            print(lines[-1], flush=True)
    threads = f"{plural(torch.get_num_threads(), 'thread')} of torch, {os.cpu_count()} cores."
    write("Bulk" + (", quick" if quick else ""), [], text="\n".join([*lines, "", threads]))


def _measure(architecture: str, dataset: str, size: int, count: int, *, rounds: int) -> str:
    from PIL import Image

    from lab.config import RunConfig
    from lab.evaluate.bulk import classify_files
    from lab.evaluate.opened import open_data, open_own_network
    from lab.evaluate.predictions import _ask  # the evaluation itself, without what is saved
    from lab.progress import never, silent
    from lab.runs.foreground import run_in_foreground
    from lab.runs.store import store
    from lab.training.plan import resolve

    config = RunConfig(
        dataset=dataset,
        architecture=architecture,
        image_size=size,
        epochs=1,
        steps_per_epoch=2,
        batch_size=8,
        subset_per_class=20,
    )
    folder = store().folder(run_in_foreground(resolve(config)).id)
    opened = open_own_network(folder, "best")
    pack, splits = open_data(opened.card)
    asked = np.resize(splits.test, count)  # from its beginning again where there are fewer
    files = []
    pictures = Path(folder) / "pictures"
    pictures.mkdir()
    for number, index in enumerate(asked):
        pixels = pack.images[index]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        files.append(pictures / f"{number}.{'png' if size < 64 else 'jpg'}")
        image.save(files[-1], quality=92)
    ratios, shares, evaluation, bulk = [], [], [], []
    for number in range(rounds + 1):
        began, before = time.perf_counter(), time.process_time()
        _ask(opened, pack, asked, "test", False, silent, never)
        between, middle = time.perf_counter(), time.process_time()
        assert sum(not each.error for each in classify_files(opened, files)) == len(files)
        ended, after = time.perf_counter(), time.process_time()
        if number:  # the first round warms up
            evaluation.append(len(files) / (between - began))
            bulk.append(len(files) / (ended - between))
            ratios.append(bulk[-1] / evaluation[-1])
            shares.append((middle - before) / (after - middle))
    median = statistics.median
    return (
        f"| {architecture} | {len(files):,} of {size} x {size} | {median(evaluation):,.0f} "
        f"| {median(bulk):,.0f} | {median(ratios):.2f} | {median(shares):.2f} |"
    )
