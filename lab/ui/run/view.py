"""The live view of one run: buttons of Streamlit's, and below them all that moves by itself."""

from __future__ import annotations

import base64

import streamlit as st

from lab.api.history import FEWEST_CLASSES, panels
from lab.errors import LabError, NotFoundError
from lab.explain import overlay
from lab.metrics import metrics_of
from lab.people import may_change, name_of
from lab.runs.judging import judge
from lab.runs.queue import queue
from lab.runs.store import RunRow, store
from lab.training.plan import as_trained, resolve
from lab.ui.live.component import live_component, triggered
from lab.ui.run.class_map import draw_class_map
from lab.ui.run.film_pins import draw_pins
from lab.ui.run.finished import draw_finished
from lab.ui.run.rate import draw_rate
from lab.ui.state import look_at
from lab.ui.widgets.links import compare_query
from lab.ui.widgets.queue_actions import ask_queue
from lab.ui.words import page_words, plain, status_values

KEY = "run_view"
EMPTY = "The first point appears here with the first training step."
NEVER = "This run ended before its first training step."
_MAP_LOOK = {
    "colours": base64.b64encode(overlay.COLOURS.tobytes()).decode("ascii"),
    "strength": overlay.STRENGTH,
    "onset": overlay.ONSET,
    "darkest": overlay.DARKEST,
    "brightest": overlay.BRIGHTEST,
    "gain": overlay.MOST_GAIN,
}
"""How the film strip's maps are drawn: as everywhere."""
_COMPARED = "run_view_compared"
"""In the session: the two runs to compare next."""
_OPENED = "run_view_opened"
"""In the session: the run to look at next."""


def draw_run(run: RunRow, *, is_title: bool = False) -> None:
    """Draws `run`; it keeps itself up to date, and the script runs again when its status changes.

    `is_title`: its name is the page's title.
    """
    _open_comparison()
    st.fragment(key=f"{KEY}_fragment")(_body)(run.id, is_title)
    draw_class_map(run)
    draw_pins(run)


def _body(run_id: str, is_title: bool) -> None:
    try:
        run = store().run(run_id)
    except NotFoundError:  # deleted in another tab
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        heading = st.title if is_title else st.header
        heading(plain(run.name), anchor=False, width="stretch")
        # Together: under a long name they would be torn apart.
        with st.container(horizontal=True, width="content", gap="small"):
            _buttons(run)
    with st.container():  # always there: what appears in it leaves the view where it is
        draw_finished(run)
    result = live_component(
        "run_view",
        {
            "run": run.id,
            "status": run.status,
            "message": page_words(run.message) if run.status == "failed" else "",
            "statuses": status_values(),
            "metrics": panels(metrics_of(len(run.class_names) or FEWEST_CLASSES)),
            "look": _MAP_LOOK,
            "empty": EMPTY if run.is_live or run.can_resume else NEVER,
        },
        key=KEY,
        on_act=_act_on_press,
    )
    if result["change"] and not run.is_live:
        st.rerun()  # the page around follows the run's end, once
    if opened := st.session_state.pop(_OPENED, None):
        look_at(opened)
        st.rerun()
    if _COMPARED in st.session_state:
        st.rerun()


def _buttons(run: RunRow) -> None:
    if not may_change(run.person):
        st.caption(f"of {plain(name_of(run.person_name))}")
    elif run.status == "running":
        _button("Pause", "pause", run, "Free the machine; Resume goes on with the next step.")
        _button("Stop", "stop", run, "End within one step. The test set stays untouched.")
        _button("Finish now", "finish", run, "End the training and test the best weights so far.")
        draw_rate(run)
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
        on_click=ask_queue,
        args=(action, run.id),
        disabled=run.requested == action,
    )


# --- what a person presses in the view ------------------------------------------------------------
def _act_on_press() -> None:
    """The callback of a press in a verdict: a second run with its change, or a comparison."""
    pressed = triggered(KEY, "act")
    if "open" in pressed:
        st.session_state[_OPENED] = pressed["open"]
        return
    if "compare" in pressed:
        st.session_state[_COMPARED] = tuple(pressed["compare"])
        return
    try:
        st.session_state[_COMPARED] = (pressed["run"], run_fix(pressed["run"], pressed["fix"]))
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def run_fix(run_id: str, kind: str) -> str:
    """Queues the run again with the change of its verdict `kind`; returns the new run's id.

    Raises NotFoundError when the verdict no longer stands.
    """
    run = store().run(run_id)
    verdict = next((v for v in judge(store(), run).verdicts if v.kind == kind and v.change), None)
    if verdict is None:
        raise NotFoundError("The run has gone on, and this verdict no longer stands.")
    config = as_trained(run.config, store().folder(run.id)).changed(**verdict.change)
    return queue().submit(resolve(config), origin=f"fix:{run.id}")


def _open_comparison() -> None:
    """Opens the comparison after a press of a verdict's button."""
    compared = st.session_state.pop(_COMPARED, None)
    if compared:
        st.switch_page("pages/compare.py", query_params=compare_query(list(compared)))
