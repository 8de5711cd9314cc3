"""What a browser session holds: the id of the selected run, and the form's values.

The run id also stands in the URL as ?run=, so a reload, a bookmark or a colleague's browser shows
the same run. Everything else is in the store.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from lab.config import KNOBS, RunConfig
from lab.errors import NotFoundError
from lab.runs.store import RunRow, store
from lab.ui.words import plain

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
    """Returns the session's selected run; None when there is none, or when it is not there: then it
    says so in a sentence."""
    run_id = st.session_state.get(RUN)
    if not run_id:
        return None
    try:
        return store().run(run_id)
    except NotFoundError:
        look_at(None)
        st.warning(
            f"There is no run {plain(run_id)} here: it was deleted, or the link is of another lab. "
            "The Runs page lists all that there are.",
            icon=":material/link_off:",
        )
        return None


# --- the Train page's form ----------------------------------------------------------------------
_FORM_RUN = "train_form_run"
"""The session's key of the run whose settings the form was filled with; None: of no run."""
_TOUCHED = "train_touched"
"""The session's key of the knobs that the person changed since the form was filled."""


def knob_key(name: str) -> str:
    """Returns the widget key of a knob on the Train page."""
    return f"train_{name}"


def fill_form(
    config: RunConfig, *, run_id: str | None = None, touched: frozenset[str] = frozenset()
) -> None:
    """Puts `config` into the Train page's form, before its widgets are drawn or in a callback.

    `run_id`: the run that these are the settings of. `touched`: the knobs that count as the
    person's own choice, which defaults for another data set leave alone.
    """
    for name, knob in KNOBS.items():
        st.session_state[knob_key(name)] = knob.to_widget(getattr(config, name))
    st.session_state[_FORM_RUN] = run_id
    st.session_state[_TOUCHED] = touched


def change_form(*, touches: bool = True, **knobs: Any) -> None:
    """A button's callback: puts these values into the form, as the person's own choice unless
    `touches` is False."""
    for name, value in knobs.items():
        st.session_state[knob_key(name)] = KNOBS[name].to_widget(value)
        if touches:
            touch(name)


def touch(name: str) -> None:
    """Notes that the person changed a knob."""
    st.session_state[_TOUCHED] = touched() | {name}


def touched() -> frozenset[str]:
    """Returns the knobs that the person changed since the form was filled."""
    return frozenset(st.session_state.get(_TOUCHED, ()))


def form_run() -> str | None:
    """Returns the id of the run whose settings the form was filled with."""
    run_id: str | None = st.session_state.get(_FORM_RUN)
    return run_id


def release_form() -> None:
    """Lets the next run that is opened fill the form: what the person chose was used."""
    st.session_state[_FORM_RUN] = None
    st.session_state[_TOUCHED] = frozenset()
