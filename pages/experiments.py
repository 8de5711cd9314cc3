"""Experiments: the documents' experiments by question, and sweeps over any knob."""

import streamlit as st

from lab.errors import LabError
from lab.ui.experiments.recipes import draw_recipes
from lab.ui.experiments.sweep import draw_sweep

st.title("Experiments", anchor=False)
st.markdown(
    "One run answers little; comparing teaches. **Recipes** are the documents' experiments, one "
    "click each, with their results beside the document's. A **sweep** trains the same network "
    "again and again while some knobs change."
)
if "sweep" in st.query_params:  # a link to one sweep
    st.session_state.setdefault("experiments_tab", "Sweep")
recipes, sweep = st.tabs(["Recipes", "Sweep"], key="experiments_tab", on_change="rerun")
try:
    if recipes.open:
        with recipes:
            draw_recipes()
    if sweep.open:
        with sweep:
            draw_sweep()
except LabError as error:
    st.error(str(error), icon=":material/error:")
