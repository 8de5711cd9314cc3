"""The Classify page: telling pictures that are unlike the training pictures.

What the training pictures look like to a checkpoint is measured once, in the background, and kept
with the run. Answers never wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from lab import jobs
from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.runs.status import ACTIVE
from lab.runs.store import store
from lab.ui.classify.answers import Basket
from lab.ui.classify.runs import Ask
from lab.ui.words import duration, plain

if TYPE_CHECKING:
    from lab.evaluate.familiarity import Familiarity

KIND = "familiarity"
POLL = 0.5


def known(asks: Sequence[Ask]) -> dict[tuple[str, str], Familiarity]:
    """(run, checkpoint) -> what was measured of its present weights, where it was."""
    from lab.evaluate.familiarity import saved_familiarity

    found = {}
    for ask in asks:
        try:
            measured = saved_familiarity(ask.folder, ask.checkpoint)
        except LabError:
            continue  # the run cannot be asked either, and that is told
        if measured is not None:
            found[(ask.run_id, ask.checkpoint)] = measured
    return found


def draw_status(
    kept: Basket, asks: Sequence[Ask], measured: dict[tuple[str, str], Familiarity]
) -> None:
    """Where it has not been measured: begin, and show how far it is.

    One measurement at a time in the whole lab, so that answers, which are jobs too, find a place.
    """
    for ask in asks:
        weights = (ask.run_id, ask.checkpoint)
        if weights in measured or weights in kept.failures or weights not in kept.identities:
            continue
        job = jobs.latest(_key(kept, ask))
        if job is not None and job.active:
            st.fragment(run_every=POLL, key=f"classify_familiarity_{ask.run_id}")(_progress)(
                job.id, ask.run_name
            )
        elif job is not None and job.state == "failed":
            st.caption(
                f":material/help: Whether pictures are unlike the training pictures of "
                f"{plain(ask.run_name)} cannot be told: {plain(job.message)}"
            )
            _offer(kept, ask, "Try again")
        elif any(view.active for view in jobs.jobs(KIND)):
            st.caption(
                "What the training pictures look like to "
                f"{plain(ask.run_name)} is measured after that of another run."
            )
        elif (job is not None and job.state == "cancelled") or store().runs(status=ACTIVE):
            st.caption(
                f"Whether pictures are unlike the training pictures of {plain(ask.run_name)} has "
                "not been measured"
                + ("." if job else ", because a run is training and would be slowed down.")
            )
            _offer(kept, ask, "Measure it")
        else:
            _start(kept, ask)


def _key(kept: Basket, ask: Ask) -> str:
    identity = kept.identities[(ask.run_id, ask.checkpoint)]
    return f"familiarity/{ask.run_id}/{ask.checkpoint}/{identity}"


def _offer(kept: Basket, ask: Ask, label: str) -> None:
    if st.button(label, key=f"classify_measure_{ask.run_id}", icon=":material/straighten:"):
        _start(kept, ask)


def _start(kept: Basket, ask: Ask) -> None:
    jobs.start(
        KIND,
        f"Measuring the training pictures of {ask.run_name}",
        partial(_measure, ask.folder, ask.checkpoint),
        key=_key(kept, ask),
    )
    st.rerun()


def _measure(folder: Path, checkpoint: str, report: Report, cancel: Cancel) -> bool:
    """Runs in a job's thread; the page reads what it saved."""
    from lab.evaluate.familiarity import measure_familiarity

    measure_familiarity(folder, checkpoint, report, cancel)
    return True


def _progress(job_id: str, run_name: str) -> None:
    """The fragment that polls; when the job has ended the whole page runs again, once."""
    job = jobs.get(job_id)
    if job is None or not job.active:
        st.rerun()
    told = job.progress
    text = f"Measuring what the training pictures look like to {plain(run_name)}"
    if told is not None and told.total:
        text += f" · {told.done:,} of {told.total:,} {told.unit}"
    if job.seconds_left is not None and job.seconds_left >= 2:
        text += f" · about {duration(job.seconds_left)} left"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress((told.fraction if told else None) or 0.0, text=text)
        if st.button(
            "Cancel",
            key=f"classify_cancel_{job_id}",
            icon=":material/close:",
            disabled=job.cancelling,
        ):
            jobs.cancel(job_id)
