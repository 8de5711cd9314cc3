"""What stands out in a run: each verdict with its evidence, a suggestion and a button.

While the run is active a fragment checks every few seconds for a new epoch; only then the run is
judged anew.
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
from lab.runs.history import thinned_steps
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
"""Seconds between two refreshes in a run's first minute; there is something new once an epoch."""

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
"""Judging a training run rests so many times what it takes: reading a long curve takes a while, and
the run is to lose at most 3 % by it."""

MOST_KEPT = 50


@dataclass(frozen=True)
class _Judgement:
    """The verdicts on one state of a run, and when and how long it was judged."""

    state: tuple[object, ...]
    verdicts: tuple[Verdict, ...]
    judged_at: float
    seconds: float


_judgements: dict[str, _Judgement] = {}
"""By run, the newest last; shared by all sessions, so that five pages on a run cost as one."""

_guard = threading.Lock()
"""Held while a run is judged: other sessions wait a moment and share the judgement."""

FIXED = "verdicts_fixed"
"""The session's key of the two runs to compare next, or of why there is no second one."""


def draw_verdicts(run: RunRow) -> None:
    """Draws the verdicts on `run` and keeps them up to date while it is active."""
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
    _open_comparison()
    try:
        config = run.config
    except LabError as error:
        st.caption(f"No verdicts: another version of the lab made this run. {error}")
        return
    predictions = _predictions(run)
    current = _current_verdicts(run, config, predictions)
    st.subheader("What stands out", anchor=False)
    if not current:
        st.caption(_no_verdict_text(run, predictions))
        return
    for verdict in current:
        _draw_verdict(run, config, verdict)


def _current_verdicts(
    run: RunRow, config: RunConfig, predictions: Predictions | None
) -> tuple[Verdict, ...]:
    """Returns the verdicts on the run, judged anew when an epoch has ended, not at each tick."""
    predicted_by = None if predictions is None else predictions.identity
    state = (run.id, run.revision, store().newest(run.id).epoch, run.status, predicted_by)
    with _guard:
        judgement = _judgements.pop(run.id, None)
        began = time.monotonic()
        resting = (
            run.is_live
            and judgement is not None
            and began - judgement.judged_at < REST * judgement.seconds
        )
        if judgement is None or not (resting or judgement.state == state):
            judged = _judge(run, config, predictions)
            now = time.monotonic()
            judgement = _Judgement(state, judged, now, now - began)
        _judgements[run.id] = judgement
        for old in list(_judgements)[:-MOST_KEPT]:
            del _judgements[old]
    return judgement.verdicts


def _judge(run: RunRow, config: RunConfig, predictions: Predictions | None) -> tuple[Verdict, ...]:
    return verdicts(
        config,
        store().epochs(run.id),
        thinned_steps(store(), run.id),
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
    """Returns the best checkpoint's predictions on the validation images, or None.

    Of a run that may go on only saved ones; those of an ended run are made where it takes seconds.
    """
    if not run.has_weights or not run.val_samples:
        return None
    folder = store().folder(run.id)
    if (folder / "evaluation" / "best-val.npz").exists() and _may_go_on(run):
        return saved_predictions(folder, "best", "val", outdated=True)
    if _may_go_on(run):
        return None
    try:
        side = run.settings["image_size"] or catalog.describe(run.dataset).image_size
        if run.val_samples * side**2 > AUTOMATIC_PIXELS:
            return None
        return predictions_of(CheckpointChoice(run, folder, "best"), "val")
    except LabError as error:  # its data set is gone, for example; the curves can still be judged
        st.caption(f"The answers to single images are not judged. {plain(str(error))}")
        return None


def _may_go_on(run: RunRow) -> bool:
    return run.is_live or run.status == "paused"


def _no_verdict_text(run: RunRow, predictions: Predictions | None) -> str:
    """Returns what was judged, so that silence is not taken for more than it is."""
    evidence = [f"the curves of {store().newest(run.id).epoch or 0} finished epoch(s)"]
    samples = newest_sample(Path(store().folder(run.id)))
    evidence.append(
        f"{samples[0]:,} sampled steps of its layers" if samples else "no layer samples"
    )
    if predictions is None:
        evidence.append("no answers to single images yet")
    else:
        evidence.append(f"the answers to {len(predictions):,} validation images")
    wait = " Most signs show only after three to five epochs." if _may_go_on(run) else ""
    return f"Nothing so far. Judged: {', '.join(evidence)}.{wait}"


def _draw_verdict(run: RunRow, config: RunConfig, verdict: Verdict) -> None:
    title, icon = TITLES[verdict.kind]
    with st.container(border=True, key=f"verdict_{verdict.kind}"):
        st.markdown(f"**:material/{icon}: {title}.** {plain(verdict.sentence)}")
        st.caption(plain(verdict.evidence))
        st.markdown(f":material/lightbulb: {plain(verdict.suggestion)}")
        if not verdict.change:
            return
        fixed = config.changed(**verdict.change)
        st.caption(f"The change: {plain(_change(config, verdict.change))}.")
        other = _existing_fix(run, fixed)
        if other is not None:
            st.page_link(
                "pages/compare.py",
                label=f"Compare with “{plain(other.name)}” ({status_word(other.status).lower()})",
                icon=":material/compare_arrows:",
                query_params=compare_query([run.id, other.id]),
            )
        else:
            st.button(
                "Run it with this change",
                key=f"verdict_fix_{verdict.kind}",
                icon=":material/play_arrow:",
                help="Queues a second run, the same but for this, and compares the two.",
                on_click=_run_fix,
                args=(run, fixed, title),
            )


def _change(config: RunConfig, change: dict[str, Any]) -> str:
    """Returns the title of each changed knob with its old and new value."""
    knobs = [KNOBS[name] for name in change]
    return ", ".join(
        f"{k.title} {k.text(getattr(config, k.name))} → {k.text(change[k.name])}" for k in knobs
    )


def _existing_fix(run: RunRow, fixed: RunConfig) -> RunRow | None:
    """Returns the newest run that was started from here with these settings, if any."""
    for other in store().runs(origin=f"fix:{run.id}"):
        try:
            size = other.config.image_size  # settled there; perhaps not in the run it came from
            if other.config == (fixed if fixed.image_size else fixed.changed(image_size=size)):
                return other
        except LabError:  # of another version of the lab
            continue
    return None


def _run_fix(run: RunRow, fixed: RunConfig, title: str) -> None:
    """The button's callback: queues the second run.

    Not in the page's run: by then the next epoch may have removed the verdict and its button.
    """
    try:
        name = f"{run.name[:50]}, against: {title.lower()}"
        new = queue().submit(resolve(fixed), name=name, origin=f"fix:{run.id}")
        st.session_state[FIXED] = ("", run.id, new)
    except LabError as error:
        st.session_state[FIXED] = (str(error), run.id, "")


def _open_comparison() -> None:
    """Opens the comparison after a press of the button, or tells why there is no second run."""
    problem, run_id, new = st.session_state.pop(FIXED, ("", "", ""))
    if problem:
        st.error(plain(problem), icon=":material/error:")
    elif new:
        st.switch_page("pages/compare.py", query_params=compare_query([run_id, new]))
