"""Runs: find a run again, look at it, start it again."""

import streamlit as st

from lab.ui import run_table
from lab.ui.entrance import require_entrance
from lab.ui.live import live_view

require_entrance()
st.title("Runs", anchor=False)
run_table.draw_queue()
run = run_table.draw_table()
if run is not None:
    run_table.draw_actions(run)
    live_view(run)
    run_table.draw_settings(run)
