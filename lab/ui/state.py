"""What a browser session holds: the id of the selected run, and the form's values.

The run id also stands in the URL as ?run=, so a reload, a bookmark or a colleague's browser shows
the same run. Everything else is in the store.
"""

from __future__ import annotations

import streamlit as st

from lab.config import KNOBS, RunConfig
from lab.errors import NotFoundError
from lab.runs.store import RunRow, store

RUN = "run"


def adopt_run_from_url() -> None:
    """Lets URL and session name one run: a page switch loses the URL's, a reload the session's."""
    in_url = st.query_params.get(RUN)
    if in_url:
        st.session_state[RUN] = in_url
    elif st.session_state.get(RUN):
        st.query_params[RUN] = st.session_state[RUN]


def look_at(run_id: str | None) -> None:
    """Selects `run_id`, or no run, for this session and its URL."""
    st.session_state[RUN] = run_id
    if run_id:
        st.query_params[RUN] = run_id
    else:
        st.query_params.pop(RUN, None)


def current_run() -> RunRow | None:
    """Returns the session's selected run; None when there is none or it was deleted."""
    run_id = st.session_state.get(RUN)
    if not run_id:
        return None
    try:
        return store().run(run_id)
    except NotFoundError:
        look_at(None)
        return None


def knob_key(name: str) -> str:
    """Returns the widget key of a knob on the Train page."""
    return f"train_{name}"


def fill_form(config: RunConfig) -> None:
    """Puts `config` into the Train page's form, before its widgets are drawn or in a callback."""
    for name in KNOBS:
        value = getattr(config, name)
        if KNOBS[name].kind == "ints":
            value = ", ".join(str(v) for v in value)
        st.session_state[knob_key(name)] = value
