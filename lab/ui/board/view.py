"""The board: a line for each person, which moves by itself; the teacher's switches above it."""

from __future__ import annotations

import functools
import time
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from lab.api.panels import Panel, text
from lab.api.run_feed import place_in_line, words_until
from lab.data.quality.duplicates import checked_sets
from lab.errors import LabError
from lab.evaluate.leak_free import accuracy_interval, own_answers
from lab.experiments.board import MOST_PLACED, Standing, of_subject, standings
from lab.people import current_person, name_of, others_hidden
from lab.runs.assignments import Assignment, assignment, assignments
from lab.runs.class_rules import change_rules, rules
from lab.runs.naming import value_text
from lab.runs.rows import RunRow
from lab.runs.status import ACTIVE
from lab.runs.store import store
from lab.ui.board.hand_out import assignment_link
from lab.ui.live.panel import live_panel
from lab.ui.visitor import draw_qr
from lab.ui.widgets.queue_actions import ask
from lab.ui.widgets.results_button import draw_results_button
from lab.ui.words import plain, status_word
from lab.words import percent, whole_percent

SUBJECT = "subject"
"""The parameter of the page's URL: "a-..." is an assignment, "data:..." a data set."""
DATA = "data:"
_CHOSEN, _IN_URL = "board_subject", "board_subject_in_url"
POLL = 2.0
_BIG = """<style>
[data-testid="stHeader"], [data-testid="stToolbar"], .st-key-frame_visitor { display: none; }
[data-testid="stMainBlockContainer"] { padding: 2.2vw 3vw; max-width: none; }
[data-testid="stHeading"] h1 { font-size: clamp(2rem, 3.6vw, 4.4rem); }
</style>"""


def is_projected() -> bool:
    return st.query_params.get("view") == "projector"


def draw_projector() -> None:
    """Draws the board in large type, without anything to press but the way back."""
    st.html(_BIG)
    subject = st.query_params.get(SUBJECT) or next(iter(_subjects()), "")
    given = _assignment(subject)
    with st.container(horizontal=True, vertical_alignment="center", gap="large"):
        st.title(_title(subject), anchor=False, width="stretch")
        if given is not None and not given.closed:
            draw_qr(assignment_link(given), side=150)
    _draw_live(subject, large=True)
    st.page_link("pages/board.py", label="Back", icon=":material/arrow_back:")


def draw_board() -> str | None:
    """Draws the choice, the switches and the board; returns what is shown, None for nothing."""
    subjects = _subjects()
    if not subjects:
        st.info("No run yet. The board fills as soon as somebody trains.")
        return None
    # Not bound to the URL by Streamlit, which would write and expect the title there.
    wanted = st.query_params.get(SUBJECT)
    if wanted in subjects and wanted != st.session_state.get(_IN_URL):  # a link, or a reload
        st.session_state[_CHOSEN] = wanted
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        subject = st.selectbox(
            "Board of",
            list(subjects),
            format_func=subjects.__getitem__,
            key=_CHOSEN,
            width=420,
            label_visibility="collapsed",
        )
        st.query_params[SUBJECT] = st.session_state[_IN_URL] = subject
        st.page_link(
            "pages/board.py",
            label="Projector",
            icon=":material/cast_for_education:",
            query_params={SUBJECT: subject, "view": "projector"},
        )
        if current_person().is_admin:
            _draw_show_test()
        draw_results_button(partial(runs_of, subject), key="board_csv", file_name="results.csv")
    given = _assignment(subject)
    if given is not None and given.text:
        st.markdown("  \n".join(map(plain, given.text.splitlines())))
    _draw_live(subject, large=False)
    return subject


def _draw_show_test() -> None:
    shown = rules(store().database).test_shown
    st.button(
        "Hide test results" if shown else "Show test results",
        key="board_show_test",
        icon=":material/visibility_off:" if shown else ":material/visibility:",
        type="secondary" if shown else "primary",
        on_click=ask,
        args=(partial(change_rules, store().database, test_shown=not shown),),
        help="For everybody, on all pages. Until then pupils see validation results alone, so that "
        "nobody chooses by the test images.",
    )


def _draw_live(subject: str, *, large: bool) -> None:
    live_panel(
        partial(board_panel, subject, large), key=f"board_{subject}", live=True, seconds=POLL
    )


# --- what can be shown ----------------------------------------------------------------------------
def _subjects() -> dict[str, str]:
    """Returns the assignments, the newest first, and the data sets that runs were started on."""
    found = {each.id: each.title for each in assignments(store().database)}
    for run in store().runs():
        if not run.assignment and ":" not in run.origin:
            found.setdefault(DATA + run.dataset, "")
    return {
        key: title or f"Data set: {value_text('dataset', key.removeprefix(DATA))}"
        for key, title in found.items()
    }


