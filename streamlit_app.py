"""The entrance: page frame, start-up, which run the session looks at; nothing else."""

import streamlit as st

from lab.errors import LabError
from lab.ui.entrance import enter, navigation
from lab.ui.startup import start_once
from lab.ui.state import adopt_run_from_url

page = navigation()
enter()
try:
    start_once()
    adopt_run_from_url()
    page.run()
except LabError as error:  # what a person can meet: a full disk, a folder that cannot be written
    st.error(str(error), icon=":material/error:")
