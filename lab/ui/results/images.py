"""The Results tab's confusion matrix and the images behind it, each with a link to Inspect.

One fragment: a click on a cell or another page of images redraws this and nothing else.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from lab.charts.confusion import confusion_matrix, confusion_matrix_alt
from lab.data import probes
from lab.data.pack import Pack
from lab.errors import LabError
from lab.evaluate.predictions import Predictions
from lab.evaluate.report import Report, cell, most_frequent_error, ordered
from lab.ui.widgets.edits import draw_label_is_wrong, editable_rows
from lab.ui.widgets.matrix import choose_share, draw_matrix
from lab.ui.widgets.pictures import PER_PAGE, enlarge
from lab.ui.widgets.pin_button import draw_pin_button
from lab.ui.words import plain
from lab.words import probability

MATRIX_WIDTH = 880
"""The largest width in pixels; wider cells would be stripes."""
CARD_WIDTH = 150
IMAGE_WIDTH = 128

CELL = "cell"
LISTS = {
    CELL: "A cell of the matrix",
    "worst": "Worst first",
    "confident_wrong": "Most confident wrong",
    "least_sure": "Least sure",
}
STORIES = {
    "worst": "All images, those with the highest loss first: the true class was given the "
    "smallest probability.",
    "confident_wrong": "The wrong answers, those given with the highest probability first.",
    "least_sure": "All images, those answered with the lowest probability first, right or wrong.",
}


@st.fragment
def draw_matrix_and_images(
    run_id: str, predictions: Predictions, report: Report, pack: Pack | None, *, dataset: str
) -> None:
    """Draws the matrix, and the images behind a cell or list unless `pack` is None (deleted)."""
    names = predictions.class_names
    true_key, predicted_key = f"results_true_{run_id}", f"results_predicted_{run_id}"
    first = most_frequent_error(report.matrix) or (0, 0)
    st.session_state.setdefault(true_key, first[0])
    st.session_state.setdefault(predicted_key, first[1])
    st.session_state.setdefault(f"results_list_{run_id}", CELL)
    st.header("Which class is taken for which", anchor=False)
    share = choose_share(key="results_share")
    chosen = (st.session_state[true_key], st.session_state[predicted_key])
    with st.container(width=MATRIX_WIDTH):
        draw_matrix(
            confusion_matrix(report.matrix, names, share=share, chosen=chosen),
            key=f"results_matrix_{run_id}",
            alt=confusion_matrix_alt(report.matrix, names),
            on_cell=partial(_select_cell, run_id),
        )
    st.caption(
        "A row is a true class, a column an answer; right answers lie on the diagonal. The darker, "
        "the larger the share of its row. Click a cell, or choose it below, to see its images."
    )
    shown = st.segmented_control(
        "Images",
        list(LISTS),
        format_func=LISTS.__getitem__,
        key=f"results_list_{run_id}",
        required=True,
    )
    if shown == CELL:
        with st.container(horizontal=True):
            for label, key in (("True class", true_key), ("Predicted class", predicted_key)):
                st.selectbox(
                    label, range(len(names)), format_func=names.__getitem__, key=key, width=220
                )
    if pack is not None:
        _draw_images(run_id, predictions, pack, shown or CELL, chosen=chosen, dataset=dataset)


def _select_cell(run_id: str, cell: tuple[int, int]) -> None:
    """The callback of a click on the matrix: puts the cell into the select boxes."""
    st.session_state[f"results_true_{run_id}"], st.session_state[f"results_predicted_{run_id}"] = (
        cell
    )
    st.session_state[f"results_list_{run_id}"] = CELL


def _draw_images(
    run_id: str,
    predictions: Predictions,
    pack: Pack,
    shown: str,
    *,
    chosen: tuple[int, int],
    dataset: str,
) -> None:
    names = predictions.class_names
    true, predicted = (plain(names[label]) for label in chosen)
    if shown == CELL:
        positions = cell(predictions, *chosen)
        title = (
            f"{true}, predicted right"
            if chosen[0] == chosen[1]
            else f"{true} taken for {predicted}"
        )
    else:
        positions = ordered(predictions, shown)  # type: ignore[arg-type]
        title = LISTS[shown].lower()
    if not len(positions):
        st.caption(f"No image: {title}.")
        return
    if shown != CELL:
        st.caption(STORIES[shown])
    slot = st.container()
    pages = -(-len(positions) // PER_PAGE)
    where = f"{predictions.checkpoint}_{predictions.split}_{shown}_{chosen[0]}_{chosen[1]}"
    page = st.pagination(pages, key=f"results_page_{run_id}_{where}") if pages > 1 else 1
    first = (page - 1) * PER_PAGE
    part = positions[first : first + PER_PAGE]
    st.caption(f"{first + 1:,} to {first + len(part):,} of {len(positions):,} images: {title}.")
    try:
        pinned = set(probes.probes(dataset))
    except LabError:  # the data set was removed a moment ago
        pinned = set()
    editable = editable_rows(pack)
    with slot, st.grid("auto", min_column_width=CARD_WIDTH, gap="small"):
        for position in part.tolist():
            _draw_card(run_id, predictions, pack, position, pinned, dataset, editable)


def _draw_card(
    run_id: str,
    predictions: Predictions,
    pack: Pack,
    position: int,
    pinned: set[int],
    dataset: str,
    editable: int,
) -> None:
    index = int(predictions.indices[position])
    answer, alt = _answer(predictions, position, pack.names[index])
    with st.container(border=True, gap="xxsmall"):
        st.image(enlarge(pack.images[index]), width=IMAGE_WIDTH, alt=alt)
        st.caption(answer, help=plain(pack.names[index]))
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.page_link(
                "pages/inspect.py",
                label="Inspect",
                icon="",
                help="Where the network looks in this image.",
                query_params={
                    "run": run_id,
                    "image": str(index),
                    "checkpoint": predictions.checkpoint,
                },
            )
            draw_pin_button(dataset, index, key=f"results_pin_{index}", pinned=index in pinned)
        predicted = int(predictions.probabilities[position].argmax())
        if index < editable and predicted != predictions.labels[position]:
            names = predictions.class_names
            draw_label_is_wrong(pack, index, names, names[predicted], key=f"results_wrong_{index}")


def _answer(predictions: Predictions, position: int, name: str) -> tuple[str, str]:
    """Returns the network's answer to an image as its caption and its alternative text."""
    names, shares = predictions.class_names, predictions.probabilities[position]
    true, answer = int(predictions.labels[position]), int(shares.argmax())
    true_name, answer_name = plain(names[true]), plain(names[answer])
    if true == answer:
        text = f":material/check: **{true_name} {probability(shares[true])}**"
    else:
        text = (
            f":material/close: **{answer_name} {probability(shares[answer])}**  \n"
            f"true: {true_name} {probability(shares[true])}"
        )
    alt = f"{name}: {names[true]}, predicted {names[answer]} with {probability(shares[answer])}"
    return text, alt
