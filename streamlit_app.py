"""The entrance: the list of pages and which run the session looks at; nothing else."""

import streamlit as st

from lab.errors import LabError
from lab.ui.startup import start_once
from lab.ui.state import adopt_run_from_url

st.set_page_config(page_title="Trainscope", page_icon="lab/ui/icon.svg", layout="wide")

page = st.navigation(
    [
        st.Page(
            "pages/home.py",
            title="Home",
            icon=":material/home:",
            default=True,
            help="What the lab is, and three ready starts.",
        ),
        st.Page(
            "pages/data.py",
            title="Data",
            icon=":material/photo_library:",
            help="Look at the data sets, add your own images, download public ones.",
        ),
        st.Page(
            "pages/train.py",
            title="Train",
            icon=":material/model_training:",
            help="Choose the knobs, press Train, watch the run live.",
        ),
        st.Page(
            "pages/runs.py",
            title="Runs",
            icon=":material/history:",
            help="All runs: find, compare, resume, rename, delete.",
        ),
    ],
    position="top",
)
try:
    start_once()
    adopt_run_from_url()
    page.run()
except LabError as error:  # what a person can meet: a full disk, a folder that cannot be written
    st.error(str(error), icon=":material/error:")
