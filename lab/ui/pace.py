"""How often a page looks at a run that trains.

Each look costs the training processor time, wherever the browser runs and more where it draws on
the same machine; and what it brings gets smaller as the run gets longer: after ten minutes one more
second moves a curve by half a pixel. So looks grow rarer with the time trained.
"""

from __future__ import annotations

from lab.runs.rows import RunRow

_STAGES = ((60.0, 1.0), (300.0, 2.0), (1200.0, 3.0))
"""Up to so many seconds of training, looks are so many times as far apart as at first."""

_LATER = 5.0


def pace(run: RunRow, seconds: float) -> float | None:
    """Seconds until the next look at `run`, `seconds` in its first minute; None when it is over.

    A change of pace costs a run of the whole page, so there are only four.
    """
    if not run.is_live:
        return None
    return seconds * next((times for until, times in _STAGES if run.seconds <= until), _LATER)
