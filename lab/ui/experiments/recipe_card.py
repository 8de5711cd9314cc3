"""One recipe as a card: a picture of the result to expect, its question, a button, the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from lab.experiments.recipes.book import recipe
from lab.experiments.recipes.recipe import Recipe, prepare
from lab.experiments.recipes.results import Result, answer, answered, newest_results
from lab.runs.store import store
from lab.ui.experiments.machine import Machine, is_rough
from lab.ui.experiments.recipe_details import queue_button, show_details
from lab.ui.experiments.recipe_picture import draw_picture
from lab.ui.words import plain, status_word
from lab.words import whole_percent

TICK = 2.0
"""Seconds between two refreshes while a run of the recipe is live."""


def draw_card(each: Recipe, results: Mapping[str, Sequence[Result]], machine: Machine) -> bool:
    """Draws the card; `results` are those of `newest_results`. Returns whether its time is only
    rough."""
    st.markdown(f"**{plain(each.asks)}**")
    live = _live(each, results)
    if live:
        st.fragment(run_every=TICK, key=f"experiments_live_{each.id}")(_tick)(each.id)
    else:
        _draw_state(each, results)
    runs = prepare(each, "quick")
    times = machine.times(runs)
    with st.container(horizontal=True, vertical_alignment="center"):
        again = "Try it again" if answered(each, results) else "Try it"
        queue_button(
            "quick",
            runs,
            times,
            key=f"experiments_quick_{each.id}",
            label=again,
            blocked="Its runs train or wait now." if live else "",
        )
        if st.button("Details", key=f"experiments_details_{each.id}", type="tertiary"):
            show_details(each, machine)
    return is_rough(times)


def _live(each: Recipe, results: Mapping[str, Sequence[Result]]) -> list[Result]:
    return [result for result in results[each.id] if result.run.is_live]


def _tick(recipe_id: str) -> None:
    each = recipe(recipe_id)
    results = newest_results(store())
    if not _live(each, results):
        st.rerun()  # once: the card rests again
    _draw_state(each, results)


def _draw_state(each: Recipe, results: Mapping[str, Sequence[Result]]) -> None:
    """Draws what changes while runs train: the picture, what they are at, the answer."""
    ended = answered(each, results)
    draw_picture(each, ended)
    live = _live(each, results)
    if live:
        st.caption(" · ".join(plain(_live_words(each, result)) for result in live))
        st.page_link(
            "pages/train.py",
            label="Watch it live",
            icon=":material/monitoring:",
            query_params={"run": live[0].run.id},
        )
    elif ended:
        st.markdown(plain(answer(each, ended)))


def _live_words(each: Recipe, result: Result) -> str:
    word = status_word(result.run.status)
    if result.run.status == "running":
        word += f" {whole_percent(result.run.progress)}"
    return f"{result.variant.title}: {word}" if len(each.variants) > 1 else word
