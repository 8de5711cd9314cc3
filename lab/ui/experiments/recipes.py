"""The recipes: the documents' experiments as cards, to filter by topic and document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from lab.data import catalog
from lab.errors import NotFoundError
from lab.experiments.recipes.book import DOCUMENTS, QUESTIONS, all_recipes, recipe
from lab.experiments.recipes.recipe import Recipe, network_choices
from lab.experiments.recipes.results import newest_results
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_ready
from lab.runs.store import store
from lab.ui.experiments.machine import draw_measuring, this_machine
from lab.ui.experiments.recipe_card import draw_card
from lab.ui.experiments.recipe_details import draw_details
from lab.ui.words import plain

ONE = "recipe"
"""The URL parameter of a single recipe: /experiments?recipe=cd-deep."""

NARROWEST_CARD = 330
"""Pixels: three cards side by side on a page of 1440, one on a phone."""


def draw_recipes() -> None:
    """Draws the cards, or the details of the recipe that the URL names."""
    with st.spinner("Looking at this machine"):  # the first time the engine is loaded for that
        machine = this_machine()
    one = _named_recipe()
    if one is not None:
        st.header(one.asks, anchor=False)
        draw_measuring(machine.device, rough=draw_details(one, machine))
        return
    shown = _choose()
    _draw_missing(shown)
    results = newest_results(store())
    rough = False
    grid = st.grid(3, min_column_width=NARROWEST_CARD, border=True)
    for each in shown:
        with grid.cell():
            rough |= draw_card(each, results, machine)
    draw_measuring(machine.device, rough=rough)


def _named_recipe() -> Recipe | None:
    """Returns the recipe of the URL; draws the way back to all of them."""
    name = st.query_params.get(ONE)
    if not name:
        return None
    try:
        one = recipe(name)
    except NotFoundError as error:
        st.error(plain(str(error)), icon=":material/link_off:")
        return None
    if st.button("All experiments", key="experiments_all", icon=":material/arrow_back:"):
        del st.query_params[ONE]
        st.rerun()
    return one


def _choose() -> Sequence[Recipe]:
    """Draws the filters; returns the recipes that pass."""
    topics = {question.key: question.topic for question in QUESTIONS}
    chosen = st.pills(
        "Topic",
        list(topics),
        format_func=topics.__getitem__,
        selection_mode="multi",
        key="experiments_questions",
        persist_state="session",
        help="None chosen: all of them.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        document = st.selectbox(
            "Document",
            list(DOCUMENTS),
            index=None,
            format_func=lambda key: DOCUMENTS[key].title,
            key="experiments_document",
            placeholder=f"All {len(DOCUMENTS)}",
            width=400,
            persist_state="session",
        )
        with st.popover("What the documents are", icon=":material/menu_book:"):
            _draw_documents()
    if len(chosen) == 1:
        st.caption(next(q.answer for q in QUESTIONS if q.key == chosen[0]))
    shown = [
        each
        for each in all_recipes()
        if (not chosen or each.question in chosen) and document in (None, each.document)
    ]
    if not shown:
        st.caption("This document has no experiment on this topic.")
    return shown


def _draw_documents() -> None:
    lines = [
        f"1. **{document.title}**. {document.reference}. [{document.link_title}]({document.link})"
        for document in DOCUMENTS.values()
    ]
    st.markdown("\n".join(lines))


def _draw_missing(shown: Sequence[Recipe]) -> None:
    """Tells once which pictures and weights of these recipes are not on this machine."""
    infos = [catalog.describe(name) for name in dict.fromkeys(r.datasets[0] for r in shown)]
    absent = [info.title for info in infos if not info.usable]
    sentences = []
    if absent:
        sentences.append(
            f"Drawings stand in for {_listed(absent)}; the Data page says how to get them."
        )
    networks = [
        (ARCHITECTURES.get(each.networks[0]), network_choices(each)[0])
        for each in shown
        if each.networks
    ]
    lacking = {spec.title: first for spec, first in networks if not weights_ready(spec)}
    if lacking:
        stand_in = ARCHITECTURES.get(next(iter(lacking.values())))
        sentences.append(
            f"The ImageNet weights of {_listed(lacking)} are not on this machine: "
            + (
                f"{stand_in.title} stands in."
                if weights_ready(stand_in)
                else "they are downloaded when a run needs them."
            )
        )
    if sentences:
        st.caption(" ".join(sentences))


def _listed(titles: Iterable[str]) -> str:
    return " and ".join(f"“{plain(title)}”" for title in titles)
