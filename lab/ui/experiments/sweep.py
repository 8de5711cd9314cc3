"""Sweeps on the Experiments page: start one, watch its table and chart, stop, resume."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from lab.api.panels import Panel, bar, table, text
from lab.config import KNOBS
from lab.errors import LabError
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig
from lab.experiments.sweeps.places import asks_effect, effect, effect_words
from lab.experiments.sweeps.results import (
    Line,
    interval_text,
    judged_values,
    lines,
    place_text,
    places_words,
    ranked,
)
from lab.experiments.sweeps.table import SweepRow, delete_sweep, sweep, sweeps
from lab.experiments.sweeps.thread import left_out, resume_sweep, start_sweep, stop_sweep
from lab.installation import COMMAND
from lab.metrics import METRICS
from lab.people import may_change, name_of
from lab.runs.store import store
from lab.ui.experiments.sweep_charts import chart_blocks, choose_chart, draw_importances
from lab.ui.experiments.sweep_form import (
    KEY,
    adopt_question,
    cost_words,
    draw_form,
    halving_words,
)
from lab.ui.live.panel import live_panel
from lab.ui.widgets.card_buttons import draw_card_buttons
from lab.ui.widgets.settings_table import setting_text
from lab.ui.words import plain
from lab.words import NONE, duration, percent

if TYPE_CHECKING:
    from lab.export.page_parts import Sheet

SELECTED = "sweep"
"""The key of the selected sweep in the URL and in the session."""

POLL = 2.0
COMPARED = 40
"""Runs in a link to Compare: the best ones."""

_STATUS = {
    "running": "Running",
    "resuming": "Resuming",
    "stopped": "Stopped",
    "completed": "Completed",
    "failed": "Failed",
}


def draw_sweep() -> None:
    """Draws the whole tab: the form of a new sweep, and the selected sweep."""
    every = sweeps(store())
    row = _selected(every)
    if adopt_question():
        st.session_state[f"{KEY}_new"] = True
    with st.expander(
        "New sweep", expanded=row is None, icon=":material/grid_on:", key=f"{KEY}_new",
        on_change="rerun",
    ) as expander:  # fmt: skip
        if expander.open:
            _draw_new()
    if row is None:
        st.caption(
            "A sweep trains one network many times and changes only the settings you choose. Its "
            "runs wait in the queue like any others; you can leave this page meanwhile."
        )
        return
    _draw_choice(every, row)
    _draw_selected(row)


def _draw_new() -> None:
    config = draw_form()
    invalid = config is None
    if config is not None:
        try:
            invalid = not _check(config)
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
            invalid = True
    st.button(
        "Start the sweep", key=f"{KEY}_begin", type="primary", icon=":material/play_arrow:",
        disabled=invalid, on_click=_begin, args=(config,),
    )  # fmt: skip


def _begin(config: SweepConfig) -> None:
    """The button's callback: a driver thread runs the sweep from then on, without this page."""
    try:
        _select(start_sweep(config))
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")
        return
    st.session_state[f"{KEY}_new"] = False  # closes the form


def _check(config: SweepConfig) -> bool:
    """Tells how many runs it makes and what is left out. Raises LabError when nothing is left."""
    missing = left_out(config)
    st.markdown(plain(cost_words(config, len(missing))))
    for reason in sorted(set(missing.values())):
        count = list(missing.values()).count(reason)
        st.caption(f"{count} left out: {plain(reason)}")
    return True


# --- which sweep --------------------------------------------------------------------------------
def _selected(every: list[SweepRow]) -> SweepRow | None:
    """Returns the sweep that the URL or the session names, else the newest one."""
    sweep_id = st.query_params.get(SELECTED) or st.session_state.get(SELECTED)
    row = next((each for each in every if each.id == sweep_id), every[0] if every else None)
    if row is not None:
        _select(row.id)
    return row


def _select(sweep_id: str | None) -> None:
    st.session_state[SELECTED] = sweep_id
    if sweep_id is None:
        st.query_params.pop(SELECTED, None)
    elif st.query_params.get(SELECTED) != sweep_id:
        st.query_params[SELECTED] = sweep_id


