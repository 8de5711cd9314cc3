"""Inspect, "Runs side by side", lower half: the images on which the runs disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.runs.store import RunRow
from lab.ui.data.browse import enlarge
from lab.ui.results.view import PART_WORDS, PARTS, part_counts
from lab.ui.widgets.background import computed
from lab.ui.words import percent, plain, probability

if TYPE_CHECKING:  # they import torch, which a first page must not wait for
    from lab.data.pack import Pack
    from lab.evaluate.predictions import Predictions
    from lab.evaluate.side_by_side import Disagreement

Asked = tuple[str, RunRow, Path, str]
"""Letter, run, its folder, checkpoint."""

PER_PAGE = 12
CARD_WIDTH = 170
IMAGE_WIDTH = 128


def draw_disagreements(asked: Sequence[Asked], run_id: str) -> None:
    """Of two runs or more; those on another data set than the first are left out, and named.

    Links keep looking at run `run_id`, if it is one of them.
    """
    from lab.evaluate.opened import open_data
    from lab.evaluate.side_by_side import disagreement
    from lab.training.checkpoint import NetworkCard

    st.markdown("**Where they disagree**")
    first = NetworkCard.read(asked[0][2])
    same = [a for a in asked if NetworkCard.read(a[2]).dataset_hash == first.dataset_hash]
    others = [letter for letter, *_ in asked if letter not in [a[0] for a in same]]
    if others:
        st.caption(
            f"Left out here, as trained on other images than {asked[0][0]}: {', '.join(others)}."
        )
    if len(same) < 2:
        return
    run = same[0][1]
    parts = list(part_counts(run))
    if not parts:
        st.caption("These runs have neither validation nor test images.")
        return
    part = st.segmented_control(
        "Images of the part",
        parts,
        default=parts[-1],
        format_func=PARTS.__getitem__,
        key=f"inspect_side_part_{run.id}",
        required=True,
        help="Validation images that all of these runs set aside, or the test images. Choosing the "
        "best of several runs by the test images makes their figure too good.",
    )
    try:
        predictions = answers_of(same, part, place="inspect_side")
        if predictions is None:
            return
        found = disagreement(predictions)
        pack, _ = open_data(first)
    except LabError as error:
        st.warning(str(error), icon=":material/warning:")
        return
    link = next((a for a in same if a[1].id == run_id), same[0])
    _draw(same, found, pack, part, link={"run": link[1].id, "checkpoint": link[3]})


def answers_of(asked: Sequence[Asked], part: str, *, place: str) -> list[Predictions] | None:
    """Of all runs; None, with a button or a progress bar, while some have not answered yet.

    `place` begins the button's key: "<page>_<where>"."""
    from lab import jobs
    from lab.evaluate.opened import checkpoint_identity
    from lab.evaluate.predictions import predict, saved_predictions

    def saved() -> list[Predictions | None]:
        # A run in training has newer weights after each epoch; its last answers will do.
        return [
            saved_predictions(folder, checkpoint, part, outdated=run.is_live)
            for _, run, folder, checkpoint in asked
        ]

    found = saved()
    missing = [a for a, there in zip(asked, found, strict=True) if there is None]
    if missing:
        what = [
            (run.id, name, "live" if run.is_live else checkpoint_identity(folder, name))
            for _, run, folder, name in missing
        ]
        key = f"side-predict:{part}:{what}"
        who = ", ".join(f"{letter} ({plain(run.name)})" for letter, run, *_ in missing)
        images = missing[0][1].val_samples if part == "val" else missing[0][1].test_samples
        if jobs.latest(key) is None:
            slot = st.empty()  # what is done at once leaves no button behind
            with slot.container():
                st.caption(
                    f"Not asked yet about the {images or 0:,} {PART_WORDS[part]} images: "
                    f"{who}. That is done once, in the background, and then kept."
                )
                if not st.button("Ask them", key=f"{place}_ask", icon=":material/play_arrow:"):
                    return None
            slot.empty()

        def work(report: Report, cancel: Cancel) -> int:
            return sum(
                len(predict(folder, checkpoint, part, progress=report, cancel=cancel))
                for _, _, folder, checkpoint in missing
            )

        if computed(key, f"Asking {who}", work, kind="predict") is None:
            return None
        found = saved()
    if any(each is None for each in found):  # a folder was tidied, or weights written since
        st.warning("Some answers are no longer there. Open the run's results to make them again.")
        return None
    return [each for each in found if each is not None]


def _draw(
    asked: Sequence[Asked], found: Disagreement, pack: Pack, part: str, *, link: dict[str, str]
) -> None:
    letters = [letter for letter, *_ in asked]
    count = int(found.differ.sum())
    st.markdown(_sentence(found, letters, count, part))
    slot = st.container()
    pages = -(-len(found) // PER_PAGE)
    page = 1
    if pages > 1:
        where = "_".join(run.id for _, run, *_ in asked)
        page = st.pagination(pages, key=f"inspect_side_page_{part}_{where}")
    start = (page - 1) * PER_PAGE
    with slot, st.grid("auto", min_column_width=CARD_WIDTH, gap="small"):
        for position in range(start, min(start + PER_PAGE, len(found))):
            _draw_card(letters, found, pack, position, link)
    st.caption(
        "Different answers first, then by how far apart the probabilities are (0 %: the same, "
        "100 %: nothing in common)."
    )


def _sentence(found: Disagreement, letters: Sequence[str], count: int, part: str) -> str:
    of = f"{len(found):,} {PART_WORDS[part]} images"
    if not count:
        return f"The runs give the same answer to all {of}; below are the most different ones."
    differ = found.differ
    right = ", ".join(
        f"{letter} right on {int((answers[differ] == found.labels[differ]).sum()):,}"
        for letter, answers in zip(letters, found.answers, strict=True)
    )
    return (
        f"The runs give different answers to **{count:,} of {of} ({percent(count / len(found))})**;"
        f" of those {right}."
    )


def _draw_card(
    letters: Sequence[str], found: Disagreement, pack: Pack, position: int, link: dict[str, str]
) -> None:
    names = pack.meta.class_names
    index = int(found.indices[position])
    label = int(found.labels[position])
    said = []
    for row, letter in enumerate(letters):
        answer = int(found.answers[row, position])
        icon = ":material/check:" if answer == label else ":material/close:"
        sure = probability(float(found.sure[row, position]))
        said.append(f"{icon} {letter}: {plain(names[answer])} {sure}")
    with st.container(border=True, gap="xxsmall"):
        st.image(
            enlarge(pack.images[index]),
            width=IMAGE_WIDTH,
            alt=f"{names[label]}, {pack.names[index]}",
        )
        st.caption(
            f"It is {plain(names[label])}; {percent(float(found.difference[position]))} apart"
        )
        st.markdown("  \n".join(said))
        st.page_link(
            "pages/inspect.py",
            label="Look at it",
            icon="",
            help="This image in all of Inspect.",
            query_params={**link, "image": str(index)},
        )
