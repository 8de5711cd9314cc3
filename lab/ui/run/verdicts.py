"""What stands out in a run, in words: each verdict with its numbers and one thing to press.

Runs in the page's script thread. While the run is active a fragment looks every few seconds whether
there is a new epoch; only then anything is read and judged anew.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.errors import LabError, NotFoundError
from lab.evaluate.predictions import Predictions, saved_predictions
from lab.evaluate.verdicts.judge import Verdict, verdicts
from lab.runs.history import curve
from lab.runs.queue import queue
from lab.runs.store import RunRow, store
from lab.training.failures import is_divergence
from lab.training.plan import resolve
from lab.training.watch.layer_file import layer_history, newest_sample
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.links import compare_query
from lab.ui.widgets.pace import pace
from lab.ui.widgets.predictions import AUTOMATIC_PIXELS, predictions_of
from lab.ui.words import plain, status_word

TICK = 4.0
"""Seconds between two looks in a run's first minute; there is something new once an epoch."""

TITLES = {
    "vanishing_gradients": ("Vanishing gradients", "trending_down"),
    "exploding": ("Exploding", "whatshot"),
    "dead_units": ("Dead units", "power_off"),
    "overfitting": ("Overfitting", "menu_book"),
    "underfitting": ("Underfitting", "battery_1_bar"),
    "rate_too_high": ("Learning rate too high", "keyboard_double_arrow_up"),
    "rate_too_low": ("Learning rate too low", "keyboard_double_arrow_down"),
    "one_class": ("One answer to everything", "filter_1"),
    "small_validation": ("Small validation set", "groups"),
    "flattering_validation": ("Validation flatters", "theater_comedy"),
    "plateau": ("Standing still", "horizontal_rule"),
    "saturated_softmax": ("Too sure", "priority_high"),
}

REST = 33
"""Between two judgements of a run that trains passes so many times what one takes: a long curve
takes a while to read, and the run is to lose at most 3 % by it."""

MOST_KEPT = 50


@dataclass(frozen=True)
class _Judged:
    """What was found of a run, and of which state of it."""

    state: tuple[object, ...]
    found: tuple[Verdict, ...]
    at: float
    cost: float


_judgements: dict[str, _Judged] = {}
"""By run, the newest last; of all sessions, so that five pages on a run cost what one does."""

_guard = threading.Lock()
"""Held while a run is judged: who else asks waits a moment and takes what was found."""

FIXED = "verdicts_fixed"
"""In the session: the two runs to compare next, or the sentence why there is no second one."""


def draw_verdicts(run: RunRow) -> None:
    """Under the curves of `run`; keeps up with it while it is active."""
    if run.is_live or run.status == "paused":
        st.fragment(run_every=pace(run, TICK), key="verdicts")(_live)(run.id, run.status)
    else:
        _draw(run)


def _live(run_id: str, status: str) -> None:
    try:
        run = store().run(run_id)
    except NotFoundError:  # deleted in another tab; the live view tells
        return
    if run.is_live or run.status == status:
        _draw(run)


def _draw(run: RunRow) -> None:
    _go_on()
    try:
        config = run.config
    except LabError as error:
        st.caption(f"No verdicts: another version of the lab made this run. {error}")
        return
    predictions = _predictions(run)
    found = _judged(run, config, predictions)
    st.subheader("What stands out", anchor=False)
    if not found:
        st.caption(_nothing(run, predictions))
        return
    for verdict in found:
        _one(run, config, verdict)


def _judged(run: RunRow, config: RunConfig, predictions: Predictions | None) -> tuple[Verdict, ...]:
    """The verdicts of the run as it stands; made anew when an epoch has ended, not each tick."""
    of_what = None if predictions is None else predictions.identity
    state = (run.id, run.revision, store().newest(run.id).epoch, run.status, of_what)
    with _guard:
        kept = _judgements.pop(run.id, None)
        began = time.monotonic()
        rests = run.is_live and kept is not None and began - kept.at < REST * kept.cost
        if kept is None or not (rests or kept.state == state):
            found = _judge(run, config, predictions)
            now = time.monotonic()
            kept = _Judged(state, found, now, now - began)
        _judgements[run.id] = kept
        for old in list(_judgements)[:-MOST_KEPT]:
            del _judgements[old]
    return kept.found


def _judge(run: RunRow, config: RunConfig, predictions: Predictions | None) -> tuple[Verdict, ...]:
    return verdicts(
        config,
        store().epochs(run.id),
        curve(store(), run.id),
        layers=layer_history(store().folder(run.id)),
        predictions=predictions,
        val_samples=run.val_samples or 0,
        train_samples=run.train_samples or 0,
        classes=len(run.class_names),
        best_epoch=run.best_epoch,
        test_samples=run.test_samples or 0,
        test_accuracy=run.test_accuracy,
        ended=not run.is_live and run.status != "paused",
        diverged_message=run.message
        if run.status == "failed" and is_divergence(run.message)
        else "",
    )


