"""Inspect, "Runs side by side", lower half: the images on which the runs disagree most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from lab.data.pack import Pack
from lab.errors import LabError
from lab.evaluate.opened import open_data
from lab.evaluate.side_by_side import Disagreement, disagreement
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.widgets.checkpoints import PART_WORDS, CheckpointChoice, choose_part
from lab.ui.widgets.pictures import enlarge
from lab.ui.widgets.predictions import predictions_of_all
from lab.ui.words import plain
from lab.words import percent, probability

PER_PAGE = 12
CARD_WIDTH = 170
IMAGE_WIDTH = 128


def draw_disagreements(choices: Mapping[str, CheckpointChoice], run_id: str) -> None:
    """Of two runs or more, by letter; those on another data set than the first are left out, named.

    Links keep looking at run `run_id`, if it is one of them.
    """
    st.markdown("**Where they disagree**")
    letter = next(iter(choices))
    first, run = CheckpointMetadata.read(choices[letter].folder), choices[letter].run
    same = {
        other: choice
        for other, choice in choices.items()
        if CheckpointMetadata.read(choice.folder).dataset_hash == first.dataset_hash
    }
    others = ", ".join(other for other in choices if other not in same)
    if others:
        st.caption(
            f"Left out here, as trained on another data set or version than {letter}: {others}."
        )
    if len(same) < 2:
        return
    part = choose_part(
        run,
        key=f"inspect_side_part_{run.id}",
        help="Validation images that all of these runs set aside, or the test images. Choosing the "
        "best of several runs by the test images makes their figure too good.",
    )
    if part is None:
        return
    try:
        predictions = predictions_of_all(same, part, place="inspect_side")
        if predictions is None:
            return
        comparison = disagreement(predictions)
        pack, _ = open_data(first)
    except LabError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return
    link = next((c for c in same.values() if c.run.id == run_id), choices[letter])
    _draw(same, comparison, pack, part, link={"run": link.run.id, "checkpoint": link.checkpoint})


def _draw(
    choices: Mapping[str, CheckpointChoice],
    comparison: Disagreement,
    pack: Pack,
    part: str,
    *,
    link: dict[str, str],
) -> None:
    letters = list(choices)
    count = int(comparison.differ.sum())
    st.markdown(_sentence(comparison, letters, count, part))
    slot = st.container()
    pages = -(-len(comparison) // PER_PAGE)
    page = 1
    if pages > 1:
        where = "_".join(choice.run.id for choice in choices.values())
        page = st.pagination(pages, key=f"inspect_side_page_{part}_{where}")
    start = (page - 1) * PER_PAGE
    with slot, st.grid("auto", min_column_width=CARD_WIDTH, gap="small"):
        for position in range(start, min(start + PER_PAGE, len(comparison))):
            _draw_card(letters, comparison, pack, position, link)
    st.caption(
        "Different answers first, then by how far apart the probabilities are (0%: the same, "
        "100%: nothing in common)."
    )


def _sentence(comparison: Disagreement, letters: Sequence[str], count: int, part: str) -> str:
    of = f"{len(comparison):,} {PART_WORDS[part]} images"
    if not count:
        return f"The runs give the same answer to all {of}; below are the most different ones."
    differ = comparison.differ
    right = ", ".join(
        f"{letter} right on {int((answers[differ] == comparison.labels[differ]).sum()):,}"
        for letter, answers in zip(letters, comparison.answers, strict=True)
    )
    share = percent(count / len(comparison))
    return f"The runs give different answers to **{count:,} of {of} ({share})**; of those {right}."


def _draw_card(
    letters: Sequence[str],
    comparison: Disagreement,
    pack: Pack,
    position: int,
    link: dict[str, str],
) -> None:
    names = pack.meta.class_names
    index = int(comparison.indices[position])
    label = int(comparison.labels[position])
    said = []
    for row, letter in enumerate(letters):
        answer = int(comparison.answers[row, position])
        icon = ":material/check:" if answer == label else ":material/close:"
        sure = probability(float(comparison.sure[row, position]))
        said.append(f"{icon} {letter}: {plain(names[answer])} {sure}")
    with st.container(border=True, gap="xxsmall"):
        st.image(
            enlarge(pack.images[index]),
            width=IMAGE_WIDTH,
            alt=f"{names[label]}, {pack.names[index]}",
        )
        st.caption(
            f"It is {plain(names[label])}; {percent(float(comparison.difference[position]))} apart"
        )
        st.markdown("  \n".join(said))
        st.page_link(
            "pages/inspect.py",
            label="Look at it",
            icon="",
            help="This image in all of Inspect.",
            query_params={**link, "image": str(index)},
        )
