"""The runs of a recipe that train or wait, as bars that move by themselves."""

from __future__ import annotations

from functools import partial

import streamlit as st

from lab.api.panels import Panel, bar
from lab.experiments.recipes.book import recipe
from lab.experiments.recipes.recipe import Recipe
from lab.runs.status import ACTIVE
from lab.runs.store import RunRow, store
from lab.ui.live.panel import live_panel
from lab.ui.words import status_word
from lab.words import whole_percent


def draw_progress(each: Recipe, *, key: str) -> bool:
    """Draws a bar a live run, with a link to it; returns whether there is one. The page runs again
    when a run begins or ends."""
    runs = _live_runs(each.id)
    if not runs:
        return False
    live_panel(partial(_panel, each.id), key=key, live=True)
    st.page_link(
        "pages/train.py",
        label="Watch it live",
        icon=":material/monitoring:",
        query_params={"run": runs[0].id},
    )
    return True


def _live_runs(recipe_id: str) -> list[RunRow]:
    """The oldest first: that is the order in which they train."""
    return store().runs(
        status=(*ACTIVE, "queued"), origin=recipe(recipe_id).origin(), order="oldest"
    )


def _panel(recipe_id: str) -> Panel:
    """Returns the panel as it is now; also called by the event hub."""
    runs = _live_runs(recipe_id)
    titles = {variant.key: variant.title for variant in recipe(recipe_id).variants}
    blocks = []
    for run in runs:
        title = titles.get(run.origin.split(":")[-1], "")  # empty where there is only one
        words = status_word(run.status)
        if run.status == "running":
            words += f" {whole_percent(run.progress)}"
        share = run.progress if run.status in ACTIVE else 0.0
        blocks.append(bar(f"{title} · {words}" if title else words, share))
    return {"state": " ".join(f"{run.id} {run.status}" for run in runs), "blocks": blocks}
