"""Train: watch the run in front; choose the knobs at the side."""

import streamlit as st

from lab.config import RunConfig
from lab.errors import LabError
from lab.ui.live.component import preload_live_view
from lab.ui.run.view import draw_run
from lab.ui.state import current_run
from lab.ui.train import assignment, form
from lab.ui.train.lr_finder import draw_lr_finder
from lab.ui.train.predict import draw_predict
from lab.ui.train.summary import draw_sharing, draw_summary
from lab.ui.words import plain

SIDEBAR_PIXELS = 380  # as wide as the form needs; on a phone it is closed at first

given = assignment.current_assignment()
run = current_run()
# Beside a run the settings step back; one press on the arrow opens them again.
st.set_page_config(initial_sidebar_state=SIDEBAR_PIXELS if run is None else "collapsed")
if run is not None:
    draw_run(run, is_title=True)
else:
    st.title(plain(given.title) if given else "Train", anchor=False)
    if given:
        assignment.draw_text(given)
    preload_live_view()


def draw_settings() -> RunConfig | LabError:
    """Draws the settings; returns what a press of Train would start."""
    st.header("Settings", anchor=False)
    with st.container():  # what follows keeps its place, and so a box its focus
        if given is None:
            form.of_run(run)
        elif run is not None:
            st.markdown(f"**{plain(given.title)}**")
            assignment.draw_text(given)
    button = st.container()
    if given is None:
        form.draw()
    else:
        assignment.draw_open_knobs(given)
    config = form.read(given)
    with button:
        form.draw_train_button(config, given)
        draw_lr_finder(config)
        draw_predict(config)
    if not isinstance(config, LabError):
        draw_sharing(config)
    return config


# An assignment has few settings: they stand on the page itself, where a phone shows them at once.
with st.container(width=520) if given and run is None else st.sidebar:
    if run is None:
        config = draw_settings()
    else:  # nothing else on the page depends on them, so a change draws the settings alone
        st.fragment(key="train_settings")(draw_settings)()

if run is None:
    st.header("What pressing Train will do", anchor=False)
    if isinstance(config, LabError):
        st.markdown(
            "Nothing yet: something in the settings does not fit. The red sentence below "
            "**Train**, in the settings, says what to change."
        )
    else:
        draw_summary(config)
