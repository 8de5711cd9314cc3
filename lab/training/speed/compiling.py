"""Compiled training steps: `torch.compile` around what a step runs forward, and what can go wrong.

    full batches of a phase     compiled before the first of them, which takes seconds to minutes
    a last batch of other size  not compiled: it would be compiled once more for its shape
    validation, test, probes    never compiled

Compiled steps are the same up to rounding: kernels are fused, and sums run in another order. What
is random is drawn ahead of the step from the run's own generator, as it would be drawn within it.
torch keeps what it compiled for the whole process, and gives up on code of which there are eight
variants; `begin_afresh` empties that, so a run begins with nothing of another one.

Called in the thread that prepares and trains a run. Other threads' networks are not compiled by it;
where two devices train at once, one run's `begin_afresh` lets the other compile again at its next
step.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lab.errors import ConfigError, LabError
from lab.models.dropout import MasksAhead
from lab.models.staged import StagedNet
from lab.training.failures import is_out_of_memory

logger = logging.getLogger(__name__)

BACKEND: str | Callable[..., object] = "inductor"
"""torch's own compiler."""

Forward = Callable[[Tensor], Tensor]


def what_is_missing(device: str) -> str:
    """What this machine needs before steps can be compiled for `device`; "" when nothing is known
    to be missing. Looks only whether it is there, not whether it works."""
    if device == "cuda":
        return "" if importlib.util.find_spec("triton") else "the package triton"
    usual = {"Darwin": "clang++", "Windows": "cl"}.get(platform.system(), "g++")
    compiler = os.environ.get("CXX", "") or usual
    return "" if shutil.which(compiler) else f"a C++ compiler ({compiler})"


class Compiled:
    """`forward` of `network`, compiled at the first call for the very shape of its batch, which all
    others must have; the backward half is compiled when it is first used.

    The first pass in both directions belongs inside `compiler_errors`.
    """

    def __init__(self, network: StagedNet, forward: Forward) -> None:
        self._network, self._forward = network, forward
        # As one graph: an error where torch cannot, or would give up, and never a silent half.
        self._fast: Forward = torch.compile(forward, dynamic=False, fullgraph=True, backend=BACKEND)
        self._masks: MasksAhead | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """`forward(images)`, up to rounding."""
        if self._masks is None:
            with self._network.undisturbed(), torch.no_grad():
                self._masks = MasksAhead(self._network, lambda: self._forward(images))
            # Weights that autocast shortened meanwhile have no gradient, and would be used again.
            torch.clear_autocast_cache()
        with self._masks.drawn():
            return self._fast(images)


def begin_afresh() -> None:
    """Forget all that was compiled in this process; what is still in use is compiled again."""
    torch.compiler.reset()


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Around the first use: whatever goes wrong in it becomes a ConfigError, and is logged. A
    LabError stays one, and too little memory is nothing that torch's compiler did."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        logger.warning("torch.compile failed", exc_info=error)
        raise ConfigError(
            "torch.compile could not compile this network's steps on this machine "
            f"({_reason(error)}). Start a new run with the knob Compile off, or mend the compiler; "
            "the server's log has all that it said."
        ) from error


def _reason(error: BaseException) -> str:
    """A C++ compiler's own complaint where there is one, else what torch says first."""
    lines = str(error).strip().splitlines()
    paragraph = lines[: lines.index("")] if "" in lines else lines
    complaint = [line for line in lines if "error:" in line]
    return " ".join(" ".join(complaint[:1] or paragraph).split())[:200].rstrip(". ")
