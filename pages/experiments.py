"""Experiments: the documents' experiments as cards, and sweeps over any setting."""

import streamlit as st

from lab.errors import LabError
from lab.experiments.recipes.book import DOCUMENTS, all_recipes
from lab.ui.experiments.recipes import draw_recipes
from lab.ui.experiments.sweep import draw_sweep
from lab.ui.widgets.links import MATTER
from lab.ui.words import plain

st.title("Experiments", anchor=False)
st.markdown(
    f"{len(all_recipes())} experiments from {len(DOCUMENTS)} published documents, one press each: "
    "your result stands beside the document's. A **sweep** trains one network many times while "
    "some settings change."
)
if MATTER in st.query_params:  # a link that asks whether a setting matters
    st.session_state["experiments_tab"] = "Sweep"
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
    st.error(plain(str(error)), icon=":material/error:")
