"""Compiled training steps: `torch.compile` around what a step runs forward, and what can go wrong.

    full batches of a phase     compiled at the first of them, which takes seconds to minutes
    a batch of another size     not compiled: it would be compiled once more for its shape
    a sampled step              not compiled: gradient health's hooks are not called in such code
    validation, test, probes    never compiled

Compiled steps are the same up to rounding: kernels are fused, and sums run in another order.
Dropout draws the same masks (`lab.models.dropout`).
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


def compiled(forward: Forward) -> Forward:
    """`forward`, compiled at the first call for the shape of its batch; the backward half is
    compiled when it is first used. Both belong inside `compiler_errors`."""
    # As one graph: an error where torch cannot, or would give up, and never a silent half.
    fast: Forward = torch.compile(forward, dynamic=False, fullgraph=True, backend=BACKEND)
    return fast


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Turns whatever goes wrong in compiled code into a ConfigError, and logs it. A LabError stays
    one, and too little memory is nothing that torch's compiler did."""
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
