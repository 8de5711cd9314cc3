"""Has the browser load code while a person still reads, so that the next click does not wait.

Streamlit fetches the code of a chart or a table when a page first shows one. For Plotly that is
4.7 MB, over a second of a click on Results; asked for from an idle page it costs nobody anything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st

ELEMENTS = ("PlotlyChart", "DataFrame")
"""Streamlit's names of the elements whose code is worth loading ahead."""

_preload = st.components.v2.component(
    "epochlab_preload",
    isolate_styles=False,
    html="<span></span>",
    js="""
    export default ({ data }) => {
      const whenIdle = window.requestIdleCallback ?? setTimeout
      // A failure does not matter: Streamlit loads the file itself when it needs it.
      const load = (url) => import(new URL(url, document.baseURI).href).catch(() => {})
      whenIdle(async () => {
        for (const url of data.modules) await load(url)
      })
    }
    """,
)


def preload_elements() -> None:
    """Let the browser load the code of charts and tables when it has nothing else to do."""
    _preload(key="preload_elements", data={"modules": list(_modules())})


@cache
def _modules() -> tuple[str, ...]:
    """Returns the relative URLs of the elements' code; none where Streamlit names it otherwise.

    The file names carry a hash, so they are searched for.
    """
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    matches = (sorted(folder.glob(f"{name}.*.js")) for name in ELEMENTS)
    return tuple(f"static/js/{files[0].name}" for files in matches if len(files) == 1)
