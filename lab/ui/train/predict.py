"""Train, "Predict first": what a person expects of the run that a press of Train will start."""

from __future__ import annotations

from typing import Any

import streamlit as st

from lab.config import RunConfig
from lab.errors import LabError
from lab.evaluate.verdicts.judge import TITLES
from lab.experiments.forecasts import SURE, Forecast, checked
from lab.runs.store import store
from lab.ui.words import plain
from lab.words import percent

KEY = "train_predict"
_FIELDS = ("low", "high", "rival", "wins", "verdict", "fires")
RIVALS = 20
"""Runs that may be chosen to win against: the newest on the same data."""


def draw_predict(config: RunConfig | LabError) -> None:
    """Draws the expander; what is written in it is kept with the next run that is started."""
    with st.expander(
        "Predict first", icon=":material/psychology_alt:", key=KEY, on_change="rerun"
    ) as expander:
        if expander.open and not isinstance(config, LabError):
            _draw(config)


def _draw(config: RunConfig) -> None:
    st.caption(
        "Only if you like: write down what will happen. It is kept with the run and scored when "
        "the run has ended."
    )
    low, high = st.columns(2, vertical_alignment="bottom")
    box: dict[str, Any] = {
        "min_value": 0.0, "max_value": 100.0, "step": 1.0, "format": "%.1f", "placeholder": "%",
        "persist_state": "session",
    }  # fmt: skip
    with low:
        st.number_input(
            "Accuracy from (%)", value=None, key=_key("low"), **box,
            help=f"A range of which you are {SURE:.0%} sure: of ten such ranges eight should hold.",
        )  # fmt: skip
    with high:
        st.number_input("to (%)", value=None, key=_key("high"), **box)
    rows = store().runs(status="completed")
    rivals = {r.id: r for r in rows if r.dataset == config.dataset and r.test_accuracy is not None}
    rival = st.selectbox(
        "Will be better than",
        list(rivals)[:RIVALS],
        index=None,
        format_func=lambda i: f"{rivals[i].name} ({percent(rivals[i].test_accuracy)})",
        key=_key("rival"),
        placeholder="No run",
        persist_state="session",
    )
    if rival:
        _chance("wins")
    verdict = st.selectbox(
        "This verdict will be given",
        list(TITLES),
        index=None,
        format_func=lambda kind: TITLES[kind],
        key=_key("verdict"),
        placeholder="No verdict",
        persist_state="session",
    )
    if verdict:
        _chance("fires")
    try:
        written()
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")


def _chance(field: str) -> None:
    st.slider(
        "How likely (%)", 0, 100, 70, 5, key=_key(field), persist_state="session",
        help="50: you do not know.",
    )  # fmt: skip


def _key(field: str) -> str:
    return f"{KEY}_{field}"


def written() -> Forecast:
    """Returns what is written in the expander. Raises ConfigError for what makes no sense."""
    low, high, rival, wins, verdict, fires = (st.session_state.get(_key(name)) for name in _FIELDS)
    return checked(
        low=_fraction(low),
        high=_fraction(high),
        rival=rival or "",
        wins=_fraction(wins) if rival else None,
        verdict=verdict or "",
        fires=_fraction(fires) if verdict else None,
    )


def _fraction(points: float | None) -> float | None:
    return None if points is None else points / 100


def keep(run_id: str, forecast: Forecast) -> None:
    """Keeps the prediction with its run and empties the form; for a button's callback."""
    if not forecast.is_empty:
        store().set_forecast(run_id, forecast.model_dump_json())
    for name in _FIELDS:
        st.session_state.pop(_key(name), None)
