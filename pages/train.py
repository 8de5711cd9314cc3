"""Train: choose the knobs on one side, watch the run on the other."""

import streamlit as st

from lab.errors import LabError
from lab.ui import train_form
from lab.ui.entrance import require_entrance
from lab.ui.film_strip import draw_film_strip
from lab.ui.health_view import draw_gradient_health
from lab.ui.live import live_view
from lab.ui.lr_finder_view import draw_lr_finder
from lab.ui.state import current_run
from lab.ui.train_summary import draw_summary
from lab.ui.verdict_view import draw_verdicts

require_entrance()
run = current_run()
view, settings = st.columns([2, 1], gap="large")

with view:
    if run is not None:
        live_view(run)  # first: of all on this page it is what a person waits for

with settings:
    st.subheader("Settings", anchor=False)
    button = st.container()
    train_form.draw()
    config = train_form.read()
    with button:
        train_form.draw_train_button(config)
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
