"""Classify: your own pictures, an answer, and why."""

import streamlit as st

from lab.ui import classify_answers, classify_crop, classify_familiarity, classify_view
from lab.ui.classify_runs import choose
from lab.ui.classify_uploads import draw_uploader
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
    kept = classify_answers.basket()
    newer = classify_answers.find_weights(kept, asks)
    panel = classify_crop.draw(uploads, asks)
    kept.keep_only(uploads, asks, panel.cuts)
    complete = classify_answers.ask_all(kept, uploads, asks, panel.cuts)
    panel.draw_preview(kept, asks)
    classify_view.draw_problems(kept, uploads, asks)
    classify_answers.draw_newer(kept, newer)
    measured = classify_familiarity.known(asks)
    if uploads and complete:
        classify_familiarity.draw_status(kept, asks, measured)
    classify_view.draw_answers(kept, uploads, asks, panel.cuts, measured)