def _draw_choice(every: list[SweepRow], row: SweepRow) -> None:
    if len(every) < 2:
        return
    by_id = {each.id: each for each in every}
    key = f"{KEY}_choice"
    st.session_state[key] = row.id
    st.selectbox(
        "Sweep",
        list(by_id),
        format_func=lambda i: (
            f"{by_id[i].name} · {_STATUS[by_id[i].status].lower()} · "
            f"{by_id[i].created_at.astimezone():%Y-%m-%d %H:%M}"
        ),
        key=key,
        on_change=lambda: _select(st.session_state[key]),
    )


# --- the selected sweep -------------------------------------------------------------------------
def _draw_selected(row: SweepRow) -> None:
    """Draws the sweep; bar, chart and table move by themselves while it changes."""
    try:
        config = SweepConfig.from_json(row.config_json)
    except (LabError, ValueError) as error:
        st.error(f"Another version of the lab made this sweep. {plain(str(error))}")
        return
    combinations = lines(config, store().runs(origin=row.origin), row.notes)
    st.header(plain(row.name), anchor=False)
    if config.story:
        st.caption(plain(config.story))
    if row.message:
        (st.error if row.status == "failed" else st.caption)(plain(row.message))
    if config.kind == "halving":
        st.caption(halving_words(config))
    _buttons(row, config, combinations)
    chart = choose_chart(config, combinations)
    live_panel(
        partial(sweep_panel, row.id, config, chart),
        key=f"{KEY}_live",
        live=row.is_working or any(run.is_live for x in combinations for run in x.runs),
        seconds=POLL,
    )
    draw_importances(row.id, config, combinations)


def sweep_panel(sweep_id: str, config: SweepConfig, chart: str) -> Panel:
    """Returns bar, chart and table as they are now; also called by the event hub.

    Raises NotFoundError when the sweep was deleted.
    """
    row = sweep(store(), sweep_id)
    runs = store().runs(origin=row.origin)
    combinations = lines(config, runs, row.notes)
    ended = sum(x.state in ("done", "stopped early", "failed", "left out") for x in combinations)
    total = max(config.combinations, len(combinations))
    words = f"{_STATUS[row.status]}: {ended} of {total} combinations done"
    seconds = sum(x.seconds for x in combinations)
    if seconds:
        words += f", {duration(seconds)} of training so far"
    live = row.is_working or any(run.is_live for run in runs)
    comparable = sum(run.has_weights for run in runs) > 1  # then the page has one button more
    return {
        "state": f"{row.status} {live} {comparable}",
        "blocks": [
            bar(words, min(1.0, ended / total)),
            *_effect(config, combinations),
            *chart_blocks(config, combinations, chart),
            *_table(config, ranked(config, combinations)),
        ],
    }


def _effect(config: SweepConfig, combinations: list[Line]) -> list[Panel]:
    """Returns the answer to "does this setting matter here?", where that is what was asked."""
    if not asks_effect(config):
        return []
    found = effect(config, *judged_values(config, combinations))
    if found is None:
        return [text("The answer comes with the second seed of both values.", tone="small")]
    return [text(effect_words(config, found), tone="good" if found.more_than_chance else "plain")]


