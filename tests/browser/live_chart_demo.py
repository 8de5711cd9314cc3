"""A page with the live chart on a history that grows by the clock. No training, no store.

?at=10000 starts with so many steps, ?rate=20 adds so many a second (with ?wait only after a press
of Start), ?end=500 ends the run there.
"""

from __future__ import annotations

import dataclasses
import time
from functools import cache
from pathlib import Path

import numpy as np
import streamlit as st

from lab.charts.series import EpochSeries, StepSeries
from lab.ui.run.live_chart import live_chart
from lab.ui.run.live_feed import LiveHistory

STEPS_PER_EPOCH = 100


@cache
def whole_history(count: int = 200_000) -> tuple[StepSeries, EpochSeries]:
    random = np.random.default_rng(7)
    step = np.arange(1, count + 1)
    trend = 0.25 + 2.0 * np.exp(-step / 350)
    loss = trend * np.exp(random.normal(0, 0.25, count))
    accuracy = np.clip(1 - trend / 2.6 + random.normal(0, 0.06, count), 0, 1)
    ends = step[STEPS_PER_EPOCH - 1 :: STEPS_PER_EPOCH]
    at_end = trend[ends - 1]
    steps = StepSeries(step, loss, trend, accuracy, 1 - trend / 2.6, np.full(count, 1e-3))
    wobble = random.normal(0, 0.02, len(ends))
    epochs = EpochSeries(
        epoch=np.arange(1, len(ends) + 1),
        step=ends,
        train_loss=at_end,
        train_accuracy=1 - at_end / 2.6,
        val_loss=at_end * 1.08 + wobble,
        val_accuracy=1 - at_end / 2.45 - wobble / 2,
    )
    return steps, epochs


def columns(series: object, wanted: slice) -> list[np.ndarray]:
    return [getattr(series, field.name)[wanted] for field in dataclasses.fields(series)]


def page() -> None:
    at = int(st.query_params.get("at", 0))
    rate = float(st.query_params.get("rate", 20))
    end = int(st.query_params.get("end", 200_000))
    run_id = st.query_params.get("run", "r-demo")
    if "wait" not in st.query_params:
        st.session_state.setdefault("demo_began", time.monotonic())

    def steps_now() -> int:
        began = st.session_state.get("demo_began", time.monotonic())
        return min(end, at + int((time.monotonic() - began) * rate))

    def start() -> None:
        st.session_state["demo_began"] = time.monotonic()

    def read(after_step: int) -> LiveHistory:
        steps, epochs = whole_history()
        now = steps_now()
        first, last = after_step // STEPS_PER_EPOCH, now // STEPS_PER_EPOCH
        best = int(epochs.val_loss[:last].argmin()) + 1 if last else None
        return LiveHistory(
            StepSeries(*columns(steps, slice(after_step, now))),
            EpochSeries(*columns(epochs, slice(first, last))),
            best_epoch=best,
        )

    def tick() -> None:
        if live and steps_now() >= end:
            st.rerun()  # once: then the timer goes away
        began_tick = time.thread_time()
        live_chart(
            read, run_id=run_id, key="demo", live=live, static=Path(__file__).parent / "static"
        )
        busy = (time.thread_time() - began_tick) * 1000
        st.session_state["demo_busy"] = [*st.session_state.get("demo_busy", [])[-50:], busy]
        if rate:  # a caption that changes
            median = np.median(st.session_state["demo_busy"])
            st.caption(f"step {steps_now()} · {median:.2f} ms a tick")

    def lose() -> None:
        """Pretend that a message with 100 steps went out and never arrived."""
        sent = st.session_state["live_chart_demo"]
        step = sent.step + 100
        loss = float(whole_history()[0].loss[step - 1])
        st.session_state["demo_began"] -= 150 / max(rate, 1)
        st.session_state["live_chart_demo"] = dataclasses.replace(sent, step=step, loss=loss)

    live = steps_now() < end
    st.title("Live chart")
    st.fragment(run_every=1.0 if live else None)(tick)()
    st.button("Start", on_click=start)
    st.button("Lose a message", on_click=lose)


def other() -> None:
    st.title("Another page")


st.set_page_config(layout="wide")
st.navigation([st.Page(page, title="Demo", default=True), st.Page(other, title="Other")]).run()
