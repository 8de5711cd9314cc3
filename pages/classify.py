"""Classify: your own pictures, an answer, and why."""

import streamlit as st

from lab.ui.classify import answers, crop, familiarity, view
from lab.ui.classify.runs import choose
from lab.ui.classify.uploads import draw_uploader
from lab.ui.entrance import require_entrance

require_entrance()
st.title("Classify", anchor=False)
st.markdown(
    "Show trained networks your own pictures: what they answer, how sure they are, and where they "
    "look."
)
choices = choose()
if choices:
    uploads = draw_uploader()
    state = answers.classify_state()
    newer = answers.find_newer_weights(state, choices)
    panel = crop.draw(uploads, choices)
    state.keep_only(uploads, choices, panel.cuts)
    complete = answers.ensure_answers(state, uploads, choices, panel.cuts)
    panel.draw_preview(state, choices)
    view.draw_problems(state, uploads, choices)
    answers.draw_newer_button(state, newer)
    familiarities = familiarity.measured_familiarities(state, choices)
    if uploads and complete:
        familiarity.draw_status(state, choices, familiarities)
    view.draw_answers(state, uploads, choices, panel.cuts, familiarities)
