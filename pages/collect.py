"""Collect: the class photographs a common data set with its phones."""

import streamlit as st

from lab.ui.collect import view

given = view.choose()
if given is None:
    st.title("Collect", anchor=False)
    view.draw_nothing()
else:
    taken = view.draw_head(given)
    if not given.closed:
        view.draw_camera(given, taken)
    view.draw_counts(given, taken)
    view.draw_pictures(given, taken)
