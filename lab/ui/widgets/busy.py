"""Whether the machine is too busy for its speed to be measured."""

from __future__ import annotations

import os
import threading

from lab.runs.store import store


def machine_is_busy() -> bool:
    """Whether the lab warms up or trains here, or other programs use half of the processor.

    A measured speed is kept, and a busy machine is tens of times slower.
    """
    if any(thread.name == "warm-up" for thread in threading.enumerate()):
        return True
    if store().runs(status=("running", "preparing")):
        return True
    try:
        load, _, _ = os.getloadavg()
    except (AttributeError, OSError):  # Windows has none
        return False
    return load > (os.cpu_count() or 1) / 2
