"""The live view of one run: numbers, curves, buttons and the log of decisions.

A fragment that ticks while the run is active, once a second in its first minute, and reads only
what is new from the store. It never touches the training thread: the buttons put a request into
the store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import streamlit as st

from lab.errors import LabError, NotFoundError
from lab.metrics import METRICS, metrics_of
from lab.runs.history import thinned_steps
from lab.runs.queue import queue
from lab.runs.rows import LogLine, Newest
from lab.runs.store import RunRow, store
from lab.ui.run.live_chart import live_chart
from lab.ui.run.live_feed import LiveHistory
from lab.ui.widgets.pace import pace
from lab.ui.words import status_badge
from lab.words import duration, percent

CHART_HEIGHT = 260
"""Height of one panel in pixels; fixed, so that nothing on the page moves when points come."""

FIRST_SECONDS = 3.0
"""Seconds of training in which the page refreshes more often."""

WAIT, POLL = 0.25, 0.03
"""Seconds that a tick waits for the first point, and between two reads of the store meanwhile. So
the point is shown at once; a longer wait would delay a press of Stop."""

FEWEST_CLASSES = 2
"""Classes assumed of a run that has not started, so that the chart's panels do not move later."""

_DRAWN_WHOLE = "live_drawn_whole"
"""In the session while the whole page is drawn: its other parts must not wait for a point."""


def live_view(run: RunRow) -> None:
    """Draws `run` and keeps it up to date while it is active."""
    seconds = _pace(run)
    st.session_state[_DRAWN_WHOLE] = True
    st.fragment(run_every=seconds, key="live_view")(_body)(run.id, seconds)


def _pace(run: RunRow) -> float | None:
    """Returns the seconds between two ticks; None when nothing changes any more by itself.

    A paused run may be resumed from another tab, so it is read now and then.
    """
    if run.status == "paused":
        return 3.0
    # A short wait should look short, and the first points should not wait either. (The new pace
    # costs a run of the whole page: not before the first point.)
    if run.is_live and (run.status != "running" or run.seconds <= FIRST_SECONDS):
        return 0.3
    return pace(run, 1.0)


def _body(run_id: str, seconds: float | None) -> None:
    try:
        if not st.session_state.pop(_DRAWN_WHOLE, False):
            _wait_for_first_point(run_id)
        run = store().run(run_id)
    except NotFoundError:  # deleted in another tab
        st.rerun()
    if _pace(run) != seconds:
        st.rerun()  # once: the whole page follows the run's start or end, and the timer with it
    _heading(run)
    _buttons(run)
    _progress(run)
    _numbers(run)
    if run.message:
        _message(run)
    live_chart(
        partial(_read_history, run),
        run_id=run.id,
        metrics=metrics_of(len(run.class_names) or FEWEST_CLASSES),
        key="live",
        live=run.is_live,
        height=CHART_HEIGHT,
    )
    _log(run)


def _wait_for_first_point(run_id: str) -> None:
    """Waits until a starting run has its first step or another status, at most WAIT seconds.

    The one sleep in a page: shorter than the pause between two ticks, and only in a tick.
    """
    run, until = store().run(run_id), time.monotonic() + WAIT
    # A preparation with a progress (a download, a decoding) takes longer.
    if run.status not in ("preparing", "running") or (run.status == "preparing" and run.progress):
        return
    while store().newest(run_id).step is None and time.monotonic() < until:
        time.sleep(POLL)
        if store().run(run_id).status != run.status:
            return


def _read_history(run: RunRow, after_step: int) -> LiveHistory:
    """Returns the rows after a step; the whole history, thinned, for step 0."""
    steps = (
        store().steps(run.id, after=after_step) if after_step else thinned_steps(store(), run.id)
    )
    return LiveHistory(steps, store().epochs(run.id, after_step=after_step), run.best_epoch)


def _heading(run: RunRow) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(run.name, anchor=False, width="content")
        status_badge(run.status)


def _buttons(run: RunRow) -> None:
    with st.container(horizontal=True):
        if run.status == "running":
            _button("Pause", "pause", run, "Free the machine; Resume goes on with the next step.")
            _button("Stop", "stop", run, "End within one step. The test set stays untouched.")
            _button(
                "Finish now", "finish", run, "End the training and test the best weights so far."
            )
        elif run.status in ("queued", "preparing"):
            _button("Stop", "stop", run, "Take this run out before it begins.")
        elif run.can_resume:
            _button("Resume", "resume", run, "Go on from the last saved step.")


_ICONS = {"Pause": "pause", "Stop": "stop", "Finish now": "flag", "Resume": "play_arrow"}


