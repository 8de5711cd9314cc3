"""Seconds from a stop to the recorded end of a run of a large network, beside its training steps.

    python -m benchmarks stopping [--quick]

Photographs of 224 pixels on a CPU, where one batch of such a network can take seconds. Each run is
stopped at random moments of its validation, its test and the first pass of its frozen layers, then
resumed and stopped again. Weights are random: a network takes as long with them.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.results import write

SIZE = 224
CASES = (
    ("resnet50", {"freeze": "head_only"}, ("frozen layers",)),
    ("resnet50", {}, ("validation", "test")),
    ("vit_small", {}, ("validation", "test")),
)
IMAGES = {"train": 8, "val": 200, "test": 200}
SHOWN = {"frozen layers": "Running the frozen", "validation": "Validating", "test": "Testing"}
"""How a run's activity begins while it goes on."""
LIMIT = 600.0


def main(*, quick: bool = False) -> None:
    import torch

    lines = [
        "| network | stopped during | stops | median, s | longest, s |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        os.environ["TORCH_HOME"] = str(Path(home) / "torch")
        _write_pack()
        _write_weights("resnet50")
        for architecture, knobs, kinds in CASES:
            for kind, seconds in _stops(architecture, knobs, kinds, count=3 if quick else 8):
                frozen = " (frozen)" if "freeze" in knobs else ""
                middle = f"{statistics.median(seconds):.2f} | {max(seconds):.2f}"
                lines.append(f"| {architecture}{frozen} | {kind} | {len(seconds)} | {middle} |")
                print(lines[-1], flush=True)
    threads = f"{torch.get_num_threads()} threads of torch, {os.cpu_count()} cores, shared."
    write("Stopping" + (", quick" if quick else ""), [], text="\n".join([*lines, "", threads]))


def _stops(
    architecture: str, knobs: dict[str, str], kinds: tuple[str, ...], *, count: int
) -> list[tuple[str, list[float]]]:
    from lab.config import RunConfig
    from lab.runs.queue import queue
    from lab.training.plan import resolve

    config = RunConfig(
        dataset="large",
        architecture=architecture,
        image_size=SIZE,
        batch_size=64,
        epochs=1,
        horizontal_flip=False,
        film_strip=False,
        layer_statistics="off",
        device="cpu",
        **knobs,
    )
    run_id = queue().submit(resolve(config))
    draw = random.Random(0)
    took: list[tuple[str, list[float]]] = []
    for kind in kinds:
        seconds = [_stop_and_resume(run_id, kind, wait=draw.uniform(0, 2)) for _ in range(count)]
        took.append((kind, seconds))
    queue().stop(run_id)
    queue().wait(run_id, LIMIT)
    return took


def _stop_and_resume(run_id: str, kind: str, *, wait: float) -> float:
    """Returns the seconds from the stop to the recorded end; the run then goes on."""
    from lab.runs.queue import queue
    from lab.runs.status import ENDED
    from lab.runs.store import store

    began = time.monotonic()
    while True:
        row = store().run(run_id)
        if row.activity.startswith(SHOWN[kind]) and row.activity_done:
            break
        if row.status in ENDED or time.monotonic() - began > LIMIT:
            raise SystemExit(f"{row.status} before its {kind}: {row.message}")
        time.sleep(0.02)
    time.sleep(wait)
    asked = time.monotonic()
    queue().stop(run_id)
    while store().run(run_id).is_live:
        time.sleep(0.01)
    seconds = time.monotonic() - asked
    queue().wait(run_id, LIMIT)
    queue().resume(run_id)
    return seconds


def _write_pack() -> None:
    import numpy as np

    from lab.data.pack import PackMeta, PackWriter
    from lab.home import home_folder

    total = sum(IMAGES.values())
    meta = PackMeta(
        dataset="large", title="Noise", story="Noise.", class_names=("a", "b"), drawn=True,
        channels=3, image_size=SIZE, fit="stretch", source="a benchmark", licence="none",
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 255, (total, SIZE, SIZE, 3), dtype=np.uint8)
    split = np.repeat(np.array([0, 1, 2], dtype=np.uint8), list(IMAGES.values()))
    folder = home_folder("packs") / "large"
    with PackWriter(folder, image_size=SIZE, channels=3) as writer:
        writer.add(noise, [f"{i}.png" for i in range(total)])
        writer.finish(meta, np.arange(total, dtype=np.int64) % 2, split)


def _write_weights(architecture: str) -> None:
    import torch
    import torchvision

    from lab.models.architecture import ARCHITECTURES
    from lab.models.weights import weights_file

    file = weights_file(ARCHITECTURES.get(architecture))
    file.parent.mkdir(parents=True)
    torch.save(getattr(torchvision.models, architecture)().state_dict(), file)
