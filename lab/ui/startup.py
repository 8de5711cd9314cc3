"""What happens once in the life of a server, none of it in the way of the first page."""

from __future__ import annotations

import gc
import logging
import threading

import streamlit as st

from lab.data import catalog
from lab.errors import LabError
from lab.runs.queue import queue
from lab.ui.live_chart import ensure_plotly_js

log = logging.getLogger(__name__)


@st.cache_resource(show_spinner=False)
def start_once() -> None:
    """Start the queue, then warm up behind the first page.

    Cached by Streamlit for the life of the server: runs once, in the first session's script thread.
    """
    ensure_plotly_js()
    queue().start()
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up() -> None:
    """Runs in its own thread: draws the built-in data sets and imports the engine.

    Without it the first press of Train would wait for both. The freeze takes what was imported out
    of Python's garbage collections for good: scanning torch's objects costs a quarter of a second
    each time, with every thread waiting.
    """
    for name in ("drawn-cats-dogs", "drawn-signs"):
        try:
            catalog.open_pack(name)
        except LabError as error:
            log.warning("%s could not be prepared: %s", name, error)
    import lab.training.fit  # noqa: F401  (imports torch and torchvision)

    gc.collect()
    gc.freeze()
