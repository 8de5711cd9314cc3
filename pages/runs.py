"""Runs: find a run again, look at it and its results, start it again."""

import streamlit as st

from lab.ui import run_table
from lab.ui.entrance import require_entrance
from lab.ui.film_strip import draw_film_strip
from lab.ui.health_view import draw_gradient_health
from lab.ui.live import live_view
from lab.ui.preload import preload_elements
from lab.ui.results import draw_results
from lab.ui.verdict_view import draw_verdicts

require_entrance()
st.title("Runs", anchor=False)
run_table.draw_queue()
run = run_table.draw_table()
if run is not None:
    run_table.draw_actions(run)
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
            run_table.draw_settings(run)
