"""How often a page looks at a run that trains.

Each look costs the training processor time, and more where the browser draws on the same machine;
and what it brings gets smaller as the run gets longer: after ten minutes one more second moves a
curve by half a pixel. So looks grow rarer with the time trained, on a small machine sooner.
"""

from __future__ import annotations

import os

from lab.runs.rows import RunRow

_STAGES = ((60.0, 1.0), (300.0, 2.0), (1200.0, 3.0))
"""Up to so many seconds of training, looks are so many times as far apart as at first."""

_LATER = 5.0

SHARE = 0.03
"""Of the machine: aimed at for one page in a browser on it, after the run's first minute."""

LOOK_SECONDS = 0.54
"""Of one core, that the training loses to a look and its share of those at verdicts and film strip
(benchmarks/live_page.py). A good half is the processor time of Chromium, which draws without a
graphics card there: two fifths of that the chart, most of the other Streamlit's, whichever elements
are on the page. The rest is the server's answer, and that one core of a step waits for the other.
"""


def pace(run: RunRow, seconds: float, *, cores: int | None = None) -> float | None:
    """Seconds until the next look at `run`, `seconds` in its first minute; None when it is over.
    `cores` are those of this machine unless given.

    A change of pace costs a run of the whole page, so there are only four.
    """
    if not run.is_live:
        return None
    times = next((times for until, times in _STAGES if run.seconds <= until), _LATER)
    if times > 1:
        times = max(times, LOOK_SECONDS / (SHARE * (cores or os.cpu_count() or 1)))
    return seconds * times
