"""Runs: find a run again, look at it and its results, start it again."""

import streamlit as st

from lab.ui.results.view import draw_results
from lab.ui.run import table
from lab.ui.run.finished import draw_record
from lab.ui.run.take_away import draw_take_away
from lab.ui.run.view import draw_run
from lab.ui.widgets.preload import preload_elements
from lab.ui.widgets.running import draw_running

st.title("Runs", anchor=False)
draw_running(key="runs_running")
table.draw_queue()
run = table.draw_table()
draw_record()
if run is not None:
    table.draw_actions(run)
    view, results, settings, take_away = st.tabs(
        ["Run", "Results", "Settings", "Take it away"],
        key="runs_tab",
        bind="query-params",
        on_change="rerun",
    )
    if view.open:
        with view:
            draw_run(run)
        preload_elements()
    if results.open:
        with results:
            draw_results(run)
    if settings.open:
        with settings:
            table.draw_settings(run)
    if take_away.open:
        with take_away:
            draw_take_away(run)
