"""What trains now and what waits, kept up to date by itself."""

from __future__ import annotations

import streamlit as st

from lab.api.panels import Panel, bar, text
from lab.api.run_feed import words_until
from lab.api.run_texts import progress_values
from lab.errors import LabError
from lab.runs.queue import queue
from lab.runs.status import ACTIVE
from lab.runs.store import RunRow, store
from lab.ui.live.panel import live_panel
from lab.ui.words import plain, status_word

MOST_WAITING = 5
"""Waiting runs that are named."""


def draw_running(*, key: str) -> None:
    """Draws a bar for each run that trains, with a link to it; nothing when none does or waits.

    The page runs again when a run begins or ends.
    """
    active, waiting = _runs()
    if not active and not waiting:
        return
    with st.container(border=True):
        live_panel(running_panel, key=key, live=True)
        with st.container(horizontal=True):
            for run in active:
                label = "Watch it" if len(active) == 1 else f"Watch {plain(run.name)}"
                st.page_link(
                    "pages/train.py",
                    label=label,
                    icon=":material/monitoring:",
                    query_params={"run": run.id},
                )


def running_panel() -> Panel:
    """Returns the panel as it is now; also called by the event hub."""
    active, waiting = _runs()
    blocks = []
    for run in active:
        progress = progress_values(run) or {"text": "", "share": None}
        parts = dict.fromkeys((run.name, status_word(run.status), progress["text"]))
        blocks.append(bar(" · ".join(filter(None, parts)), progress["share"]))
    if waiting:
        words = f"{len(waiting)} in line: {_waiting_text(active, waiting)}."
        blocks.append(text(words, tone="small"))
    if places := _places_text(active):
        blocks.append(text(places, tone="small"))
    return {"state": " ".join(run.id for run in (*active, *waiting)), "blocks": blocks}


def _waiting_text(active: list[RunRow], waiting: list[RunRow]) -> str:
    """Returns the first waiting runs by name, each with when it starts where that is known."""
    ahead, words = list(active), []
    for run in waiting[:MOST_WAITING]:
        starts = words_until(ahead, run) if ahead else ""
        words.append(f"{run.name} (starts in {starts})" if starts else run.name)
        ahead.append(run)
    if more := len(waiting) - len(words):
        words.append(f"{more} more")
    return ", ".join(words)


def _places_text(active: list[RunRow]) -> str:
    """Returns who trains where; "" where there is one place only."""
    try:
        places = queue().places()
    except LabError as error:  # a cluster that cannot be reached
        return str(error)
    if len(places) < 2:
        return ""
    runs = {run.id: run for run in active}
    users, taken = [], 0
    for place, run_id in places.items():
        if run_id:
            run = runs.get(run_id)
            workers = run.settings.get("workers", 1) if run else 1
            words = f"{place.name}: {run.name if run else 'a run'}"
            users.append(f"{words} on {workers} places" if workers > 1 else words)
            taken += workers
    free = max(0, len(places) - taken)
    free_text = f"{free} of {len(places)} places unused by this server"
    return " · ".join(
        [*users[:12], *([f"{len(users) - 12} more"] if len(users) > 12 else []), free_text]
    )


def _runs() -> tuple[list[RunRow], list[RunRow]]:
    return store().runs(status=ACTIVE), store().queued()
