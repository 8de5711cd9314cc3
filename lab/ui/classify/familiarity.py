"""The Classify page: telling pictures that are unlike the training pictures.

What the training pictures look like to a checkpoint is measured once, in the background, and kept
with the run. Answers never wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from lab import jobs
from lab.errors import LabError
from lab.evaluate.familiarity import Familiarity, measure_familiarity, saved_familiarity
from lab.progress import Cancel, Report
from lab.runs.status import ACTIVE
from lab.runs.store import store
from lab.ui.classify.answers import ClassifyState
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.words import plain
from lab.words import duration

KIND = "familiarity"
POLL = 0.5


def known(choices: Sequence[CheckpointChoice]) -> dict[tuple[str, str], Familiarity]:
    """(run, checkpoint) -> what was measured of its present weights, where it was."""

    found = {}
    for choice in choices:
        try:
            measured = saved_familiarity(choice.folder, choice.checkpoint)
        except LabError:
            continue  # the run cannot be asked either, and that is told
        if measured is not None:
            found[(choice.run.id, choice.checkpoint)] = measured
    return found


def draw_status(
    state: ClassifyState,
    choices: Sequence[CheckpointChoice],
    measured: dict[tuple[str, str], Familiarity],
) -> None:
    """Where it has not been measured: begin, and show how far it is.

    One measurement at a time in the whole lab, so that answers, which are jobs too, find a place.
    """
    for choice in choices:
        weights = (choice.run.id, choice.checkpoint)
        if weights in measured or weights in state.failures or weights not in state.identities:
            continue
        job = jobs.latest(_key(state, choice))
        if job is not None and job.active:
            st.fragment(run_every=POLL, key=f"classify_familiarity_{choice.run.id}")(_progress)(
                job.id, choice.run.name
            )
        elif job is not None and job.state == "failed":
            st.caption(
                f":material/help: Whether pictures are unlike the training pictures of "
                f"{plain(choice.run.name)} cannot be told: {plain(job.message)}"
            )
            _offer(state, choice, "Try again")
        elif any(view.active for view in jobs.jobs(KIND)):
            st.caption(
                "What the training pictures look like to "
                f"{plain(choice.run.name)} is measured after that of another run."
            )
        elif (job is not None and job.state == "cancelled") or store().runs(status=ACTIVE):
            st.caption(
                "Whether pictures are unlike the training pictures of "
                f"{plain(choice.run.name)} has not been measured"
                + ("." if job else ", because a run is training and would be slowed down.")
            )
            _offer(state, choice, "Measure it")
        else:
            _start(state, choice)


def _key(state: ClassifyState, choice: CheckpointChoice) -> str:
    identity = state.identities[(choice.run.id, choice.checkpoint)]
    return f"familiarity/{choice.run.id}/{choice.checkpoint}/{identity}"


def _offer(state: ClassifyState, choice: CheckpointChoice, label: str) -> None:
    if st.button(label, key=f"classify_measure_{choice.run.id}", icon=":material/straighten:"):
        _start(state, choice)


def _start(state: ClassifyState, choice: CheckpointChoice) -> None:
    jobs.start(
        KIND,
        f"Measuring the training pictures of {choice.run.name}",
        partial(_measure, choice.folder, choice.checkpoint),
        key=_key(state, choice),
    )
    st.rerun()


def _measure(folder: Path, checkpoint: str, report: Report, cancel: Cancel) -> bool:
    """Runs in a job's thread; the page reads what it saved."""

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
