"""In which number format training steps compute: found out by trying, once a machine and shape.

    fp32    everywhere, and the format of every figure: validation and test always run in fp32
    bf16    autocast for the forward pass; several times as fast where there are units for it
    fp16    the same on cards without bf16, with the loss scaled against underflow

A processor without such units is slower in bf16, so "auto" tries a few steps of the real network on
made-up images of the real size. What was found is kept in LAB_HOME/measurements.json, so the same
machine decides alike the next time. Runs in the thread that makes the plan.
"""

from __future__ import annotations

import copy
import json
import logging
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import RunConfig
from lab.home import atomic_file, lab_home
from lab.models.staged import StagedNet
from lab.training.allocator import hand_back, keep_freed_memory

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]

WORTH_IT = 1.15
"""A shorter format is taken when it makes a step at least so many times as fast: less is within the
noise of a short measurement, and fp32 is exact."""

TRIAL = 2
"""The number of this way of measuring; what an earlier one found is not used. (The first one let
the system take freed memory back between steps, as no training does here. That costs fp32, which
needs twice as much, the more: a step of the sign CNN seemed 1.3 times as fast in bf16 on a
processor where it is 1.3 times as slow.)"""

ROUNDS = 4
SHORT_STEP, LONG_STEP = 0.01, 1.0
"""Seconds. Below the first the conversions cost more than they can save; of steps above the second
one of each format must do."""

FEWEST_STEPS = 100
"""Of a run; in fewer, the ten steps of a trial do not come back."""

MOST_PIXELS = 8 * 224 * 224
"""A trial step takes at most about so many, so that it stays short; the ratio is the same."""


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which the forward pass of a training step runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, _DTYPES[precision])


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def candidate(device: torch.device) -> Precision:
    """The shorter format that is worth a trial on this device; "fp32" when none is."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and bf16_units():
        return "bf16"
    return "fp32"


def measured_gain(
    config: RunConfig,
    network: StagedNet,
    precision: Precision,
    *,
    device: torch.device,
    memory_format: torch.memory_format,
    channels: int,
    image_size: int,
    steps: int,
) -> float | None:
    """How many times as fast a training step of `network` is in `precision` as in fp32 here; None
    when nothing can be gained: steps are too short, or with `steps` in all too few for a trial.

    `network` is frozen as it will be trained; a copy of it is tried. Takes up to ten steps the
    first time; what was found is kept for this machine, release of torch, network and shape.
    """
    batch = min(config.batch_size, max(1, MOST_PIXELS // image_size**2))
    network_knobs = (config.activation, config.head, config.head_units, *config.hidden_sizes)
    what = [TRIAL, config.reuse_memory, precision, *machine(device)]
    what += [config.architecture, *network_knobs, config.depth]
    shape = [sorted(network.frozen), batch, channels, image_size]
    key = json.dumps([*what, *shape])
    file = lab_home() / "measurements.json"
    known = _read(file)
    if key in known:
        return known[key]
    if steps < FEWEST_STEPS:
        return None
    keep_freed_memory(config.reuse_memory)
    try:
        gain = _measured(network, precision, device, memory_format, (batch, channels, image_size))
    finally:
        hand_back()
    try:
        with atomic_file(file) as temporary:
            text = json.dumps({**_read(file), key: gain}, indent=1)
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:  # it is measured again next time
        logger.warning("a measurement could not be kept: %s", error)
    return gain


def _measured(
    network: StagedNet,
    precision: Precision,
    device: torch.device,
    memory_format: torch.memory_format,
    shape: tuple[int, int, int],
) -> float | None:
    twin = copy.deepcopy(network).train()
    twin.use_generator(torch.Generator(device).manual_seed(0))
    batch, channels, side = shape
    noise = torch.Generator().manual_seed(0)
    images = torch.rand((batch, channels, side, side), generator=noise).to(device)
    images = images.contiguous(memory_format=memory_format)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    formats: tuple[Precision, ...] = ("fp32", precision)
    seconds: dict[Precision, list[float]] = {name: [] for name in formats}
    for name in formats:  # the first step of each also prepares kernels
        timed_step(twin, images, labels, device, name)
    for _ in range(ROUNDS):  # in turn, so that a busy moment meets both
        for name in formats:
            seconds[name].append(timed_step(twin, images, labels, device, name))
        if min(seconds["fp32"]) < SHORT_STEP:
            return None
        if seconds["fp32"][-1] > LONG_STEP:
            break
    # The quickest of each: what makes a step longer is another program, or memory's first use.
    return round(min(seconds["fp32"]) / min(seconds[precision]), 3)


def timed_step(
    network: nn.Module, images: Tensor, labels: Tensor, device: torch.device, precision: Precision
) -> float:
    """Seconds of one forward and backward pass."""
    _wait_for(device)
    began = time.perf_counter()
    with autocast(device, precision):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), labels)
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    _wait_for(device)
    return time.perf_counter() - began


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> list[str]:
    """What a measurement depends on besides the network."""
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), torch.__version__]
    name = _cpu_facts().get("model name", platform.processor() or platform.machine())
    units = ",".join(sorted(bf16_units()))
    return [name, units, f"{torch.get_num_threads()} threads", torch.__version__]


def bf16_units() -> set[str]:
    """The processor's instructions for bf16 as Linux names them: avx512_bf16, amx_bf16, on Arm
    bf16. Empty where there are none or nobody says."""
    facts = _cpu_facts()
    flags = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()
    return {flag for flag in flags if flag in ("avx512_bf16", "amx_bf16", "bf16")}


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the last processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read(file: Path) -> dict[str, float | None]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
