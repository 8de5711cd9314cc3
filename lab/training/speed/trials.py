"""Trials: a few training steps of the real network on made-up images, one way and another.

    gain_of_format      fp32 against a shorter number format
    gain_of_compiling   steps as they are against compiled ones; for long runs

What was found is kept in LAB_HOME/measurements.json by machine, release of torch, network and
shape, so that the same machine decides alike the next time. Runs in the thread that makes the plan.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.config import KNOBS, RunConfig
from lab.errors import ConfigError
from lab.home import atomic_file, lab_home
from lab.models.staged import StagedNet
from lab.process import hand_back, keep_freed_memory
from lab.progress import Cancel, check_cancel, never
from lab.training.speed import compiling
from lab.training.speed.device import wait_for
from lab.training.speed.precision import Precision, autocast, bf16_units, cpu_facts

logger = logging.getLogger(__name__)

TRIAL = 3
"""The number of this way of measuring; what an earlier one found is not used. (The first one let
the system take freed memory back between steps, as no training does here. That costs fp32, which
needs twice as much, the more: a step of the sign CNN seemed 1.3 times as fast in bf16 on a
processor where it is 1.3 times as slow.)"""

ROUNDS = 4
SHORT_STEP, LONG_STEP = 0.01, 1.0
"""Seconds. Below the first the conversions of a number format cost more than they can save; of
steps above the second one each way must do for it."""

FEWEST_STEPS = 100
"""Of a run; in fewer, the ten steps of a trial do not come back."""

MOST_PIXELS = 8 * 224 * 224
"""A step of a number format's trial takes at most about so many, so that it stays short; the ratio
is the same. (A compiled step is compiled for its very batch.)"""


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

    def twin(self) -> StagedNet:
        """A copy to try, in train mode, with a generator of its own."""
        twin = copy.deepcopy(self.network).train()
        twin.use_generator(torch.Generator(self.device).manual_seed(0))
        return twin

    def made_up(self, batch: int) -> tuple[Tensor, Tensor]:
        """Images (batch, C, H, W) of noise and labels (batch,), on the device."""
        noise = torch.Generator().manual_seed(0)
        side = self.image_size
        images = torch.rand((batch, self.channels, side, side), generator=noise).to(self.device)
        labels = torch.zeros(batch, dtype=torch.int64, device=self.device)
        return images.contiguous(memory_format=self.memory_format), labels

    def stepping(
        self,
        twin: StagedNet,
        precision: Precision,
        *,
        batch: int,
        forward: compiling.Forward | None = None,
    ) -> Callable[[], float]:
        """Takes a step of `twin` each time it is called, by `forward` or by itself, on `batch`
        images, and gives its seconds."""
        images, labels = self.made_up(batch)
        return lambda: timed_step(twin, images, labels, self.device, precision, forward=forward)

    def key(self, *what: str | int, batch: int) -> str:
        """All that a measurement of steps of `batch` images depends on, as one line."""
        config = self.config
        facts = [TRIAL, *what, config.reuse_memory, str(self.memory_format), *machine(self.device)]
        facts += [getattr(config, k.name) for k in KNOBS.values() if k.group == "network"]
        shape = [sorted(self.network.frozen), batch, self.channels, self.image_size]
        return json.dumps([*facts, *shape])


def gain_of_format(work: Workload, precision: Precision) -> float | None:
    """How many times as fast a training step is in `precision` as in fp32 here; None when nothing
    can be gained: steps are too short, or too few for a trial.

    A copy of the network is tried. Takes up to ten steps the first time.
    """
    batch = min(work.config.batch_size, max(1, MOST_PIXELS // work.image_size**2))
    key = work.key(precision, batch=batch)
    known = _read()
    if key in known or work.steps < FEWEST_STEPS:
        return known.get(key)
    twin = work.twin()
    exact, shorter = _in_turn(
        work,
        work.stepping(twin, "fp32", batch=batch),
        work.stepping(twin, precision, batch=batch),
        enough=LONG_STEP,
    )
    gain = None if min(exact) < SHORT_STEP else _gain(exact, shorter)
    found = {key: gain}
    if batch == work.config.batch_size:  # `seconds_of_step` need not take them again
        found[work.key("step", "fp32", batch=batch)] = round(min(exact), 5)
        found[work.key("step", precision, batch=batch)] = round(min(shorter), 5)
    _keep(found)
    return gain


def seconds_of_step(work: Workload, precision: Precision) -> float:
    """How long a training step of a full batch takes here, uncompiled. Takes a few steps the first
    time."""
    batch = work.config.batch_size
    key = work.key("step", precision, batch=batch)
    known = _read().get(key)
    if known is None:
        step = work.stepping(work.twin(), precision, batch=batch)
        (seconds,) = _in_turn(work, step, enough=LONG_STEP)
        known = round(min(seconds), 5)
        _keep({key: known})
    return known


def gain_of_compiling(work: Workload, precision: Precision) -> float | None:
    """How many times as fast a training step of a full batch is compiled as uncompiled here; None
    when torch could not compile it, or memory did not suffice to try.

    A copy of the network is tried. Takes seconds to minutes the first time, nearly all of it for
    compiling; the run compiles again, with the help of torch's cache.
    """
    batch = work.config.batch_size
    key = work.key("compiled", precision, batch=batch)
    known = _read()
    if key in known:
        return known[key]
    compiling.begin_afresh()
    try:
        with compiling.compiler_errors():
            twin = work.twin()
            compiled = compiling.Compiled(twin, twin)
            plain = work.stepping(twin, precision, batch=batch)
            fast = work.stepping(twin, precision, batch=batch, forward=compiled)
            gain = _gain(*_in_turn(work, plain, fast))
    except (ConfigError, MemoryError, RuntimeError) as error:
        # All but a ConfigError says that memory is short. Not kept: it may be mended.
        logger.warning("compiled steps could not be tried: %s", error)
        return None
    finally:
        compiling.begin_afresh()
    _keep({key: gain})
    return gain


def _in_turn(
    work: Workload, *ways: Callable[[], float], enough: float = math.inf
) -> list[list[float]]:
    """Seconds of some steps each way; `ways` take a step and say how long it took. One step each
    must do where it is longer than `enough` seconds. Raises Cancelled.

    Freed memory is kept meanwhile as the run would keep it.
    """
    keep_freed_memory(work.config.reuse_memory)
    try:
        for step in ways:  # the first step of each also prepares kernels
            step()
        seconds: list[list[float]] = [[] for _ in ways]
        for _ in range(ROUNDS):  # in turn, so that a busy moment meets all of them
            for taken, step in zip(seconds, ways, strict=True):
                check_cancel(work.cancel, "The run")
                taken.append(step())
            if max(map(min, seconds)) > enough:
                break
        return seconds
    finally:
        hand_back()


def _gain(plain: list[float], other: list[float]) -> float:
    """How many times as fast the other way surely is: the smaller of two readings, the quickest
    steps of each and the median of the pairs.

    A trial may run beside a browser that draws. With two other programs at work on two cores, a
    format that takes 1.37 times as long looked 1.15 times as fast by the quickest steps in 17 of 90
    trials, by the median in 6, by both in 2.
    """
    pairs = [one / two for one, two in zip(plain, other, strict=True)]
    return round(min(min(plain) / min(other), statistics.median(pairs)), 3)


def timed_step(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    precision: Precision,
    *,
    forward: compiling.Forward | None = None,
) -> float:
    """Seconds of one pass forward, by `forward` or `network` itself, and backward."""
    wait_for(device)
    began = time.perf_counter()
    with autocast(device, precision):
        logits = (forward or network)(images)
    loss = F.cross_entropy(logits.float(), labels)
    network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    wait_for(device)
    return time.perf_counter() - began


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
