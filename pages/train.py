"""Train: choose the knobs on one side, watch the run on the other."""

import streamlit as st

from lab.errors import LabError
from lab.ui.entrance import require_entrance
from lab.ui.run.film_strip import draw_film_strip
from lab.ui.run.health import draw_gradient_health
from lab.ui.run.live import live_view
from lab.ui.run.verdicts import draw_verdicts
from lab.ui.state import current_run
from lab.ui.train import form
from lab.ui.train.lr_finder import draw_lr_finder
from lab.ui.train.summary import draw_summary

require_entrance()
run = current_run()
view, settings = st.columns([2, 1], gap="large")

with view:
    if run is not None:
        live_view(run)  # first: a person waits for it more than for the rest

with settings:
    st.subheader("Settings", anchor=False)
    button = st.container()
    form.draw()
    config = form.read()
    with button:
        form.draw_train_button(config)
        draw_lr_finder(config)

with view:
    if run is not None:
        draw_verdicts(run)
        draw_film_strip(run)
        health = st.expander(
            "Gradient health: which layers learn",
            icon=":material/monitor_heart:",
            key="train_health",
            on_change="rerun",
        )
        if health.open:  # closed at first: a chart's code is large, and the live curves come first
            with health:
                draw_gradient_health(run, verdict=False)  # it stands under the curves
    st.subheader("What pressing Train will do", anchor=False)
    if isinstance(config, LabError):
        st.error(str(config), icon=":material/error:")
    else:
        draw_summary(config)
