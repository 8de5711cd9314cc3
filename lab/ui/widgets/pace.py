"""How often a page refreshes while a run trains.

Each refresh costs the training processor time, more where the browser draws on the same machine,
and shows less the longer the run: after ten minutes one more second moves a curve by half a pixel.
So refreshes grow rarer with the time trained, on a small machine sooner.
"""

from __future__ import annotations

import os

from lab.runs.rows import RunRow

_FACTORS = ((60.0, 1.0), (300.0, 2.0), (1200.0, 3.0))
"""(seconds of training, factor): until then, how many times as far apart refreshes are."""

_LATER_FACTOR = 5.0

SHARE = 0.03
"""Share of the machine that one page in a browser on it may take after the run's first minute."""

REFRESH_SECONDS = 0.54
"""Core seconds that the training loses to one refresh and its share of those of verdicts and film
strip (benchmarks/live_page.py). A good half is Chromium's, drawing without a graphics card: two
fifths of that the chart, most of the other Streamlit's elements. The rest is the server's reply,
and that one core of a step waits for the other.
"""


def pace(run: RunRow, seconds: float, *, cores: int | None = None) -> float | None:
    """Returns the seconds between two refreshes, `seconds` in the first minute; None after the run.

    `cores` are those of this machine unless given. There are only four paces, as a change costs a
    run of the whole page.
    """
    if not run.is_live:
        return None
    factor = next((factor for until, factor in _FACTORS if run.seconds <= until), _LATER_FACTOR)
    if factor > 1:
        factor = max(factor, REFRESH_SECONDS / (SHARE * (cores or os.cpu_count() or 1)))
    return seconds * factor