def _assignment(subject: str) -> Assignment | None:
    if not subject or subject.startswith(DATA):
        return None
    try:
        return assignment(store().database, subject)
    except LabError:
        return None


def _title(subject: str) -> str:
    given = _assignment(subject)
    return plain(given.title if given else value_text("dataset", subject.removeprefix(DATA)))


def runs_of(subject: str) -> list[RunRow]:
    """Returns the runs of a board that the current person may see."""
    if subject.startswith(DATA):
        return of_subject(store().runs(), dataset=subject.removeprefix(DATA))
    return of_subject(store().runs(), assignment=subject)


# --- the panel ------------------------------------------------------------------------------------
def board_panel(subject: str, large: bool) -> Panel:
    """Returns the board as it is now; also called by the event hub."""
    whose = current_person().id if others_hidden() else ""
    hidden = not rules(store().database).test_shown  # on a projector everybody sees it
    return _panel(store().url, subject, large, hidden, whose, int(time.monotonic() / POLL))


@functools.lru_cache(maxsize=64)
def _panel(url: str, subject: str, large: bool, hidden: bool, whose: str, moment: int) -> Panel:
    """One for all viewers of a moment. `whose`: a person who sees their own runs alone."""
    runs = store()
    ahead = [*runs.runs(status=ACTIVE), *runs.queued()]
    found = standings(
        runs_of(subject), None if hidden else lambda run: own_answers(runs.folder(run.id))
    )
    metric = "Validation accuracy" if hidden else "Test accuracy"
    rows = [_row(each, ahead, by_test=not hidden) for each in found]
    if not rows:
        return {"state": "empty", "blocks": [text("Nobody has started a run yet.")]}
    board = {
        "kind": "board",
        "rows": rows,
        "metric": f"{metric}, 95% interval",
        "large": large,
        "label": f"The board: {len(rows)} persons, the best first.",
    }
    return {"state": str(hidden), "blocks": [board, text(_rule(found, hidden), tone="small")]}


def _rule(found: list[Standing], hidden: bool) -> str:
    counted = "Each person's completed run with the best validation accuracy counts."
    if hidden:
        return (
            f"{counted} Validation results alone: they chose the run, so they flatter it. Test "
            "results and places come when the teacher shows them."
        )
    if len(found) > MOST_PLACED:
        return f"{counted} More than {MOST_PLACED} persons get no places."
    return (
        f"{counted} Their place is 1 + the number of persons who are better by more than chance on "
        "the same test images (McNemar's paired test; copies of one photograph count once; Holm's "
        "correction over all pairs). Who shares a place (=) cannot be told apart."
    )


def _row(each: Standing, ahead: list[RunRow], *, by_test: bool) -> dict[str, Any]:
    best = each.best
    value = low = high = None
    if best is not None:
        part = "test" if by_test else "val"
        value = best.test_accuracy if by_test else best.best_val_accuracy
        samples = best.test_samples if by_test else best.val_samples
        if value is not None:
            folder = store().folder(best.id)
            low, high = _interval(folder, part, value, samples, checked_sets()) or (None, None)
    more = f" · best of {each.runs}" if each.runs > 1 else ""
    return {
        "person": each.person or "operator",
        "name": name_of(each.name),
        "place": each.place,
        "shared": each.shared,
        "value": value,
        "low": low,
        "high": high,
        "text": percent(value),
        "interval": "" if low is None or high is None else f"{low:.1%} to {high:.1%}",
        "run": None if best is None else f"{best.name}{more}",
        "href": None if best is None else f"runs?run={best.id}",
        "now": _now(each.now, ahead),
    }


@functools.lru_cache(maxsize=500)
def _interval(
    folder: Path, part: str, value: float, samples: int | None, checked: int
) -> tuple[float, float] | None:
    """Of a completed run, whose result stays; `checked`: see `checked_sets`."""
    return accuracy_interval(folder, part, value, samples).interval


def _now(run: RunRow | None, ahead: list[RunRow]) -> dict[str, Any] | None:
    if run is None:
        return None
    words, share = status_word(run.status), None
    if run.status == "running":
        words, share = f"Epoch {run.epoch} · {whole_percent(run.progress)}", run.progress
        if run.best_val_accuracy is not None:
            words += f" · {percent(run.best_val_accuracy)} validation"
    elif run.status == "queued":
        before = ahead[: next((i for i, r in enumerate(ahead) if r.id == run.id), 0)]
        starts = words_until(before, run)
        words = f"Place {place_in_line(before)} in line" if before else "Next in line"
        words += f", {starts}" if starts and before else ""
    return {"text": words, "share": share, "href": f"train?run={run.id}"}
