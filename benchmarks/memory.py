"""How much memory a piece of work takes: the peak of what is resident, this process as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """`mb` is filled in when the block is left; mapped files count while they are resident."""

    mb: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Linux only: the kernel keeps the peak and lets a process reset its own (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    peak = Peak()
    yield peak
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    peak.mb = int(kilobytes) * 1024 / 1e6