def _buttons(row: SweepRow, config: SweepConfig, combinations: list[Line]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if not (mine := may_change(row.person)):
            st.caption(f"of {plain(name_of(row.person_name))}")
        elif row.is_working:
            st.button(
                "Stop all", key=f"{KEY}_stop", icon=":material/stop_circle:", on_click=_act,
                args=("stop", row.id),
                help="Ends what trains within one step and takes the rest out of the queue. Resume "
                "goes on exactly there.",
            )  # fmt: skip
        elif row.status in ("stopped", "failed"):
            st.button(
                "Resume", key=f"{KEY}_resume", icon=":material/play_arrow:", on_click=_act,
                args=("resume", row.id), help="Goes on with its stopped runs where they were.",
            )  # fmt: skip
        runs = [run.id for x in ranked(config, combinations) for run in x.runs if run.has_weights]
        if len(runs) > 1:
            st.page_link(
                "pages/compare.py",
                label="Compare its runs"
                if len(runs) <= COMPARED
                else f"Compare the best {COMPARED}",
                icon=":material/compare_arrows:",
                query_params={"runs": ",".join(runs[:COMPARED])},
            )
        st.download_button(
            "As YAML", config.to_yaml(), file_name=f"{row.id}.yaml", key=f"{KEY}_yaml",
            icon=":material/download:", on_click="ignore",
            help=f"The same sweep for the command line: {COMMAND} sweep FILE.yaml",
        )  # fmt: skip
        draw_card_buttons(partial(_card, row.id), row.id, key=KEY)
        if mine and not row.is_working:
            st.button(
                "Forget", key=f"{KEY}_forget", icon=":material/delete:", on_click=_act,
                args=("forget", row.id),
                help="Takes the sweep off this list. Its runs stay on the Runs page.",
            )  # fmt: skip


def _card(sweep_id: str) -> Sheet:
    from lab.export.sweep_card import sweep_card  # brings optuna

    return sweep_card(sweep(store(), sweep_id))


def _act(action: str, sweep_id: str) -> None:
    """A button's callback: requests the action and does not wait for it."""
    try:
        if action == "stop":
            stop_sweep(sweep_id)
        elif action == "resume":
            resume_sweep(sweep_id)
        else:
            delete_sweep(store(), sweep_id)
            _select(None)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _table(config: SweepConfig, combinations: list[Line]) -> list[Panel]:
    metric, accuracy = JUDGED_BY[config.metric], METRICS["accuracy"]
    several = len(config.seeds) > 1
    placed = any(x.place for x in combinations)
    has_notes = any(x.note for x in combinations)
    columns = [
        *(["Place"] if placed else []),
        *(KNOBS[knob].title for knob in config.axes),
        metric,
        "95%",
        "Test accuracy",
        *(["Seeds"] if several else []),
        "State",
        "Training time",
        "Run",
        *(["Why"] if has_notes else []),
    ]
    rows: list[list[object]] = [
        [
            *([{"text": place_text(x, combinations), "sort": x.place}] if placed else []),
            *(_setting(knob, x.params[knob]) for knob in config.axes),
            {"text": x.judged.text(config.measured), "sort": x.judged.mean},
            interval_text(x, config.measured),
            {"text": x.test.text(accuracy), "sort": x.test.mean},
            *([f"{x.judged.count} of {len(config.seeds)}"] if several else []),
            x.state.capitalize(),
            {"text": duration(x.seconds or None), "sort": x.seconds},
            ("open", f"runs?run={x.runs[0].id}") if x.runs else NONE,
            *([x.note or NONE] if has_notes else []),
        ]
        for x in combinations
    ]
    return [
        table(
            columns,
            rows,
            label=_table_alt(combinations),
            numeric=(metric, "95%", "Test accuracy", "Training time"),
        ),
        text(_table_caption(config, combinations), tone="small"),
    ]


def _setting(knob: str, value: object) -> dict[str, object]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"text": setting_text(knob, value), "sort": value if number else None}


def _table_alt(combinations: list[Line]) -> str:
    done = sum(x.judged.count > 0 for x in combinations)
    return f"Table of {len(combinations)} combinations, {done} with a result, the best first."


def _table_caption(config: SweepConfig, combinations: list[Line]) -> str:
    """Returns what the results were measured on, and what they do not show."""
    done = [x for x in combinations if x.judged.count]
    words = "The best first. "
    if places := places_words(config, done):
        words = f"{places} "
    if done:
        samples = next((r.val_samples for x in done for r in x.runs if r.val_samples), None)
        if samples:
            words += f"Judged on {samples:,} validation images at each run's best epoch. "
    if len(config.seeds) > 1:
        words += (
            f"Means over {len(config.seeds)} seeds with their standard deviation, and the 95% "
            "interval of the mean over further seeds. "
        )
    elif config.measured.is_share:
        words += "The 95% interval comes from the number of images (Wilson). "
    if len(done) > 1:
        words += (
            f"The best of {len(done)} was chosen by its validation result, so part of its lead is "
            "luck. Its test accuracy took no part in the choice."
        )
        best = done[0].test.mean
        if best is not None:
            words += f" It is {percent(best)}."
    return words
