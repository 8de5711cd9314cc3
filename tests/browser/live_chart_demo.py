"""A page with the live chart on a history that grows by the clock. No training, no store.

?at=10000 starts with so many steps, ?rate=20 adds so many a second (with ?wait only after a press
of Start), ?end=500 ends the run there.
"""

from __future__ import annotations

import dataclasses
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from lab.metrics import METRICS
from lab.runs.rows import EpochColumns, StepColumns
from lab.ui.run.live_chart import live_chart
from lab.ui.run.live_feed import LiveHistory

STEPS_PER_EPOCH = 100


@cache
def whole_history(count: int = 200_000) -> tuple[StepColumns, EpochColumns]:
    random = np.random.default_rng(7)
    step = np.arange(1, count + 1)
    trend = 0.25 + 2.0 * np.exp(-step / 350)
    loss = trend * np.exp(random.normal(0, 0.25, count))
    accuracy = np.clip(1 - trend / 2.6 + random.normal(0, 0.06, count), 0, 1)
    ends = step[STEPS_PER_EPOCH - 1 :: STEPS_PER_EPOCH]
    at_end = trend[ends - 1]
    steps = StepColumns(
        step=step,
        epoch=step // STEPS_PER_EPOCH + 1,
        learning_rate=np.full(count, 1e-3),
        seconds=step * 0.01,
        metrics={
            "loss": loss,
            "loss_smoothed": trend,
            "accuracy": accuracy,
            "accuracy_smoothed": 1 - trend / 2.6,
        },
    )
    wobble = random.normal(0, 0.02, len(ends))
    val_accuracy = 1 - at_end / 2.45 - wobble / 2
    epochs = EpochColumns(
        epoch=np.arange(1, len(ends) + 1),
        step=ends,
        learning_rate=np.full(len(ends), 1e-3),
        seconds=ends * 0.01,
        elapsed=ends * 0.01,
        images_per_second=np.full(len(ends), 100.0),
        is_best=np.zeros(len(ends), dtype=bool),
        phase=("all",) * len(ends),
        metrics={
            "train_loss": at_end,
            "train_accuracy": 1 - at_end / 2.6,
            "val_loss": at_end * 1.08 + wobble,
            "val_accuracy": val_accuracy,
            "val_macro_recall": val_accuracy - 0.02,
        },
    )
    return steps, epochs


def part(columns: Any, wanted: slice) -> Any:
    """These rows of StepColumns or EpochColumns."""
    values = {f.name: getattr(columns, f.name) for f in dataclasses.fields(columns)}
    metrics = {name: column[wanted] for name, column in values.pop("metrics").items()}
    return type(columns)(**{n: v[wanted] for n, v in values.items()}, metrics=metrics)


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
        best = int(epochs["val_loss"][:last].argmin()) + 1 if last else None
        return LiveHistory(
            part(steps, slice(after_step, now)),
            part(epochs, slice(first, last)),
            best_epoch=best,
        )

    def tick() -> None:
        if live and steps_now() >= end:
            st.rerun()  # once: then the timer goes away
        began_tick = time.thread_time()
        live_chart(
            read,
            run_id=run_id,
            metrics=[METRICS[name] for name in ("loss", "accuracy", "macro_recall")],
            key="demo",
            live=live,
            static=Path(__file__).parent / "static",
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
        loss = float(whole_history()[0]["loss"][step - 1])
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
