"""In which number format the training steps compute: found out by trying, once a machine and shape.

    fp32    everywhere, and the format of every figure: validation and test always run in fp32
    bf16    autocast for the forward pass; much faster where the processor has units for it
    fp16    the same on CUDA cards without bf16, with a gradient scaler against underflow

A processor without such units is slower in bf16, so "auto" tries a few steps of the real network on
made-up images of the real size and keeps what it found in LAB_HOME/measurements.json.
"""

from __future__ import annotations

import copy
import json
import logging
import platform
import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F

from lab.config import RunConfig
from lab.home import atomic_file, lab_home
from lab.models.staged import StagedNet

logger = logging.getLogger(__name__)

WORTH_IT = 1.15
"""bf16 is taken when it makes a step at least so many times as fast: less is within the noise of a
short measurement, and fp32 is exact."""

STEPS = 2
MOST_IMAGES = 8
"""A trial step takes no more images than this of large pictures; the ratio is the same."""

LARGE_PICTURE = 64
"""Pixels; below it a step is so short that it is tried at the full batch size."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which the forward pass of a training step runs."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype)


def measured_gain(
    config: RunConfig,
    network: StagedNet,
    *,
    device: torch.device,
    memory_format: torch.memory_format,
    channels: int,
    image_size: int,
) -> float:
    """How many times as fast a training step of `network` is in bf16 as in fp32 on this device.

    `network` is frozen as it will be trained; a copy of it is tried. Takes about eight steps the
    first time; what was found is kept for this machine, release of torch, network and shape.
    """
    batch = config.batch_size
    if image_size >= LARGE_PICTURE:
        batch = min(batch, MOST_IMAGES)
    key = json.dumps(
        [
            "bf16-step",
            machine(device),
            config.architecture,
            config.activation,
            config.head,
            config.depth,
            list(config.hidden_sizes),
            sorted(network.frozen),
            channels,
            image_size,
            batch,
        ]
    )
    file = lab_home() / "measurements.json"
    known = _read(file)
    if key in known:
        return known[key]
    twin = copy.deepcopy(network)
    twin.use_generator(torch.Generator(device).manual_seed(0))
    images = torch.rand(
        (batch, channels, image_size, image_size),
        generator=torch.Generator().manual_seed(0),
    ).to(device)
    images = images.contiguous(memory_format=memory_format)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for round_ in range(STEPS + 1):  # in turn, so that a busy moment meets both
        for precision, times in seconds.items():
            took = _step(twin, images, labels, device=device, precision=precision)
            if round_:  # the first of each also prepares kernels
                times.append(took)
    gain = statistics.median(seconds["fp32"]) / statistics.median(seconds["bf16"])
    known = {**_read(file), key: round(gain, 3)}
    try:
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    except OSError as error:  # it is measured again next time
        logger.warning("measurements could not be kept: %s", error)
    return gain


def machine(device: torch.device) -> list[str]:
    """What a measurement depends on besides the network."""
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), torch.__version__]
    return [_processor(), f"{torch.get_num_threads()} threads", torch.__version__]


def _step(
    network: StagedNet,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    device: torch.device,
    precision: str,
) -> float:
    """Seconds of one forward and backward pass."""
    network.train()
    started = time.perf_counter()
    with autocast(device, precision):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), labels)
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _processor() -> str:
    """The processor's name and what it can do with bf16."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    cleaned = {name.strip(): value.strip() for name, value in facts.items()}
    units = [flag for flag in cleaned.get("flags", "").split() if "bf16" in flag]
    return " ".join([cleaned.get("model name", platform.machine()), *units])


def _read(file: Path) -> dict[str, float]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
