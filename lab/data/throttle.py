"""Reports often enough to look alive, seldom enough to cost nothing."""

from __future__ import annotations

import time

from lab.progress import Progress, Report


def throttled(report: Report, *, per_second: float = 10.0) -> Report:
    """`report`, called at most `per_second` times a second; the first and the last always pass.

    The last is the one whose `done` reaches its `total`.
    """
    interval = 1.0 / per_second
    next_time = 0.0

    def paced(progress: Progress) -> None:
        nonlocal next_time
        now = time.monotonic()
        if now >= next_time or (progress.total and progress.done >= progress.total):
            next_time = now + interval
            report(progress)

    return paced
