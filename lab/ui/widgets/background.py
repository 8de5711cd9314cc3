"""Runs a page's slow work in a background job and waits without holding the page up.

    answer = computed(key, "Reading 2,000 images", work)
    if answer is None:
        return            # the job's progress is on the page, and the page comes back by itself

The key names everything that the result depends on, down to the checkpoint's identity: the same key
gets the same job's result, also in another tab. A page that needs several results computes them one
after another.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from lab import jobs
from lab.ui.words import plain
from lab.words import duration

PATIENCE = 0.5
"""Seconds that a page waits for a new job before it shows a progress bar: what is quick appears at
once, without a flicker."""

POLL = 0.4


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
    st.fragment(run_every=POLL, key=place)(_progress)(job.id, cancellable=cancellable)
    return None


def _progress(job_id: str, *, cancellable: bool) -> None:
    """The fragment that polls; when the job has ended the whole page runs again, once."""
    job = jobs.get(job_id)
    if job is None or not job.active:
        st.rerun()
    progress = job.progress
    draw_progress(job, plain(progress.text if progress and progress.text else job.title))
    if cancellable:
        st.button(
            "Cancelling" if job.cancelling else "Cancel",
            key=f"background_{job_id}_cancel",
            icon=":material/close:",
            disabled=job.cancelling,
            on_click=_cancel,
            args=(job_id,),
        )


def draw_progress(job: jobs.JobView, title: str) -> None:
    """The bar of an active job: `title` (Markdown), how much of it is done, the time left."""
    progress, text = job.progress, title
    if progress and progress.total:
        text += f" · {progress.done:,} of {progress.total:,} {progress.unit}".rstrip()
    if job.seconds_left is not None and job.seconds_left >= 2:
        text += f" · about {duration(job.seconds_left)} left"
    st.progress((progress.fraction if progress else None) or 0.0, text=text)


def _cancel(job_id: str) -> None:
    jobs.cancel(job_id)
