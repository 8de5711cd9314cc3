"""Home: what this is, three ready starts, and the run that is going on."""

import streamlit as st

from lab.ui import home
from lab.ui.entrance import require_entrance
from lab.ui.live.component import preload_live_view
from lab.ui.widgets.running import draw_running

require_entrance()
st.title("Trainscope", anchor=False)
st.markdown(
    "Train an image classifier and watch it learn: pick pictures, a network and its knobs, "
    "press Train, and the curves move while it works. Everything runs on this machine, "
    "and every run is kept for comparison."
)

draw_running(key="home_running")

st.subheader("Start with one click", anchor=False)
home.draw_cards()

st.subheader("Or go your own way", anchor=False)
with st.container(horizontal=True):
    st.page_link(
        "pages/data.py",
        label="Look at the data, add your own images",
        icon=":material/photo_library:",
    )
    st.page_link("pages/train.py", label="Choose every knob yourself", icon=":material/tune:")
    st.page_link("pages/runs.py", label="Find an earlier run", icon=":material/history:")
preload_live_view()
