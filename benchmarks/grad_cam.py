"""Grad-CAM over all stages of ResNet-18: how long one image takes, and whether memory stays flat.

    python -m benchmarks grad-cam            500 calls, about three minutes on two cores
    python -m benchmarks grad-cam --quick    50 calls

As the Inspect page asks for it: a published checkpoint, opened once and kept, random weights (they
cost the same as learned ones), images of 224 pixels.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.results import write

SIZE = 224
CALLS, QUICK_CALLS = 500, 50
WARM_UP = 5
TARGET_SECONDS = 1.0


def main(*, quick: bool = False) -> None:
    calls = QUICK_CALLS if quick else CALLS
    with tempfile.TemporaryDirectory() as folder:
        stages, seconds, resident = _measure(Path(folder), calls)
    middle, slowest = statistics.median(seconds), max(seconds)
    lines = [
        f"ResNet-18 at {SIZE}×{SIZE}, one image, {len(seconds)} calls, each a forward and a "
        f"backward pass with Grad-CAM on all {stages} stages with places:",
        "",
        f"- seconds a call: median {middle:.3f}, lowest {min(seconds):.3f}, highest {slowest:.3f} "
        f"(target at most {TARGET_SECONDS:g})",
        "- resident memory in MB after "
        + ", ".join(f"{done} calls {mb:,.1f}" for done, mb in resident)
        + f": {resident[-1][1] - resident[0][1]:+.1f} in all",
    ]
    write("Explanations" + (", quick" if quick else ""), [], text="\n".join(lines))


def _measure(folder: Path, calls: int) -> tuple[int, list[float], list[tuple[int, float]]]:
    """How many stages, seconds of each call, and (calls done, resident MB) before, in between and
    after."""
    from lab.evaluate.maps import draw_maps
    from lab.evaluate.opened import PublishedNetwork
    from lab.evaluate.pictures import Picture

    _publish(folder)
    network = PublishedNetwork.newest(folder, "last")
    stages = network.ask(lambda opened: opened.layers).stages
    pixels = np.random.Generator(np.random.Philox(0)).integers(
        0, 256, (WARM_UP + calls, 64, 64, 3), dtype=np.uint8
    )

    def once(number: int) -> float:
        # Another picture each time, as a person who walks through them.
        picture = Picture(np.repeat(np.repeat(pixels[number], 4, 0), 4, 1)[:SIZE, :SIZE], "noise")
        started = time.perf_counter()
        found = draw_maps(network, picture, target=1, layers=stages, method="grad-cam")
        taken = time.perf_counter() - started
        assert set(found) == set(stages)
        return taken

    for number in range(WARM_UP):
        once(number)
    seconds: list[float] = []
    resident = [(0, _resident_mb())]
    for done in range(1, calls + 1):
        seconds.append(once(WARM_UP + done - 1))
        if done % max(1, calls // 5) == 0:
            resident.append((done, _resident_mb()))
    return len(stages), seconds, resident


def _publish(folder: Path) -> None:
    """A run's folder with one checkpoint."""
    from lab.config import RunConfig
    from lab.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
    from lab.models.catalog import build_network
    from lab.training.checkpoint import CheckpointMetadata, publish

    config = RunConfig(architecture="resnet18", image_size=SIZE)
    CheckpointMetadata(
        config=config,
        class_names=("cat", "dog"),
        preprocess=Preprocess(3, SIZE, IMAGENET_MEAN, IMAGENET_STD),
        dataset_hash="",
        data_channels=3,
        fit="stretch",
    ).write(folder)
    network = build_network(config, channels=3, image_size=SIZE, classes=2)
    publish(network, folder, epoch=1, best=False, kept=False)


def _resident_mb() -> float:
    """Of this process, after Python let go of what it can."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