def _button(label: str, action: str, run: RunRow, help: str) -> None:
    st.button(
        label,
        key=f"live_{action}",
        icon=f":material/{_ICONS[label]}:",
        help=help,
        on_click=_act,
        args=(action, run.id),
        disabled=run.requested == action,
    )


def _act(action: str, run_id: str) -> None:
    """A button's callback: requests the action and does not wait for it."""
    actions = {
        "pause": queue().pause,
        "stop": queue().stop,
        "finish": queue().finish,
        "resume": queue().resume,
    }
    try:
        actions[action](run_id)
    except LabError as error:
        st.toast(str(error), icon=":material/error:")


def _progress(run: RunRow) -> None:
    if run.status == "queued":
        st.progress(0.0, text=run.progress_text or "Waiting in the queue.")
    elif run.status == "preparing":
        st.progress(run.progress or 0.0, text=run.progress_text or "Preparing")
    elif run.total_steps:
        share = run.activity_done / run.activity_total if run.activity_total else run.progress
        st.progress(min(1.0, share), text=_progress_text(run, run.total_steps))


def _progress_text(run: RunRow, total: int) -> str:
    parts = [f"Step {run.step:,} of {total:,}", f"{duration(run.seconds)} of training"]
    if run.activity:
        parts.append(run.progress_text)
    if run.requested and run.status == "running":
        parts.append(f"{run.requested} requested")
    return " · ".join(parts)


def _numbers(run: RunRow) -> None:
    newest = store().newest(run.id)
    with st.grid(4, min_column_width=150, gap="small"):
        st.metric("Epoch", f"{run.epoch} of {run.settings['epochs']}", border=True)
        st.metric(
            "Training loss",
            METRICS["loss"].text(newest.metrics.get("loss_smoothed")),
            border=True,
            help="Smoothed: a batch counts half after 20 steps.",
        )
        st.metric(
            "Training accuracy",
            percent(newest.metrics.get("accuracy_smoothed")),
            border=True,
            help="Smoothed likewise; while the weights move, with dropout and augmentation on.",
        )
        st.metric(
            "Validation",
            percent(newest.metrics.get("val_accuracy")),
            border=True,
            help="Accuracy at the end of the last whole epoch, on images it never trained on.",
        )
        if run.test_accuracy is None:
            chosen = f" Kept: epoch {run.best_epoch}." if run.best_epoch else ""
            st.metric(
                "Best epoch",
                percent(run.best_val_accuracy),
                border=True,
                help="Validation accuracy of the epoch whose weights are kept." + chosen,
            )
        else:
            st.metric(
                "Test accuracy",
                percent(run.test_accuracy),
                border=True,
                help=f"Of the weights of epoch {run.best_epoch}, measured once, on "
                f"{run.test_samples:,} images set apart.",
            )
        st.metric(
            "Learning rate",
            "–" if newest.learning_rate is None else f"{newest.learning_rate:.2g}",
            border=True,
        )
        st.metric(
            "Images per s",
            f"{run.images_per_second:,.0f}" if run.images_per_second else "–",
            border=True,
            help="Training images over the time spent on training steps.",
        )
        if run.status == "running":
            st.metric("Time left", duration(run.seconds_left), border=True, help="About.")
        else:
            st.metric("Training time", duration(run.seconds), border=True)
    _further_metrics(run, newest)


def _further_metrics(run: RunRow, newest: Newest) -> None:
    """Draws one line with the metrics that have no tile of their own."""
    values: Mapping[str, float | None] = run.test
    where = "On the test images"
    if not values:
        values = {name: newest.metrics.get(f"val_{name}") for name in METRICS}
        where = f"On the validation images, epoch {newest.epoch}"
    further = [m for m in METRICS.values() if not m.shown and values.get(m.name) is not None]
    if further:
        text = ", ".join(f"{m.title.lower()} {m.text(values[m.name])}" for m in further)
        st.caption(f"{where}: {text}.", help=" ".join(m.about for m in further))


def _message(run: RunRow) -> None:
    if run.status == "failed":
        st.error(run.message, icon=":material/error:")
    else:
        st.caption(run.message)


def _log(run: RunRow) -> None:
    lines = store().log(run.id)
    if not lines:
        return
    with st.expander("What the lab decided, and why", icon=":material/receipt_long:"):
        # One element: each costs the browser time at every tick.
        st.markdown("\n".join(f"- {_line(line)}" for line in lines))


def _line(line: LogLine) -> str:
    text = line.text.replace("$", "\\$").replace("\n", " ")
    return f":red[{text}]" if line.level == "error" else text
