"""What the map is coloured by: class, part, a run's answers, what the checks found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.charts.style import PALETTE
from lab.data.pack import SPLITS, Pack
from lab.data.quality.check import result
from lab.data.quality.findings import CHECKS
from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.ui.widgets.checkpoints import default_checkpoint, part_counts, run_labels
from lab.ui.widgets.point_map import (
    SPLIT_NAMES,
    Colouring,
    Group,
    by_class,
    numbered_groups,
    quiet_group,
)
from lab.ui.widgets.predictions import predictions_of
from lab.ui.words import plain

Ints = npt.NDArray[np.int64]

COPIES = "duplicates"
"""The check whose findings are groups."""
NOT_ASKED, NOTHING = "Not asked about", "Nothing found"


@dataclass(frozen=True)
class ColourBy:
    """One of the choices."""

    title: str
    make: Callable[[Pack, Ints], Colouring | None]
    """(pack, rows) -> the groups of these rows; None, with a sentence on the page, where there are
    none."""


def choose_colouring(pack: Pack, rows: Ints, *, key: str) -> Colouring:
    """Draws the choice, and what it needs to know; returns the colouring of `rows`."""
    chosen = st.segmented_control(
        "Colour by",
        list(CHOICES),
        default="class",
        format_func=lambda name: CHOICES[name].title,
        key=key,
        required=True,
    )
    return CHOICES[chosen].make(pack, rows) or _by_class(pack, rows)


def runs_on(dataset: str) -> list[RunRow]:
    """Returns the runs on this data set that have weights, the newest first."""
    return [run for run in store().runs() if run.dataset == dataset and run.has_weights]


def _by_class(pack: Pack, rows: Ints) -> Colouring:
    return by_class(pack.labels[rows], pack.meta.class_names)


def _by_part(pack: Pack, rows: Ints) -> Colouring:
    return Colouring(
        "Part", numbered_groups(SPLIT_NAMES[: len(SPLITS)]), pack.split[rows].astype(np.int64)
    )


def _by_answer(pack: Pack, rows: Ints) -> Colouring | None:
    runs = {run.id: run for run in runs_on(pack.meta.dataset)}
    if not runs:
        st.caption("No run on this data set has weights yet, so no picture has an answer.")
        return None
    run_id = st.selectbox(
        "Answers of",
        list(runs),
        format_func=run_labels(list(runs.values())).__getitem__,
        key=f"data_map_answers_{pack.meta.dataset}",
    )
    run = runs[run_id]
    groups = (
        quiet_group(NOT_ASKED),
        Group("Right", PALETTE[0], "circle"),
        Group("Wrong", PALETTE[1], "triangle"),
    )
    codes = np.zeros(len(pack), dtype=np.int64)
    try:
        for part in part_counts(run):
            predictions = predictions_of(default_checkpoint(run), part)
            if predictions is None:
                return None
            indices = predictions.indices
            # By the labels as they are now: a picture may have been relabelled since.
            names = np.array(pack.meta.class_names)[pack.labels[indices]]
            right = np.array(predictions.class_names)[predictions.predicted] == names
            codes[indices] = np.where(right, 1, 2)
    except LabError as error:
        st.warning(plain(str(error)), icon=":material/info:")
        return None
    st.caption(
        "The run is asked about validation and test pictures only: those that it trained on it "
        "would know by heart."
    )
    return Colouring("Answer", groups, codes[rows])


def _by_finding(pack: Pack, rows: Ints) -> Colouring | None:
    kinds: dict[str, str] = {}
    found: dict[int, str] = {}
    for check in CHECKS:
        outcome = result(pack, check.name)
        if outcome is None:
            continue
        for finding in outcome.findings:
            kinds.setdefault(finding.kind, check.kinds.get(finding.kind, finding.kind))
            # Copies are all suspicious; the neighbours of a label error only show why.
            for row in finding.rows if check.name == COPIES else (finding.row,):
                found.setdefault(row, finding.kind)
    if not found:
        st.caption("Nothing was found, or nothing was looked for yet: see the Check tab.")
        return None
    # With few groups the eye finds what is rare; a picture with several has the first one.
    titles = list(dict.fromkeys(kinds.values()))
    groups = (quiet_group(NOTHING), *numbered_groups(titles))
    codes = np.zeros(len(pack), dtype=np.int64)
    for row, kind in found.items():
        codes[row] = 1 + titles.index(kinds[kind])
    return Colouring("Found by the checks", groups, codes[rows])


CHOICES = {
    "class": ColourBy("Class", _by_class),
    "part": ColourBy("Part", _by_part),
    "answer": ColourBy("Right or wrong", _by_answer),
    "finding": ColourBy("Suspicion", _by_finding),
}