def _predictions(run: RunRow) -> Predictions | None:
    """What the best checkpoint answers to the validation images. Of a run that goes on only what is
    there already; of one that has ended it is found out, where that takes seconds."""
    if not run.has_weights or not run.val_samples:
        return None
    folder = store().folder(run.id)
    if (folder / "evaluation" / "best-val.npz").exists() and _goes_on(run):
        return saved_predictions(folder, "best", "val", outdated=True)
    if _goes_on(run):
        return None
    try:
        side = run.settings["image_size"] or catalog.describe(run.dataset).image_size
        if run.val_samples * side**2 > AUTOMATIC_PIXELS:
            return None
        return predictions_of(CheckpointChoice(run, folder, "best"), "val")
    except LabError as error:  # its data set is gone, for example: the curves still tell something
        st.caption(f"The answers to single images are not judged. {plain(str(error))}")
        return None


def _goes_on(run: RunRow) -> bool:
    return run.is_live or run.status == "paused"


def _nothing(run: RunRow, predictions: Predictions | None) -> str:
    """What was looked at, so that silence is not taken for more than it is."""
    looked = [f"the curves of {store().newest(run.id).epoch or 0} finished epoch(s)"]
    samples = newest_sample(Path(store().folder(run.id)))
    looked.append(f"{samples[0]:,} sampled steps of its layers" if samples else "no layer samples")
    if predictions is None:
        looked.append("no answers to single images yet")
    else:
        looked.append(f"the answers to {len(predictions):,} validation images")
    wait = " Most signs show only after three to five epochs." if _goes_on(run) else ""
    return f"Nothing so far. Looked at: {', '.join(looked)}.{wait}"


def _one(run: RunRow, config: RunConfig, verdict: Verdict) -> None:
    title, icon = TITLES[verdict.kind]
    with st.container(border=True, key=f"verdict_{verdict.kind}"):
        st.markdown(f"**:material/{icon}: {title}.** {plain(verdict.sentence)}")
        st.caption(plain(verdict.evidence))
        st.markdown(f":material/lightbulb: {plain(verdict.suggestion)}")
        if not verdict.change:
            return
        fixed = config.changed(**verdict.change)
        st.caption(f"The change: {plain(_change(config, verdict.change))}.")
        there = _already(run, fixed)
        if there is not None:
            st.page_link(
                "pages/compare.py",
                label=f"Compare with “{plain(there.name)}” ({status_word(there.status).lower()})",
                icon=":material/compare_arrows:",
                query_params=compare_query([run.id, there.id]),
            )
        else:
            st.button(
                "Run it with this change",
                key=f"verdict_fix_{verdict.kind}",
                icon=":material/play_arrow:",
                help="Puts a second run in line, the same but for this, and compares the two.",
                on_click=_run_fix,
                args=(run, fixed, title),
            )


def _change(config: RunConfig, change: dict[str, Any]) -> str:
    """Each knob from what it is to what it becomes."""
    knobs = [KNOBS[name] for name in change]
    return ", ".join(
        f"{k.title} {k.text(getattr(config, k.name))} → {k.text(change[k.name])}" for k in knobs
    )


def _already(run: RunRow, fixed: RunConfig) -> RunRow | None:
    """The newest run that was started from here with the same settings."""
    for other in store().runs(origin=f"fix:{run.id}"):
        try:
            size = other.config.image_size  # settled there; perhaps not in the run it came from
            if other.config == (fixed if fixed.image_size else fixed.changed(image_size=size)):
                return other
        except LabError:  # of another version of the lab
            continue
    return None


def _run_fix(run: RunRow, fixed: RunConfig, title: str) -> None:
    """The button's callback. Not in the page's run: by then the next epoch may have taken the
    verdict and its button away."""

    try:
        name = f"{run.name[:50]}, against: {title.lower()}"
        new = queue().submit(resolve(fixed), name=name, origin=f"fix:{run.id}")
        st.session_state[FIXED] = ("", run.id, new)
    except LabError as error:
        st.session_state[FIXED] = (str(error), run.id, "")


def _go_on() -> None:
    """After a press: to the comparison, or say what was wrong."""
    trouble, run_id, new = st.session_state.pop(FIXED, ("", "", ""))
    if trouble:
        st.error(plain(trouble), icon=":material/error:")
    elif new:
        st.switch_page("pages/compare.py", query_params=compare_query([run_id, new]))
