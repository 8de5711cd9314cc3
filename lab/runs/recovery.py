"""Finding the runs that a crash left behind."""

from __future__ import annotations

from lab.runs import locks
from lab.runs.status import ACTIVE
from lab.runs.store import Store


def recover(runs: Store) -> list[str]:
    """Mark the runs whose process has died as interrupted; returns their ids.

    Safe at any time and from any number of processes: a run is only touched when the owner that its
    row names has let go of its lock, which the system does for a process that dies.
    """
    interrupted = []
    for row in runs.runs(status=ACTIVE):
        if locks.is_alive(row.owner):
            continue
        where = f" after step {row.step:,}" if row.step else ""
        message = f"Interrupted{where}: the process that trained it ended. It can be resumed."
        if runs.interrupt(row.id, row.owner, message):
            interrupted.append(row.id)
    locks.sweep()
    return interrupted
