"""Train: choose the knobs on one side, watch the run on the other."""

import streamlit as st

from lab.errors import LabError
from lab.ui import train_form
from lab.ui.live import live_view
from lab.ui.state import current_run
from lab.ui.train_summary import draw_summary

run = current_run()
view, settings = st.columns([2, 1], gap="large")

with settings:
    st.subheader("Settings", anchor=False)
    train_button = st.empty()
    train_form.draw()

with view:
    if run is not None:
        live_view(run)
    st.subheader("What pressing Train will do", anchor=False)
    try:
        config = train_form.read()
        draw_summary(config)
    except LabError as error:
        config = None
        st.error(str(error), icon=":material/error:")

with train_button:
    train_form.draw_train_button(config)
