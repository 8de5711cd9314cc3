"""Train: choose the knobs on one side, watch the run on the other."""

import streamlit as st

from lab.errors import LabError
from lab.ui.entrance import require_entrance
from lab.ui.run.view import draw_run
from lab.ui.state import current_run
from lab.ui.train import form
from lab.ui.train.lr_finder import draw_lr_finder
from lab.ui.train.summary import draw_summary

SIDEBAR_PIXELS = 360  # as wide as the form needs; on a phone it is closed at first

require_entrance()
run = current_run()
# Beside a run the settings step back; one press on the arrow opens them again.
st.set_page_config(initial_sidebar_state=SIDEBAR_PIXELS if run is None else "collapsed")
if run is not None:
    draw_run(run)

with st.sidebar:
    st.subheader("Settings", anchor=False)
    button = st.container()
    form.draw()
    config = form.read()
    with button:
        form.draw_train_button(config)
        draw_lr_finder(config)

if run is None:
    st.subheader("What pressing Train will do", anchor=False)
    if isinstance(config, LabError):
        st.error(str(config), icon=":material/error:")
    else:
        draw_summary(config)
