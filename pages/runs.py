"""Runs: find a run again, look at it and its results, start it again."""

import streamlit as st

from lab.ui.entrance import require_entrance
from lab.ui.results.view import draw_results
from lab.ui.run import table
from lab.ui.run.film_strip import draw_film_strip
from lab.ui.run.health import draw_gradient_health
from lab.ui.run.live import live_view
from lab.ui.run.verdicts import draw_verdicts
from lab.ui.widgets.preload import preload_elements

require_entrance()
st.title("Runs", anchor=False)
table.draw_queue()
run = table.draw_table()
if run is not None:
    table.draw_actions(run)
    curves, results, strip, health, settings = st.tabs(
        ["Curves", "Results", "Film strip", "Gradient health", "Settings"],
        key="runs_tab",
        on_change="rerun",
    )
    if curves.open:
        with curves:
            live_view(run)
            draw_verdicts(run)
        preload_elements()
    if results.open:
        with results:
            draw_results(run)
    if strip.open:
        with strip:
            draw_film_strip(run)
    if health.open:
        with health:
            draw_gradient_health(run)
    if settings.open:
        with settings:
            table.draw_settings(run)
