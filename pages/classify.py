"""Classify: your own pictures, an answer, and why."""

import streamlit as st

from lab.ui.classify import answers, familiarity, how_sure, put_right, view
from lab.ui.classify.camera import draw_camera
from lab.ui.classify.runs import choose
from lab.ui.classify.uploads import draw_test_pictures, draw_uploader, upload_list

st.title("Classify", anchor=False)
st.markdown("Show trained networks your own pictures: what they answer, and where they look.")
choices = choose()
if choices:
    pictures = upload_list()
    draw_uploader()
    draw_camera(choices)
    if not pictures.uploads:
        draw_test_pictures(choices[0])
    state = answers.classify_state()
    newer = answers.find_newer_weights(state, choices)
    state.keep_only(pictures.uploads, choices)
    complete = answers.ensure_answers(state, pictures.uploads, choices)
    view.draw_problems(state, pictures, choices)
    answers.draw_newer_button(state, newer)
    familiarity.find_measured(state, choices)
    if pictures.uploads:
        how_sure.draw_switches(state, choices)
    view.draw_answers(state, pictures, choices)
    put_right.draw_put_right(state, pictures, choices)
    if pictures.uploads and complete:
        familiarity.draw_status(state, choices)
