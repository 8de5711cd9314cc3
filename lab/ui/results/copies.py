"""What near-copies do to the accuracy that the Results tab shows, or the way to find them."""

from __future__ import annotations

import streamlit as st

from lab import jobs
from lab.data.quality.check import job_key, start_checks
from lab.evaluate.leak_free import LeakFree
from lab.ui.widgets.background import draw_job
from lab.ui.words import plain


def draw_copies(dataset: str, honest: LeakFree | None) -> None:
    """Draws the sentence of the leak-free accuracy; before the data set was checked, a button that
    looks for copies in the background."""
    if honest is not None:
        icon = ":material/content_copy:" if honest.leaking else ":material/verified:"
        st.caption(f"{icon} {plain(honest.sentence)}")
        return
    job = jobs.latest(job_key(dataset))
    if job is not None and job.active:
        draw_job(job.id, key=f"results_copies_{job.id}", title=job.title, cancellable=True)
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Check for copies",
            key="results_check",
            icon=":material/content_copy:",
            on_click=_look,
            args=(dataset,),
        )
        st.caption(
            "Nobody has looked yet whether these images are near-copies of training images.",
            width="content",
        )


def _look(dataset: str) -> None:
    start_checks(dataset, ("duplicates",))
