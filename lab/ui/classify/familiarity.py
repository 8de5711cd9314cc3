"""The Classify page: the alarm for pictures that are unlike what a network trained on.

It is measured once a checkpoint, by itself, behind everything else, and kept with the run. Answers
never wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from lab import jobs
from lab.evaluate.familiarity import (
    STRANGE_WORDS,
    Familiarity,
    measure_familiarity,
    saved_familiarity,
)
from lab.process import BEHIND_TRAINING, lower_priority
from lab.progress import Cancel, Report
from lab.ui.classify.answers import ClassifyState
from lab.ui.widgets.background import draw_job
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.words import plain

KIND = "familiarity"
_TEXT = "Preparing the alarm for unfamiliar pictures"


def find_measured(state: ClassifyState, choices: Sequence[CheckpointChoice]) -> None:
    """Puts what was measured for the weights that answer into `state.familiarities`."""
    found: dict[tuple[str, str], Familiarity] = {}
    for choice in choices:
        weights = (choice.run.id, choice.checkpoint)
        if identity := state.identities.get(weights):
            familiarity = state.familiarities.get(weights)  # megabytes: read once
            if familiarity is None or familiarity.identity != identity:
                familiarity = saved_familiarity(choice.folder, choice.checkpoint, identity=identity)
            if familiarity is not None:
                found[weights] = familiarity
    state.familiarities = found


def draw_status(state: ClassifyState, choices: Sequence[CheckpointChoice]) -> None:
    """Says whose alarm is weak. Starts the measurement where it is missing; one line tells how far.

    One measurement at a time in the whole lab, so that answers, which are jobs too, get a thread.
    """
    for choice in choices:
        known = state.familiarities.get((choice.run.id, choice.checkpoint))
        if known is not None and known.is_weak:
            st.caption(
                f":material/notifications_off: The alarm of {plain(choice.run.name)} is weak: it "
                f"found {known.found} of {known.strange} {STRANGE_WORDS}. Without an alarm a "
                "picture may still be strange to it."
            )
    missing = [
        choice
        for choice in choices
        if (weights := (choice.run.id, choice.checkpoint)) in state.identities
        and weights not in state.familiarities
        and weights not in state.failures
    ]
    if not missing:
        return
    states = {choice: jobs.latest(_key(state, choice)) for choice in missing}
    for choice, job in states.items():
        if job is not None and job.state == "failed":
            st.caption(
                f":material/notifications_off: {plain(choice.run.name)} has no alarm for "
                f"unfamiliar pictures: {plain(job.message)}"
            )
    active = next((job for job in jobs.jobs(KIND) if job.active), None)
    if active is None:
        new = [choice for choice, job in states.items() if job is None]
        if new:
            active = _start(state, new[0])
    if active is not None:
        draw_job(active.id, key="classify_familiarity", title=_TEXT, cancellable=True)
        return
    # Cancelled; or done, and the file has been lost since.
    stopped = [c for c, job in states.items() if job is not None and job.state != "failed"]
    if stopped and st.button(
        "Prepare the alarm for unfamiliar pictures",
        key="classify_measure",
        icon=":material/notifications:",
        type="tertiary",
    ):
        _start(state, stopped[0])
        st.rerun()


def _key(state: ClassifyState, choice: CheckpointChoice) -> str:
    identity = state.identities[(choice.run.id, choice.checkpoint)]
    return f"familiarity/{choice.run.id}/{choice.checkpoint}/{identity}"


def _start(state: ClassifyState, choice: CheckpointChoice) -> jobs.JobView:
    identity = state.identities[(choice.run.id, choice.checkpoint)]
    return jobs.start(
        KIND,
        f"Comparing with the training pictures of {choice.run.name}",
        partial(_measure, choice.folder, choice.checkpoint, identity),
        key=_key(state, choice),
    )


def _measure(folder: Path, checkpoint: str, identity: str, report: Report, cancel: Cancel) -> bool:
    """Measures and saves; runs in a job's thread."""
    lower_priority(BEHIND_TRAINING)
    measure_familiarity(folder, checkpoint, report, cancel, identity=identity)
    return True
