"""In which number format training steps compute.

    fp32    everywhere, and the format of every figure: validation and test always run in fp32
    bf16    autocast for the forward pass; several times as fast where there are units for it
    fp16    the same on cards without bf16, with the loss scaled against underflow

A processor without such units is slower in bf16, so "auto" is settled by a trial
(`lab.training.speed.trials`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from lab.config import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which the forward pass of a training step runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, _DTYPES[precision])


def candidate(device: torch.device) -> Precision:
    """The shorter format that is worth a trial on this device; "fp32" when none is."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and bf16_units():
        return "bf16"
    return "fp32"


def bf16_units() -> set[str]:
    """The processor's instructions for bf16 as Linux names them: avx512_bf16, amx_bf16, on Arm
    bf16. Empty where there are none or nobody says."""
    facts = cpu_facts()
    flags = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()
    return {flag for flag in flags if flag in ("avx512_bf16", "amx_bf16", "bf16")}


def cpu_facts() -> dict[str, str]:
    """What Linux says of the last processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
