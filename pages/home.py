"""Home: what this is, three ready starts, the run that is going on, and the newest ones."""

import streamlit as st

from lab.ui import home
from lab.ui.live.component import preload_live_view
from lab.ui.widgets.running import draw_running

st.title("Epochlab", anchor=False)
st.markdown("Train an image classifier and watch it learn.")

draw_running(key="home_running")

st.header("Start with one click", anchor=False)
home.draw_cards()
home.draw_newest()
home.draw_ways()
preload_live_view()
