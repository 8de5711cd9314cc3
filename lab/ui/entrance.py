"""The list of pages, and how a page makes sure that it was entered through streamlit_app.py."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

_ENTERED = "entered"
_ICON = str(Path(__file__).with_name("icon.svg"))


def navigation() -> StreamlitPage:
    """The page that the URL asks for, in the lab's frame. To add a page, add it here."""
    # An icon of our own: Streamlit would fetch a named one from the internet.
    st.set_page_config(page_title="Trainscope", page_icon=_ICON, layout="wide")
    return st.navigation(
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
                "pages/experiments.py",
                title="Experiments",
                icon=":material/science:",
                help="The documents' experiments, one click each, and sweeps over any knob.",
            ),
            st.Page(
                "pages/runs.py",
                title="Runs",
                icon=":material/history:",
                help="All runs: find, test, resume, rename, delete.",
            ),
            st.Page(
                "pages/compare.py",
                title="Compare",
                icon=":material/compare_arrows:",
                help="Several runs: their curves, figures and mistakes side by side.",
            ),
            st.Page(
                "pages/inspect.py",
                title="Inspect",
                icon=":material/frame_inspect:",
                help="Where a network looks and what its layers see.",
            ),
            st.Page(
                "pages/classify.py",
                title="Classify",
                icon=":material/image_search:",
                help="Your own pictures: an answer, and why.",
            ),
        ],
        position="top",
    )


def enter() -> None:
    """Called by the entrance at every run."""
    st.session_state[_ENTERED] = True


def require_entrance() -> None:
    """The first line of every page.

    Streamlit's old rule for a folder named pages/ runs a page alone, without the entrance, until
    somebody calls st.navigation in that server for the first time. So a link such as /train?run=...
    opened right after a restart would show a page without its run. Calling it ends the old rule.
    """
    if _ENTERED not in st.session_state:
        navigation()
        st.rerun()
