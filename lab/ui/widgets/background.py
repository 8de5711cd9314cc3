"""Runs a page's slow work in a background job and waits without holding the page up.

    answer = computed(key, "Reading 2,000 images", work)
    if answer is None:
        return            # the job's progress is on the page, and the page comes back by itself

The key names everything that the result depends on, down to the checkpoint's identity: the same key
gets the same job's result, also in another tab. A page that needs several results computes them one
after another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from lab import jobs
from lab.api.panels import Panel, bar
from lab.ui.live.panel import live_panel
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain

PATIENCE = 0.5
"""Seconds that a page waits for a new job before it shows a progress bar: what is quick appears at
once, without a flicker."""

POLL = 0.4
"""Seconds between two looks at a job while its bar is on the page."""


def computed(
    key: str, title: str, work: jobs.Work, *, kind: str = "view", cancellable: bool = False
) -> Any | None:
    """Returns the result of `work`; None while it runs or after it failed, as the page then shows.

    `work(report, cancel)` runs in a job's thread and returns plain values or arrays, never None. It
    must not call st.*. Everything that the result depends on is part of `key`. A cancelled job is
    started again by the next call, so the page calls for a `cancellable` one after a button.
    """
    job = jobs.latest(key)
    if job is None or job.state == "cancelled":
        job = jobs.start(kind, title, work, key=key)
        job = jobs.wait(job.id, timeout=PATIENCE) or job
    if job.state == "done":
        return job.result
    place = f"background_{key}"
    if job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
        if st.button("Try again", key=f"{place}_again", icon=":material/replay:"):
            jobs.start(kind, title, work, key=key)
            st.rerun()
        return None
    draw_job(job.id, key=place, title=job.title, cancellable=cancellable)
    return None


def draw_job(job_id: str, *, key: str, title: str, cancellable: bool = False) -> None:
    """Draws an active job's bar, which moves by itself; the page runs again when the job ends."""
    live_panel(partial(_job_panel, job_id, title), key=key, live=True, seconds=POLL)
    job = jobs.get(job_id)
    if cancellable and job is not None:
        st.button(
            "Cancelling" if job.cancelling else "Cancel",
            key=f"background_{job_id}_cancel",
            icon=":material/close:",
            disabled=job.cancelling,
            on_click=ask,
            args=(jobs.cancel, job_id),
        )


def _job_panel(job_id: str, title: str) -> Panel:
    """Returns the job as a panel; called by the event hub."""
    job = jobs.get(job_id)
    if job is None or not job.active:
        return {"state": "ended", "blocks": [bar(title, 1.0)]}
    progress, words = job.progress, title
    if job.state == "waiting":
        words += " · waits for another job"
    elif progress is not None:
        words = progress.in_words(job.units_per_second) if progress.text else title
    return {"state": "active", "blocks": [bar(words, progress.fraction if progress else None)]}
