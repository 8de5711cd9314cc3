"""A page with the live view of a run whose steps come by the clock. No training, no torch.

?at=10000 starts with so many steps, ?rate=20 adds so many a second (with ?wait only after a press
of Begin), ?end=500 ends the run there, ?warn=Text is a warning in its log. Each visit is a run of
its own and stands still at the next.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lab.config import RunConfig
from lab.runs.store import store
from lab.training.events import EpochDone, Event, RunEnded, RunStarted, StepDone
from lab.ui.run.view import draw_run
from lab.ui.server import routes

PER_EPOCH = 100

# There are no other pages here, and Streamlit refuses links to what is not there.
st.page_link = lambda page, *, label, **_: st.caption(label)  # type: ignore[assignment]


def events(first: int, last: int) -> list[Event]:
    """Steps `first` to `last`, and the epochs that end among them."""
    random = np.random.default_rng(first)
    made: list[Event] = []
    for step in range(first, last + 1):
        trend = 0.25 + 2.0 * float(np.exp(-step / 350))
        values = {
            "loss": trend * float(np.exp(random.normal(0, 0.25))),
            "accuracy": min(1.0, max(0.0, 1 - trend / 2.6)),
        }
        epoch = (step - 1) // PER_EPOCH + 1
        made.append(StepDone(step, epoch, values, 32, 1e-3, step * 0.01))
        if step % PER_EPOCH == 0:
            after = {**values, "macro_recall": values["accuracy"]}
            made.append(
                EpochDone(epoch, step, "all", values, after, 1e-3, step * 0.01, 3200.0, True)
            )
    return made


def fill(run_id: str, *, at: int, rate: float, end: int) -> None:
    began, done = time.monotonic(), at
    while done < end and rate:
        time.sleep(0.2)
        if store().runs(limit=1)[0].id != run_id:
            return
        now = min(end, at + int((time.monotonic() - began) * rate))
        if now > done:
            store().record(run_id, events(done + 1, now))
            done = now
    if done >= end:
        result = {"loss": 0.3, "accuracy": 0.9, "macro_recall": 0.9}
        ended = RunEnded("completed", "Done.", 1, done, 1, result, result, done * 0.01)
        store().record(run_id, [ended])


def begin_run(*, at: int, rate: float, end: int, wait: bool) -> str:
    config = RunConfig(dataset="demo", architecture="mlp", device="cpu", epochs=end // PER_EPOCH)
    run_id = store().create_run(config, name="Demo run", status="preparing")
    if not wait:
        go_on(run_id, at=at, rate=rate, end=end)
    return run_id


def go_on(run_id: str, *, at: int, rate: float, end: int) -> None:
    started = RunStarted("cpu", 3200, 20, 10, PER_EPOCH, end, 1000, 1000, ("cat", "dog"))
    store().record(run_id, [started, *events(1, at)])
    threading.Thread(
        target=fill, args=(run_id,), kwargs={"at": at, "rate": rate, "end": end}, daemon=True
    ).start()


def demo() -> None:
    query = st.query_params
    how = {
        "at": int(query.get("at", 0)),
        "rate": float(query.get("rate", 20)),
        "end": int(query.get("end", 200_000)),
    }
    if "run" not in query:
        query["run"] = begin_run(wait="wait" in query, **how)
        if "warn" in query:
            store().write_log(query["run"], "warning", query["warn"])
    st.title("Live view")
    draw_run(store().run(query["run"]))
    st.button("Begin", on_click=go_on, args=(query["run"],), kwargs=how)


def other() -> None:
    st.title("Another page")


if get_script_run_ctx(suppress_warning=True) is None:
    app = st.App(__file__, routes=routes())
else:
    st.set_page_config(layout="wide")
    st.navigation([st.Page(demo, title="Demo", default=True), st.Page(other, title="Other")]).run()
