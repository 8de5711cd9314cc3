"""Board: what a class has reached, who trains now; the teacher's hand-outs and rules."""

import streamlit as st

from lab.people import current_person
from lab.ui.board import view
from lab.ui.board.hand_out import draw_assignments
from lab.ui.board.supervise import draw_rules, draw_runs

if view.is_projected():
    view.draw_projector()
else:
    st.title("Board", anchor=False)
    subject = view.draw_board()
    if current_person().is_admin:
        if subject:
            draw_runs(subject)
        draw_assignments()
        draw_rules()
