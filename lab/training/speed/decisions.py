"""How fast a run goes is decided here: what was settled, and why, in words.

    memory_layout       by the kind of network
    number_format       by a trial of some steps (lab.training.speed.trials)
    compiling           by a trial, where the run is long
    freed_memory        by the system

What a knob forces is not tried; a run that goes on goes on as it began.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lab.config import RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.process import can_keep
from lab.progress import Progress, Report, check_cancel
from lab.training.counters import Counters
from lab.training.frozen.features import find_cut
from lab.training.speed.compiling import what_is_missing
from lab.training.speed.precision import Precision, candidate
from lab.training.speed.trials import Workload, gain_of_compiling, gain_of_format, seconds_of_step

FORMAT_WORTH_IT = 1.15
"""A shorter number format is taken when it makes a step at least so many times as fast: less is
within the noise of a short measurement, and fp32 is exact."""

COMPILING_WORTH_IT = 1.05
"""Less, because compiled steps are as exact, and it is asked for long runs only."""

LONG_RUN = 30
"""Minutes. Compiling takes up to three, and on a CPU some networks gain nothing or lose
(benchmarks/RESULTS.md), so only longer runs try it."""

FEWEST_STEPS_TO_COMPILE = 200
"""In fewer, hardly any step makes a long run; how long one takes need not be found out then."""

AS_BEGUN = "as the run began"
FROZEN_ONCE = "frozen layers run once, so there is nothing to gain"


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


def number_format(work: Workload, begun: Counters | None) -> tuple[Precision, Decision]:
    """Of the training steps. `begun` are the counters of a run that goes on."""
    what = "Number format"
    if begun is not None:
        return begun.precision, Decision(what, begun.precision, AS_BEGUN)
    if work.config.precision != "auto":
        return work.config.precision, Decision(what, work.config.precision, "as asked")
    shorter = candidate(work.device)
    if shorter == "fp32":
        return "fp32", Decision(
            what, "fp32", f"no units for a shorter one that PyTorch knows on {work.device}"
        )
    if _runs_frozen_once(work):
        return "fp32", Decision(what, "fp32", FROZEN_ONCE)
    gain = gain_of_format(work, shorter)
    if gain is None:
        reason = f"steps are too short, or too few, for {shorter} to pay"
        return "fp32", Decision(what, "fp32", reason)
    measured = f"a step in {shorter} takes {1 / gain:.2f} times as long as in fp32, measured here"
    if gain < FORMAT_WORTH_IT:
        return "fp32", Decision(what, "fp32", measured)
    return shorter, Decision(what, shorter, f"{measured}; validation and test run in fp32")


def compiling(
    work: Workload, precision: Precision, begun: Counters | None, *, progress: Report
) -> tuple[bool, Decision]:
    """Whether training steps in `precision` are compiled. May try it, for minutes; raises Cancelled
    when that is wanted meanwhile."""
    wish = work.config.compile_steps
    if begun is not None:
        return begun.compiled, _compiling(begun.compiled, AS_BEGUN)
    if wish != "auto":
        return wish == "on", _compiling(wish == "on", "as asked")
    if _runs_frozen_once(work):
        return False, _compiling(False, FROZEN_ONCE)
    if (
        work.steps < FEWEST_STEPS_TO_COMPILE
        or work.steps * seconds_of_step(work, precision) < LONG_RUN * 60
    ):
        reason = (
            "torch.compile works for seconds to minutes before the first step, so only runs of "
            f"over {LONG_RUN} minutes and {FEWEST_STEPS_TO_COMPILE} steps try it"
        )
        return False, _compiling(False, reason)
    if missing := what_is_missing(work.device.type):
        return False, _compiling(False, f"torch.compile needs {missing}")
    check_cancel(work.cancel, "The run")
    progress(Progress(0, 0, "Trying whether compiled steps are faster (some minutes, once)"))
    gain = gain_of_compiling(work, precision)
    check_cancel(work.cancel, "The run")
    if gain is None:
        return False, _compiling(False, "torch.compile failed on this network when it was tried")
    measured = f"a compiled step takes {1 / gain:.2f} times as long, measured here"
    if gain < COMPILING_WORTH_IT:
        return False, _compiling(False, f"{measured}: no gain to wait for")
    return True, _compiling(True, measured)


def _compiling(yes: bool, reason: str) -> Decision:
    if yes:
        reason += "; full batches only, and the first one waits for it"
    return Decision("Compiling", "yes" if yes else "no", reason)


def _runs_frozen_once(work: Workload) -> bool:
    return find_cut(work.network) is not None and work.config.keeps_features


def freed_memory(config: RunConfig) -> tuple[bool, Decision]:
    what = "Freed memory"
    if not config.reuse_memory:
        return False, Decision(what, "handed back at every step", "as asked")
    if not can_keep():
        return False, Decision(what, "as the system does it", "only glibc has settings for it")
    reason = "fresh pages for every step cost a small network a third of its time"
    return True, Decision(what, "kept for the next step", reason)
