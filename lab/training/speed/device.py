"""Work on an accelerator is only handed over: who measures time waits for it."""

from __future__ import annotations

import torch


def wait_for(device: torch.device) -> None:
    """Until `device` has done all that it was given; at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
