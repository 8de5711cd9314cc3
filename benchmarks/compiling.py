"""What `torch.compile` gains: training steps of the lab's networks, compiled and not.

    python -m benchmarks compiling [--quick]     five minutes; two

Compiled as runs are (`lab.training.speed.compiling`). Why the plan tries it for long runs only.
Needs a C++ compiler, as torch.compile does, and says so where there is none.
"""

from __future__ import annotations

import os
import tempfile

import torch

from benchmarks.results import write
from lab.config import RunConfig
from lab.models.catalog import build_network
from lab.process import keep_freed_memory
from lab.training.speed.compiling import (
    Compiled,
    Forward,
    begin_afresh,
    compiler_errors,
    what_is_missing,
)
from lab.training.speed.trials import timed_step

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
        f"A training step (forward, backward, no update) on {device.type}, channels last, fp32.",
        "",
        "| network | eager, ms | compiled, ms | ratio | first compiled step, s |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = folder
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        keep_freed_memory(True)
        with compiler_errors():
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
    network.use_generator(torch.Generator(device).manual_seed(0))
    begin_afresh()
    compiled = Compiled(network, network)
    shape = (config.batch_size, channels, side, side)
    images = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(config.batch_size, dtype=torch.int64, device=device)

    def step(forward: Forward) -> float:
        return timed_step(network, images, labels, device, "fp32", forward=forward)

    step(network)
    first = step(compiled)
    sides: tuple[list[float], list[float]] = ([], [])
    for _ in range(STEPS):
        for seconds, forward in zip(sides, (network, compiled), strict=True):
            step(forward)  # the other side's caches
            seconds.append(step(forward))
    eager, fast = (min(each) for each in sides)
    print(f"{name}: {1e3 * eager:.1f} ms, compiled {1e3 * fast:.1f} ms, {first:.0f} s at first")
    return f"| {name} | {1e3 * eager:.1f} | {1e3 * fast:.1f} | {fast / eager:.2f} | {first:.0f} |"
