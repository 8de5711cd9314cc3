"""Compare: results of runs that still train say as of which epoch they are, and follow them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lab.api.panels import Panel, text
from lab.errors import NotFoundError
from lab.runs.store import store
from lab.ui.compare.choice import ComparedRun
from lab.ui.live.panel import live_panel
from lab.ui.words import status_word

SECONDS = 5.0
"""Between two readings: at each new epoch the whole tab is drawn anew."""


def draw_following(chosen: Sequence[ComparedRun], *, key: str) -> None:
    """Draws how far the runs are that still train or wait; nothing where all have ended.

    The page runs again when one of them has a new epoch or ends.
    """
    live = [c for c in chosen if c.row.is_live]
    if live:
        live_panel(partial(_panel, live), key=key, live=True, seconds=SECONDS)


def _panel(live: Sequence[ComparedRun]) -> Panel:
    """Returns the panel as it is now; also called by the event hub."""
    states, words = [], []
    for compared in live:
        try:
            run = store().run(compared.row.id)
        except NotFoundError:  # deleted in another tab
            continue
        states.append(f"{run.id} {run.status} {run.epoch}")
        where = f"as of epoch {run.epoch}" if run.epoch else status_word(run.status).lower()
        words.append(f"{compared.title} ({where})")
    sentence = f"Not final yet: {'; '.join(words)}. The page follows." if words else ""
    return {"state": ", ".join(states), "blocks": [text(sentence, tone="small")]}
