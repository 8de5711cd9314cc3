"""The Classify page: which pictures are unlike the training pictures.

The features of the training pictures are measured once a checkpoint, in the background, and kept
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
from lab.ui.widgets.background import draw_job
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.words import plain

KIND = "familiarity"
POLL = 0.5


def measured_familiarities(
    choices: Sequence[CheckpointChoice],
) -> dict[tuple[str, str], Familiarity]:
    """Returns (run, checkpoint) -> the saved familiarity of its present weights."""
    familiarities = {}
    for choice in choices:
        try:
            familiarity = saved_familiarity(choice.folder, choice.checkpoint)
        except LabError:
            continue  # the page tells why this run cannot classify
        if familiarity is not None:
            familiarities[(choice.run.id, choice.checkpoint)] = familiarity
    return familiarities


def draw_status(
    state: ClassifyState,
    choices: Sequence[CheckpointChoice],
    familiarities: dict[tuple[str, str], Familiarity],
) -> None:
    """Starts the measurement where it is missing, and shows its progress.

    One measurement at a time in the whole lab, so that answers, which are jobs too, get a thread.
    """
    for choice in choices:
        weights = (choice.run.id, choice.checkpoint)
        if weights in familiarities or weights in state.failures or weights not in state.identities:
            continue
        job = jobs.latest(_key(state, choice))
        if job is not None and job.active:
            draw_job(
                job.id,
                key=f"classify_familiarity_{choice.run.id}",
                title=f"Measuring what the training pictures look like to {choice.run.name}",
                cancellable=True,
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
    """Measures and saves; runs in a job's thread."""
    measure_familiarity(folder, checkpoint, report, cancel)
    return True
