"""The list of pages, and the frame that every page stands in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from lab.data.photo_collections import collections
from lab.errors import LabError
from lab.people import has_sign_in
from lab.runs.assignments import assignments
from lab.runs.store import store
from lab.ui.words import plain

_ICON = str(Path(__file__).with_name("icon.svg"))
_STYLE = Path(__file__).with_name("frame.css")


class Page(NamedTuple):
    """One page of the lab, in `pages/<name>.py`."""

    name: str
    title: str
    icon: str
    """Its name in Google's Material Symbols."""
    help: str
    hidden: bool = False
    """Whether it stands in no menu: other pages link to it, and its address can be shared."""


PAGES = (
    Page("home", "Home", "home", "What the lab is, and three ready starts."),
    Page(
        "data",
        "Data",
        "photo_library",
        "Look at the data sets, add your own images, download public ones.",
    ),
    Page(
        "train", "Train", "model_training", "Choose the settings, press Train, watch the run live."
    ),
    Page(
        "experiments",
        "Experiments",
        "science",
        "The documents' experiments, one click each, and sweeps over any setting.",
    ),
    Page("runs", "Runs", "history", "All runs: find, test, resume, rename, delete."),
    Page(
        "compare",
        "Compare",
        "compare_arrows",
        "Several runs: their curves, results and mistakes side by side.",
    ),
    Page("inspect", "Inspect", "frame_inspect", "Where a network looks and what its layers see."),
    Page("classify", "Classify", "image_search", "Your own pictures: an answer, and why."),
    Page(
        "board",
        "Board",
        "leaderboard",
        "A class: who trains what, and what each person has reached.",
        hidden=True,
    ),
    Page(
        "collect",
        "Collect",
        "photo_camera",
        "Photographs that the class takes with its phones, for a common data set.",
        hidden=True,
    ),
    Page(
        "storage",
        "Storage",
        "hard_drive",
        "What the lab keeps on the disk, and what can be cleaned.",
        hidden=True,
    ),
    Page(
        "proof",
        "Proof",
        "balance",
        "Whether cleaning a data set helped.",
        hidden=True,
    ),
)
"""In the order of the navigation. To add a page, add it here; the first one is the default."""


def run_page() -> None:
    """Runs the page that the URL names, in the lab's frame; starts the lab at the first call."""
    from lab.ui.startup import start_once
    from lab.ui.state import adopt_run_from_url
    from lab.ui.visitor import draw_visitor

    page = navigation()
    st.html(_STYLE)
    try:
        start_once()
        draw_visitor()
        adopt_run_from_url()
        page.run()
    except LabError as error:  # what a person can meet: a full disk, a folder not to be written
        st.error(plain(str(error)), icon=":material/error:")


def _in_use(page: Page) -> bool:
    """Whether a hidden page stands in the menu after all: the board of a class, an open
    collection."""
    try:
        if page.name == "board":
            return has_sign_in() or bool(assignments(store().database))
        return page.name == "collect" and any(not each.closed for each in collections())
    except LabError:  # the page says so
        return False


def navigation() -> StreamlitPage:
    """Returns the page that the URL names, in the lab's frame."""
    # An icon of our own: Streamlit would fetch a named one from the internet.
    st.set_page_config(page_title="Epochlab", page_icon=_ICON, layout="wide")
    return st.navigation(
        [
            st.Page(
                f"pages/{page.name}.py",
                title=page.title,
                icon=f":material/{page.icon}:",
                default=page is PAGES[0],
                visibility="hidden" if page.hidden and not _in_use(page) else "visible",
                help=page.help,
            )
            for page in PAGES
        ],
        position="top",
    )
