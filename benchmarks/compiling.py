"""What the knob `compile_steps` gains: training steps of the lab's networks, compiled and not.

    python -m benchmarks compiling [--quick]     five minutes; two

Needs a C++ compiler, as torch.compile does, and says so where there is none.
"""

from __future__ import annotations

import os
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.results import write
from lab.config import RunConfig
from lab.data.batches import Batch
from lab.models.catalog import build_network
from lab.process import keep_freed_memory
from lab.training.speed.compiling import what_is_missing
from lab.training.speed.trials import wait_for
from lab.training.stepper import Stepper

WORKS = {
    "sign CNN, 28, batch 256": (RunConfig(architecture="sign-cnn", batch_size=256), 1, 28),
    "deep MLP, 28, batch 256": (RunConfig(architecture="deep-mlp", batch_size=256), 1, 28),
    "simple CNN, 64, batch 32": (RunConfig(architecture="simple-cnn", batch_size=32), 3, 64),
    "MobileNetV2, 224, batch 32": (RunConfig(architecture="mobilenet_v2", batch_size=32), 3, 224),
    "ResNet-18, 224, batch 32": (RunConfig(architecture="resnet18", batch_size=32), 3, 224),
}
QUICK = tuple(WORKS)[:3]
STEPS = 9
"""Rounds, each with one measured step of either side."""


def main(*, quick: bool = False) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if missing := what_is_missing(device.type):
        print(f"torch.compile needs {missing}, which is not here: nothing measured.")
        return
    lines = [
        f"A whole training step on {device.type}, channels last, fp32.",
        "",
        "| network | eager, ms | compiled, ms | ratio | first compiled step, s |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = folder
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        keep_freed_memory(True)
        lines += [_row(name, device) for name in (QUICK if quick else WORKS)]
    text = "\n".join(lines)
    write(
        "Compiling" + (", quick" if quick else ""),
        [],
        text=text,
        how="The quickest of the rounds; both sides in turn, in one process",
    )


def _row(name: str, device: torch.device) -> str:
    config, channels, side = WORKS[name]
    network = build_network(config, channels=channels, image_size=side, classes=2)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    stepper = Stepper(
        network,
        config.changed(compile_steps="on"),
        device=device,
        precision="fp32",
        class_weights=None,
    )
    stepper.begin_phase()
    source = SimpleNamespace(forward=lambda images: network(images), ready=lambda images: images)
    count = config.batch_size
    images = torch.rand(count, channels, side, side, device=device)
    batch = Batch(
        images.contiguous(memory_format=torch.channels_last),
        torch.zeros(count, dtype=torch.int64, device=device),
        np.arange(count),
    )

    def step(compiled: bool) -> float:
        wait_for(device)
        began = time.perf_counter()
        loss, _ = stepper.forward(source, batch, sampled=not compiled)
        stepper.backward(loss)
        stepper.update(1e-4)
        wait_for(device)
        return time.perf_counter() - began

    step(False)
    first = step(True)
    sides: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(STEPS):
        for compiled, seconds in sides.items():
            step(compiled)  # the other side's caches
            seconds.append(step(compiled))
    eager, fast = (min(each) for each in sides.values())
    print(f"{name}: {1e3 * eager:.1f} ms, compiled {1e3 * fast:.1f} ms, {first:.0f} s at first")
    return f"| {name} | {1e3 * eager:.1f} | {1e3 * fast:.1f} | {fast / eager:.2f} | {first:.0f} |"
