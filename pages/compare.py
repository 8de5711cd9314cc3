"""Compare: any runs, laid over each other. The address names them (?runs=id,id,...)."""

import streamlit as st

from lab.errors import LabError
from lab.ui.compare.card import draw_card
from lab.ui.compare.choice import choose
from lab.ui.compare.curves import draw_curves
from lab.ui.compare.following import draw_following
from lab.ui.compare.knobs import draw_knobs, draw_question
from lab.ui.compare.mistakes import draw_mistakes
from lab.ui.compare.scores import draw_scores
from lab.ui.widgets.preload import preload_elements
from lab.ui.widgets.settings_table import draw_differences
from lab.ui.words import plain

page = st.container()
preload_elements()  # stands below but goes out first: the browser loads while the page is drawn
with page:
    st.title("Compare", anchor=False)
    chosen = choose()
    if not chosen:
        st.stop()
    draw_card(chosen)
    curves, scores, knobs, images = st.tabs(
        ["Curves", "Final results", "Settings and results", "Same images"],
        key="compare_tab",
        bind="query-params",
        on_change="rerun",
    )
    try:
        if curves.open:
            with curves:
                draw_curves(chosen)
                st.header("What differs in their settings", anchor=False)
                draw_differences([c.title for c in chosen], [c.row.settings for c in chosen])
                draw_question(chosen)
        if scores.open:
            with scores:
                draw_following(chosen, key="compare_scores_following")
                draw_scores(chosen)
        if knobs.open:
            with knobs:
                draw_following(chosen, key="compare_knobs_following")
                draw_knobs(chosen)
        if images.open:
            with images:
                draw_mistakes(chosen)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
