"""Sweeps on the Experiments page: start one, watch its table and chart, stop, resume."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lab.config import KNOBS
from lab.errors import LabError, NotFoundError
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig
from lab.experiments.sweeps.results import Line, lines, ranked
from lab.experiments.sweeps.table import SweepRow, delete_sweep, sweep, sweeps
from lab.experiments.sweeps.thread import left_out, resume_sweep, start_sweep, stop_sweep
from lab.runs.store import store
from lab.ui.experiments.sweep_charts import draw_chart
from lab.ui.experiments.sweep_form import KEY, cost_words, draw_form, halving_words
from lab.ui.widgets.settings_table import setting_text
from lab.ui.words import plain
from lab.words import duration, percent

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
    pace = POLL if _is_changing(row) else None
    st.fragment(run_every=pace, key=f"{KEY}_live")(_body)(row.id, pace)


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


def _is_changing(row: SweepRow) -> bool:
    """Returns whether the sweep or one of its runs may still change by itself."""
    return row.is_working or any(run.is_live for run in store().runs(origin=row.origin))


# --- the selected sweep -------------------------------------------------------------------------
def _body(sweep_id: str, pace: float | None) -> None:
    """The fragment: ticks while the sweep changes; at its end the page runs once more."""
    try:
        row = sweep(store(), sweep_id)
    except NotFoundError:  # deleted in another tab
        _select(None)
        st.rerun()
    if _is_changing(row) != (pace is not None):
        st.rerun()
    try:
        config = SweepConfig.from_json(row.config_json)
    except (LabError, ValueError) as error:
        st.error(f"Another version of the lab made this sweep. {plain(str(error))}")
        return
    combinations = lines(config, store().runs(origin=row.origin), row.notes)
    _heading(row, config, combinations)
    _buttons(row, config, combinations)
    draw_chart(config, combinations)
    _table(config, ranked(config, combinations))


def _heading(row: SweepRow, config: SweepConfig, combinations: list[Line]) -> None:
    st.subheader(plain(row.name), anchor=False)
    if config.story:
        st.caption(plain(config.story))
    ended = sum(x.state in ("done", "stopped early", "failed", "left out") for x in combinations)
    total = max(config.combinations, len(combinations))
    text = f"{_STATUS[row.status]}: {ended} of {total} combinations done"
    seconds = sum(x.seconds for x in combinations)
    if seconds:
        text += f", {duration(seconds)} of training so far"
    st.progress(min(1.0, ended / total), text=plain(text))
    if row.message:
        (st.error if row.status == "failed" else st.caption)(plain(row.message))
    if config.kind == "halving":
        st.caption(halving_words(config))


def _buttons(row: SweepRow, config: SweepConfig, combinations: list[Line]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if row.is_working:
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
            help="The same sweep for the command line: python -m lab sweep FILE.yaml",
        )  # fmt: skip
        if not row.is_working:
            st.button(
                "Forget", key=f"{KEY}_forget", icon=":material/delete:", on_click=_act,
                args=("forget", row.id),
                help="Takes the sweep off this list. Its runs stay on the Runs page.",
            )  # fmt: skip


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
        st.toast(str(error), icon=":material/error:")


def _table(config: SweepConfig, combinations: list[Line]) -> None:
    seeds = len(config.seeds)
    metric = JUDGED_BY[config.metric]
    columns: dict[str, list[object]] = {
        KNOBS[knob].title: [setting_text(knob, x.params[knob]) for x in combinations]
        for knob in config.axes
    }
    columns[metric] = [x.judged.mean for x in combinations]
    if seeds > 1:
        columns["±"] = [x.judged.spread for x in combinations]
    columns["Test accuracy"] = [x.test.mean for x in combinations]
    if seeds > 1:
        columns["± test"] = [x.test.spread for x in combinations]
        columns["Seeds"] = [f"{x.judged.count} of {seeds}" for x in combinations]
    columns["State"] = [x.state.capitalize() for x in combinations]
    columns["Seconds"] = [x.seconds or None for x in combinations]
    columns["Run"] = [f"/runs?run={x.runs[0].id}" if x.runs else None for x in combinations]
    if any(x.note for x in combinations):
        columns["Why"] = [x.note for x in combinations]
    number_format = "percent" if config.measured.is_share else "%.4f"
    st.dataframe(
        pd.DataFrame(columns),
        key=f"{KEY}_table",
        hide_index=True,
        placeholder="–",
        column_config={
            metric: st.column_config.NumberColumn(format=number_format),
            "±": st.column_config.NumberColumn(
                format=number_format, help="Standard deviation over seeds."
            ),
            "Test accuracy": st.column_config.NumberColumn(format="percent"),
            "± test": st.column_config.NumberColumn(
                format="percent", help="Standard deviation over seeds."
            ),
            "Seconds": st.column_config.NumberColumn(format="%.0f"),
            "Run": st.column_config.LinkColumn(display_text="open"),
            "Why": st.column_config.TextColumn(width="large"),
        },
        alt=_table_alt(combinations),
    )
    st.caption(_table_caption(config, combinations))


def _table_alt(combinations: list[Line]) -> str:
    done = sum(x.judged.count > 0 for x in combinations)
    return f"Table of {len(combinations)} combinations, {done} with a result, the best first."


def _table_caption(config: SweepConfig, combinations: list[Line]) -> str:
    """Returns what the results were measured on, and what they do not show."""
    done = [x for x in combinations if x.judged.count]
    text = "The best first. "
    if done:
        samples = next((r.val_samples for x in done for r in x.runs if r.val_samples), None)
        if samples:
            text += f"Judged on {samples:,} validation images at each run's best epoch. "
    if len(config.seeds) > 1:
        text += f"Means over {len(config.seeds)} seeds with their standard deviation. "
    if len(done) > 1:
        text += (
            f"The best of {len(done)} was chosen by its validation result, so part of its lead is "
            "luck. Its test accuracy took no part in the choice."
        )
        best = done[0].test.mean
        if best is not None:
            text += f" It is {percent(best)}."
    return plain(text)
