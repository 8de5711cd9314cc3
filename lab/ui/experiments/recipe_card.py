"""One recipe as a card: a question, a picture of the result to expect, the answer, a button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from lab.experiments.recipes.recipe import Recipe, prepare
from lab.experiments.recipes.results import Result, answer, answered
from lab.ui.experiments.machine import Machine, is_rough
from lab.ui.experiments.recipe_details import queue_button, show_details
from lab.ui.experiments.recipe_picture import draw_picture
from lab.ui.experiments.recipe_progress import draw_progress
from lab.ui.words import plain


def draw_card(each: Recipe, results: Mapping[str, Sequence[Result]], machine: Machine) -> bool:
    """Draws the card; `results` are those of `newest_results`. Returns whether its time is only
    rough."""
    st.markdown(f"**{plain(each.asks)}**")
    ended = answered(each, results)
    draw_picture(each, ended)
    live = any(result.run.is_live for result in results[each.id]) and draw_progress(
        each, key=f"experiments_live_{each.id}"
    )
    if ended and not live:
        st.markdown(plain(answer(each, ended)))
    runs = prepare(each, "quick")
    times = machine.times(runs)
    with st.container(horizontal=True, vertical_alignment="center"):
        queue_button(
            "quick",
            runs,
            times,
            key=f"experiments_quick_{each.id}",
            label="Try it again" if ended else "Try it",
            blocked="Its runs train or wait now." if live else "",
        )
        if st.button("Details", key=f"experiments_details_{each.id}", type="tertiary"):
            show_details(each, machine)
    return is_rough(times)
