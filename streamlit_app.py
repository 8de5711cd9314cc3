"""The entrance: the server, with pages and API on one port, and the script of a visitor's session.

`streamlit run` imports this file for `app`; each session then runs it as its script.
"""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lab.ui.entrance import run_page
from lab.ui.server import lifespan, middleware, routes

if get_script_run_ctx(suppress_warning=True) is None:
    app = st.App(__file__, middleware=middleware(), routes=routes(), lifespan=lifespan)
else:
    run_page()
