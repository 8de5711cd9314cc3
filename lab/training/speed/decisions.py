"""How fast a run goes is decided here: what was settled, and why, in words.

    memory_layout       by the kind of network
    number_format       by a trial of some steps (lab.training.speed.trials)
    freed_memory        by the system

What a knob forces is not tried; a run that goes on goes on in the format in which it began.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lab.config import Precision, RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.process import can_keep_freed_memory
from lab.training.frozen.features import find_cut
from lab.training.speed.precision import candidate
from lab.training.speed.trials import Workload, gain_of_format

FORMAT_WORTH_IT = 1.15
"""A shorter number format is taken when it makes a step at least so many times as fast: less is
within the noise of a short measurement, and fp32 is exact."""


@dataclass(frozen=True)
class Decision:
    """One thing that the plan settled, and why."""

    what: str
    choice: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.choice} ({self.reason})"


def memory_layout(config: RunConfig, device: torch.device) -> tuple[torch.memory_format, Decision]:
    what = "Memory layout"
    last, first = torch.channels_last, torch.contiguous_format
    if config.memory_layout != "auto":
        chosen = last if config.memory_layout == "channels_last" else first
        return chosen, Decision(what, config.memory_layout.replace("_", " "), "as asked")
    convolves = ARCHITECTURES.get(config.architecture).family != "perceptron"
    if convolves and device.type != "mps":
        reason = "a convolution reads all channels of a pixel together: up to twice as fast"
        return last, Decision(what, "channels last", reason)
    reason = "nothing to gain without convolutions" if not convolves else "Apple's devices want it"
    return first, Decision(what, "channels first", reason)


def number_format(work: Workload, begun_in: Precision | None) -> tuple[Precision, Decision]:
    """Of the training steps; a run that goes on keeps the one that it has `begun_in`."""
    what = "Number format"
    if begun_in is not None:
        return begun_in, Decision(what, begun_in, "as the run began")
    if work.config.precision != "auto":
        return work.config.precision, Decision(what, work.config.precision, "as asked")
    shorter = candidate(work.device)
    if shorter == "fp32":
        return "fp32", Decision(
            what, "fp32", f"no units for a shorter one that PyTorch knows on {work.device}"
        )
    if find_cut(work.network) is not None and work.config.keeps_features:
        reason = "frozen layers run once, so there is nothing to gain"
        return "fp32", Decision(what, "fp32", reason)
    gain = gain_of_format(work, shorter)
    if gain is None:
        reason = f"steps are too short or too few for {shorter} to pay, or too slow to try it first"
        return "fp32", Decision(what, "fp32", reason)
    measured = f"a step in {shorter} takes {1 / gain:.2f} times as long as in fp32, measured here"
    if gain < FORMAT_WORTH_IT:
        return "fp32", Decision(what, "fp32", measured)
    return shorter, Decision(what, shorter, f"{measured}; validation and test run in fp32")


def freed_memory(config: RunConfig) -> tuple[bool, Decision]:
    what = "Freed memory"
    if not config.reuse_memory:
        return False, Decision(what, "handed back at every step", "as asked")
    if not can_keep_freed_memory():
        return False, Decision(what, "as the system does it", "only glibc has settings for it")
    reason = "fresh pages for every step cost a small network a third of its time"
    return True, Decision(what, "kept for the next step", reason)
