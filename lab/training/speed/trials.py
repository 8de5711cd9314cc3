"""A trial: a few training steps of the real network on made-up images, in fp32 and in a shorter
number format.

What was found is kept in LAB_HOME/measurements.json by machine, release of torch, network and
shape, so that the same machine decides alike the next time. Runs in the thread that makes the plan.
"""

from __future__ import annotations

import copy
import json
import logging
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import KNOBS, Precision, RunConfig
from lab.home import atomic_file, lab_home
from lab.models.staged import StagedNet
from lab.process import keep_freed_memory, trim_memory
from lab.progress import Cancel, check_cancel, never
from lab.training.speed.precision import autocast, bf16_units, cpu_facts

logger = logging.getLogger(__name__)

TRIAL = 4
"""The number of this way of measuring; what an earlier one found is not used. (The first one let
the system take freed memory back between steps, as no training does here. That costs fp32, which
needs twice as much, the more: a step of the sign CNN seemed 1.3 times as fast in bf16 on a
processor where it is 1.3 times as slow. Since the fourth one a trial takes at most about two
seconds.)"""

ROUNDS = 4
"""Steps of either format, in turn."""

SHORT_STEP = 0.01
"""Seconds. Below it the conversions of a number format cost more than they can save."""

LONGEST = 2.0
"""Seconds that a trial takes at most, as nobody waits longer for the first step: so few images are
in its steps, and so few rounds are made."""

FEWEST_STEPS = 100
"""Of a run; in fewer, the ten steps of a trial do not come back."""

FEWEST_IMAGES = 2
"""In a step: BatchNorm cannot train on a single value a channel, which a small image may become."""

MOST_PIXELS = 8 * 224 * 224
"""That a step of a trial takes at most: the ratio is about the same."""


@dataclass(frozen=True, eq=False)
class Workload:
    """A network, frozen as it will be trained, and the shape of what its steps are given."""

    config: RunConfig
    network: StagedNet
    device: torch.device
    memory_format: torch.memory_format
    channels: int
    image_size: int
    steps: int
    """Of the run in all."""
    cancel: Cancel = never


def gain_of_format(work: Workload, precision: Precision) -> float | None:
    """How many times as fast a training step is in `precision` as in fp32 here; None when nothing
    can be gained: steps are too short, or too few for a trial, or so slow that a trial would take
    longer than LONGEST.

    A copy of the network is tried. Takes up to LONGEST seconds the first time. Raises Cancelled.
    """
    batch = min(work.config.batch_size, max(1, MOST_PIXELS // work.image_size**2))
    key = _key(work, precision, batch)
    known = _read()
    if key in known or work.steps < FEWEST_STEPS:
        return known.get(key)
    seconds = _seconds(work, ("fp32", precision), batch)
    if seconds is None:
        return None  # and tried again by the next run: the machine may only be busy
    exact, shorter = seconds
    gain = None if min(exact) < SHORT_STEP else _gain(exact, shorter)
    _keep({key: gain})
    return gain


def _key(work: Workload, precision: Precision, batch: int) -> str:
    """All that a measurement of steps of `batch` images depends on, as one line."""
    config = work.config
    facts = [TRIAL, precision, config.reuse_memory, str(work.memory_format), *machine(work.device)]
    facts += [getattr(config, knob.name) for knob in KNOBS.values() if knob.group == "network"]
    shape = [sorted(work.network.frozen), batch, work.channels, work.image_size]
    return json.dumps([*facts, *shape])


def _seconds(
    work: Workload, formats: tuple[Precision, ...], batch: int
) -> list[list[float]] | None:
    """Seconds of some steps of at most `batch` images in each format, freed memory kept as the run
    would keep it; None where there is no time for one in each."""
    network = copy.deepcopy(work.network).train()
    network.use_generator(torch.Generator(work.device).manual_seed(0))
    noise = torch.Generator().manual_seed(0)
    side = work.image_size
    images = torch.rand((batch, work.channels, side, side), generator=noise).to(work.device)
    labels = torch.zeros(batch, dtype=torch.int64, device=work.device)
    keep_freed_memory(work.config.reuse_memory)
    left = LONGEST

    def step(count: int, precision: Precision) -> float:
        nonlocal left
        check_cancel(work.cancel, "The run")
        some = images[:count].contiguous(memory_format=work.memory_format)
        seconds = timed_step(network, some, labels[:count], precision)
        left -= seconds
        return seconds

    try:
        few = min(batch, FEWEST_IMAGES if side < 64 else 1)
        for precision in formats:  # these steps also prepare kernels
            if step(few, precision) > left / len(formats):
                return None  # there is no time for a second one in each
        pair = [step(few, precision) for precision in formats]
        count = max(few, min(batch, int(few * left / (ROUNDS * sum(pair)))))
        rounds = [pair] if count == few else []
        expected = sum(pair) * count / few
        while len(rounds) < ROUNDS and expected < left:  # in turn: a busy moment meets both
            rounds.append([step(count, precision) for precision in formats])
            expected = sum(rounds[-1])
        return [list(taken) for taken in zip(*rounds, strict=True)] if rounds else None
    finally:
        trim_memory()


def _gain(plain: list[float], other: list[float]) -> float:
    """How many times as fast the other way surely is: the smaller of two readings, the quickest
    steps of each and the median of the pairs.

    A trial may run beside a browser that draws. With two other programs at work on two cores, a
    format that takes 1.37 times as long looked 1.15 times as fast by the quickest steps in 17 of 90
    trials, by the median in 6, by both in 2.
    """
    pairs = [one / two for one, two in zip(plain, other, strict=True)]
    return round(min(min(plain) / min(other), statistics.median(pairs)), 3)


def timed_step(network: nn.Module, images: Tensor, labels: Tensor, precision: Precision) -> float:
    """Seconds of one pass forward and backward."""
    wait_for(images.device)
    began = time.perf_counter()
    with autocast(images.device, precision):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), labels)
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    wait_for(images.device)
    return time.perf_counter() - began


def wait_for(device: torch.device) -> None:
    """Until `device` has done all that it was given, as who measures time must wait for an
    accelerator; at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def machine(device: torch.device) -> list[str]:
    """What a measurement depends on besides the network."""
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), torch.__version__]
    name = cpu_facts().get("model name", platform.processor() or platform.machine())
    units = ",".join(sorted(bf16_units()))
    return [name, units, f"{torch.get_num_threads()} threads", torch.__version__]


def _read() -> dict[str, float | None]:
    """All that was found on this machine."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(found: dict[str, float | None]) -> None:
    """Where that fails, it is measured again next time."""
    try:
        with atomic_file(_file()) as temporary:
            text = json.dumps({**_read(), **found}, indent=1)
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        logger.warning("a measurement could not be kept: %s", error)


def _file() -> Path:
    return lab_home() / "measurements.json"
