"""The Classify page: answers as sets of classes, and probabilities with a temperature.

Both are off until they are asked for, and said while they are on. What they need is measured once a
checkpoint, in the background: the answers to the validation images and to the test images, where
a class may see these.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from lab.evaluate.answer_sets import LEVELS
from lab.evaluate.how_sure import measure_how_sure, saved_how_sure
from lab.progress import Cancel, Report
from lab.runs.class_rules import results_hidden
from lab.runs.store import store
from lab.ui.classify.answers import ClassifyState
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.words import plain

ONE = 0.0
"""In place of a level: answers are the most probable class."""


def draw_switches(state: ClassifyState, choices: Sequence[CheckpointChoice]) -> None:
    """Draws both switches, and what they are worth; puts what was measured into `state`."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        level = st.segmented_control(
            "Answer with",
            (ONE, *LEVELS),
            default=ONE,
            format_func=lambda each: f"Set, {each:.0%}" if each else "One class",
            key="classify_level",
            required=True,
            help="A set holds as many classes as it takes to be right so often: one where the "
            "network is sure, several where it is not (split conformal prediction).",
        )
        calibrated = st.toggle(
            "Calibrated",
            key="classify_calibrated",
            help="Probabilities with the temperature that fits the validation images: as sure as "
            "they are right. No answer changes.",
        )
    state.level, state.calibrated = level or None, calibrated
    state.how_sure = {}
    if not level and not calibrated:
        return
    for choice in choices:
        name = f"{plain(choice.run.name)}: " if len(choices) > 1 else ""
        weights = (choice.run.id, choice.checkpoint)
        identity = state.identities.get(weights)
        if choice.run.is_live:
            st.caption(f"{name}still trains. Sets and temperature wait until it has ended.")
        elif identity is not None and weights not in state.failures:
            _measure(state, choice, identity)
            if sure := state.how_sure.get(weights):
                said = [sure.set_sentence(level)] if level else []
                said += [sure.temperature_sentence] if calibrated else []
                st.caption(f":material/tune: {name}{plain(' '.join(said))}")


def _measure(state: ClassifyState, choice: CheckpointChoice, identity: str) -> None:
    """Puts what was measured into `state.how_sure`; shows the job that measures it before."""
    weights = (choice.run.id, choice.checkpoint)
    with_test = not results_hidden(store().database)
    if (identity, with_test) not in state.sure_of:
        sure = saved_how_sure(
            choice.folder, choice.checkpoint, identity=identity, with_test=with_test
        )
        if sure is None:
            parts = "validation and test" if with_test else "validation"
            key = f"how-sure:{choice.run.id}:{choice.checkpoint}:{identity}:{parts}"
            title = f"Asking {choice.run.name} about the {parts} images"
            work = partial(_work, choice.folder, choice.checkpoint, with_test)
            sure = computed(key, title, work)
        if sure is None or sure.identity != identity:
            return
        state.sure_of[identity, with_test] = sure
    state.how_sure[weights] = state.sure_of[identity, with_test]


def _work(folder: Path, checkpoint: str, with_test: bool, report: Report, cancel: Cancel) -> object:
    return measure_how_sure(folder, checkpoint, report, cancel, with_test=with_test)
