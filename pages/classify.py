"""Classify: your own pictures, an answer, and why."""

import streamlit as st

from lab.ui.classify import answers, crop, familiarity, view
from lab.ui.classify.runs import choose
from lab.ui.classify.uploads import draw_uploader
from lab.ui.entrance import require_entrance

require_entrance()
st.title("Classify", anchor=False)
st.markdown(
    "Show trained networks your own pictures: what they say, how sure they are, and where they "
    "look."
)
asks = choose()
if asks:
    uploads = draw_uploader()
    kept = answers.basket()
    newer = answers.find_weights(kept, asks)
    panel = crop.draw(uploads, asks)
    kept.keep_only(uploads, asks, panel.cuts)
    complete = answers.ask_all(kept, uploads, asks, panel.cuts)
    panel.draw_preview(kept, asks)
    view.draw_problems(kept, uploads, asks)
    answers.draw_newer(kept, newer)
    measured = familiarity.known(asks)
    if uploads and complete:
        familiarity.draw_status(kept, asks, measured)
    view.draw_answers(kept, uploads, asks, panel.cuts, measured)
