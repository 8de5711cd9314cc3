"""The Runs page: the table of runs, the queue, and the actions on one run."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st
import yaml

from lab.config import KNOBS, RunConfig
from lab.errors import LabError
from lab.models.activations import ACTIVATIONS
from lab.models.architecture import ARCHITECTURES
from lab.people import current_person, has_sign_in, may_change, name_of
from lab.runs.status import STATUSES
from lab.runs.store import LONGEST_NOTES, LONGEST_TAG, RunRow, store
from lab.ui.run.finished import run_again
from lab.ui.state import current_run, look_at
from lab.ui.widgets.baseline import AGAINST, against_columns
from lab.ui.widgets.links import MOST_COMPARED, compare_query, compare_query_with
from lab.ui.widgets.queue_actions import ask, ask_queue
from lab.ui.widgets.results_button import draw_results_button
from lab.ui.widgets.settings_table import setting_text
from lab.ui.words import plain, status_word
from lab.words import NONE, plural

if TYPE_CHECKING:
    from streamlit.elements.arrow import DataframeSelectionState

TICKED = "runs_ticked"
"""The session's key of the ids of the ticked runs; exactly one of them is open below the table."""
_ROUND = "runs_round"
"""The session's key of a number in the table's key: with a new one the ticks are set anew."""

PERCENT = "%.1f%%"
MOST_NAMES = 10
"""Runs that are named before they are deleted together; more are counted."""


def draw_table() -> RunRow | None:
    """Draws the runs that pass the filter, and what can be done with several; returns the run that
    is open below, None while several are ticked."""
    search = st.text_input(
        "Find",
        key="runs_search",
        placeholder="A name, a tag, a data set …",
        icon=":material/search:",
        width=400,
        persist_state="session",
    )
    found = store().runs(search=search or "")
    found = _choose_mine(found)
    statuses = _choose_statuses(found)
    rows = [row for row in found if not statuses or row.status in statuses]
    if not rows:
        if search or statuses:
            st.caption("No run passes the filter.")
        else:
            st.info("No runs yet. Start one on the Home or Train page; it will stay here.")
            st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")
        return current_run()
    current = current_run()
    ids = [row.id for row in rows]
    ticked = _ticked(ids, current)
    # The ticks are places in the table. With a key of its own for every list of runs, a run that
    # comes or goes cannot move them to another run.
    key = f"runs_table_{st.session_state.get(_ROUND, 0)}_{zlib.crc32(' '.join(ids).encode())}"
    st.space("small")  # the table's own buttons float above it
    st.dataframe(
        _frame(rows),
        key=key,
        hide_index=True,
        on_select=lambda: _select(st.session_state[key]["selection"], ids),
        selection_mode=("multi-row", "single-cell"),
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in ticked]}},
        column_config=_COLUMNS,
        placeholder=NONE,
        alt=f"Table of {plural(len(rows), 'run')} with settings and results.",
    )
    _draw_caption(rows)
    if len(ticked) > 1:
        _draw_several([row for row in rows if row.id in ticked])
        return None
    return current


def _choose_mine(rows: list[RunRow]) -> list[RunRow]:
    """Draws whose runs are listed, in a lab that several people use; returns theirs."""
    if not rows or not has_sign_in():
        return rows
    choice = st.segmented_control(
        "Whose",
        ["Everybody's", "Mine"],
        default="Everybody's",
        required=True,
        key="runs_whose",
        label_visibility="collapsed",
        persist_state="session",
    )
    me = current_person().id
    return [row for row in rows if row.person == me] if choice == "Mine" else rows


def _choose_statuses(rows: Sequence[RunRow]) -> Collection[str]:
    """Draws the statuses that these runs have, to choose from; returns the chosen ones."""
    chosen = st.session_state.get("runs_status") or ()
    present = {row.status for row in rows}.union(chosen)
    if len(present) < 2 and not chosen:
        return ()
    return st.pills(
        "Status",
        [status for status in STATUSES if status in present],
        format_func=status_word,
        selection_mode="multi",
        key="runs_status",
        persist_state="session",
    )


def _ticked(ids: Sequence[str], current: RunRow | None) -> list[str]:
    """The ticked runs that the table shows; one alone is always the open one."""
    ticked = [run_id for run_id in st.session_state.get(TICKED, ()) if run_id in ids]
    if len(ticked) < 2:
        ticked = [current.id] if current is not None and current.id in ids else []
    if ticked != st.session_state.get(TICKED):
        _tick(ticked)
    return ticked


def _tick(run_ids: Sequence[str]) -> None:
    st.session_state[TICKED] = list(run_ids)
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1


def _select(selection: DataframeSelectionState, ids: Sequence[str]) -> None:
    """The table's callback: a click on a cell opens that run alone, ticks add runs to each other;
    one tick alone opens its run."""
    if selection["cells"]:
        _tick([ids[int(selection["cells"][0][0])]])
    else:
        st.session_state[TICKED] = [ids[place] for place in selection["rows"]]
    ticked = st.session_state[TICKED]
    if len(ticked) < 2:
        look_at(ticked[0] if ticked else None)


def _draw_caption(rows: Sequence[RunRow]) -> None:
    text = plural(len(rows), "run")
    if len(rows) > 1:
        text += (
            ". Press a name to open its run; tick several to compare, tag or delete them; press a "
            "column's head to sort"
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{text}.", width="stretch")
        draw_results_button(lambda: rows, key="runs_csv", file_name="runs.csv")


def _draw_several(rows: Sequence[RunRow]) -> None:
    """Draws what can be done with the ticked runs."""
    count = len(rows)
    mine = [row for row in rows if may_change(row.person)]
    idle = [row for row in mine if not row.is_active]
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Compare these {count}",
            key="runs_compare_ticked",
            type="primary",
            icon=":material/compare_arrows:",
            disabled=count > MOST_COMPARED,
            help=f"At most {MOST_COMPARED} at once." if count > MOST_COMPARED else None,
        ):
            st.switch_page("pages/compare.py", query_params=compare_query([row.id for row in rows]))
        if mine and st.button("Tag", key="runs_tag_ticked", icon=":material/label:"):
            _tag([row.id for row in mine], {row.tag for row in mine})
        if st.button(
            f"Delete {plural(len(idle), 'run')}",
            key="runs_delete_ticked",
            icon=":material/delete:",
            disabled=not idle,
            help="Asks before anything is deleted."
            + (" Runs that train now stay; stop them first." if len(idle) < len(mine) else "")
            + (" Other people's runs stay." if len(mine) < count else ""),
        ):
            _delete([(row.id, row.name) for row in idle])
        st.button(
            "Untick all",
            key="runs_untick",
            type="tertiary",
            on_click=_untick,
        )


def _untick() -> None:
    _tick([])
    look_at(None)


_COLUMNS = {
    # Test and status are narrow and come first: on a phone the name stands beside them.
    "Test": st.column_config.NumberColumn(
        format=PERCENT,
        width=70,
        help="Accuracy of the best epoch's weights on the test images; measured once, at the end.",
    ),
    "Status": st.column_config.TextColumn(width=96),
    "Validation": st.column_config.NumberColumn(
        format=PERCENT, help="Accuracy on the validation images at the best epoch."
    ),
    **AGAINST,
    "Best epoch by": st.column_config.TextColumn(
        help="What chose the epoch whose weights are kept and tested."
    ),
    "Learning rate": st.column_config.NumberColumn(format="%g"),
    "Seconds": st.column_config.NumberColumn(
        format="%.0f", help="Of training, that of a run that it goes on from included."
    ),
    "Started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
}


def _frame(rows: Sequence[RunRow]) -> pd.DataFrame:
    settings = [r.settings for r in rows]  # plain values: also of runs of another version
    # A data set's title is read from its files: once for all its runs.
    datasets = {name: setting_text("dataset", name) for name in {r.dataset for r in rows}}
    names = {r.id: r.name for r in rows}
    shared = has_sign_in()
    columns: dict[str, list[object]] = {
        "Test": [_percent(r.test_accuracy) for r in rows],
        "Status": [status_word(r.status) for r in rows],
        "Name": [r.name for r in rows],
        "By": [name_of(r.person_name) if shared else None for r in rows],
        "Validation": [_percent(r.best_val_accuracy) for r in rows],
        "Best epoch by": _setting_column("best_metric", settings),
        "Starred": ["★" if r.starred else None for r in rows],
        "Tag": [r.tag or None for r in rows],
        "From": [_from_text(r, names) for r in rows],
        **against_columns(rows),
        "Data set": [datasets[r.dataset] for r in rows],
        "Architecture": [setting_text("architecture", r.architecture) for r in rows],
        "Freeze strategy": _setting_column("freeze", settings),
        "Activation": [_activation(s) for s in settings],
        "Batch size": [s.get("batch_size") for s in settings],
        "Learning rate": [s.get("learning_rate") for s in settings],
        "Epochs": [s.get("epochs") for s in settings],
        "Seconds": [r.seconds or None for r in rows],
    }
    for name in ("By", "Starred", "Tag", "From"):
        if not any(columns[name]):
            del columns[name]
    frame = pd.DataFrame(columns)
    frame["Started"] = pd.to_datetime([r.created_at for r in rows])
    return frame


def _from_text(run: RunRow, names: Mapping[str, str]) -> str | None:
    """Returns the run that it starts from, by name where the table has it."""
    if not run.parent:
        return None
    return f"{names.get(run.parent, run.parent)}, epoch {run.parent_epoch}"


def _percent(share: float | None) -> float | None:
    """For PERCENT: the column's own format "percent" shows none, one or two digits as they come."""
    return None if share is None else 100 * share


def _setting_column(name: str, settings: Sequence[Mapping[str, object]]) -> list[object]:
    return [setting_text(name, s[name]) if name in s else None for s in settings]


def _activation(settings: Mapping[str, object]) -> str | None:
    """The title of the activation that the network has, also where the setting is its own one."""
    name, architecture = settings.get("activation"), settings.get("architecture")
    if name == "auto" and architecture in ARCHITECTURES:
        name = ARCHITECTURES.get(str(architecture)).native_activation
    if name not in ACTIVATIONS:
        return None if name is None else str(name)
    return ACTIVATIONS.get(str(name)).title


def draw_queue() -> None:
    """Draws the waiting runs in order, with buttons to move or remove them.

    When each starts stands in the panel above (`lab.ui.widgets.running`), which moves by itself.
    """
    waiting = store().queued()
    if not waiting:
        return
    several = len({run.person for run in waiting}) > 1
    turns = " One run a person in turn." if several else ""
    with st.container(border=True):
        st.markdown(
            f"**In the queue: {len(waiting)}.** One run at a time trains on each place.{turns}"
        )
        for place, run in enumerate(waiting):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{place + 1}. {plain(run.name)}", width="stretch")
                if not may_change(run.person):
                    st.caption(plain(name_of(run.person_name)))
                    continue
                own = [other.id for other in waiting if other.person == run.person]
                first, last = run.id == own[0], run.id == own[-1]
                _queue_button("Earlier", "arrow_upward", run.id, -1, disabled=first)
                _queue_button("Later", "arrow_downward", run.id, 1, disabled=last)
                st.button(
                    "Take out",
                    key=f"runs_remove_{run.id}",
                    icon=":material/close:",
                    on_click=ask_queue,
                    args=("remove", run.id),
                )


def _queue_button(label: str, icon: str, run_id: str, places: int, *, disabled: bool) -> None:
    st.button(
        label,
        key=f"runs_{label}_{run_id}",
        icon=f":material/{icon}:",
        disabled=disabled,
        on_click=ask_queue,
        args=("move", run_id, places),
    )


def draw_actions(run: RunRow) -> None:
    with st.container(horizontal=True):
        if st.button(
            "Use these settings",
            key="runs_again",
            icon=":material/tune:",
            help="Opens the Train page with them, where you can change them and press Train.",
        ):
            run_again(run)
        if st.button(
            "Compare",
            key="runs_compare",
            icon=":material/compare_arrows:",
            help="Adds it to the runs on the Compare page.",
        ):
            st.switch_page("pages/compare.py", query_params=compare_query_with(run.id))
        if may_change(run.person):
            _draw_owner_actions(run)
    if run.notes:
        st.markdown("  \n".join(map(plain, run.notes.splitlines())))


def _draw_owner_actions(run: RunRow) -> None:
    """Draws what only its owner and the admin may do."""
    if st.button("Rename", key="runs_rename", icon=":material/edit:"):
        _rename(run.id, run.name)
    if st.button("Tag", key="runs_tag", icon=":material/label:"):
        _tag([run.id], {run.tag})
    if st.button("Notes", key="runs_notes", icon=":material/edit_note:"):
        _write_notes(run.id, run.notes)
    st.button(
        "Unstar" if run.starred else "Star",
        key="runs_star",
        icon=":material/star:",
        on_click=ask,
        args=(store().set_star, run.id, not run.starred),
    )
    st.button(
        "No baseline" if run.is_baseline else "Make baseline",
        key="runs_baseline",
        icon=":material/straighten:",
        help="One run that the others are measured against, here and on Compare.",
        on_click=ask,
        args=(store().set_baseline, None if run.is_baseline else run.id),
    )
    if st.button(
        "Delete",
        key="runs_delete",
        icon=":material/delete:",
        disabled=run.is_active,
        help="Stop it first." if run.is_active else "Asks before anything is deleted.",
    ):
        _delete([(run.id, run.name)])


@st.dialog("Notes")
def _write_notes(run_id: str, notes: str) -> None:
    new = st.text_area(
        "What to remember of this run",
        value=notes,
        key="runs_new_notes",
        max_chars=LONGEST_NOTES,
        help="The field Find above the table finds runs by their notes, too.",
    )
    if st.button("Save", type="primary", key="runs_notes_save"):
        try:
            store().set_notes(run_id, new)
        except LabError as error:
            st.error(plain(str(error)))
            return
        st.rerun()


@st.dialog("Rename the run")
def _rename(run_id: str, name: str) -> None:
    new = st.text_input("Name", value=name, key="runs_new_name", max_chars=80)
    if st.button("Save", type="primary", key="runs_rename_save"):
        try:
            store().rename(run_id, new)
        except LabError as error:
            st.error(plain(str(error)))
            return
        st.rerun()


@st.dialog("Tag")
def _tag(run_ids: Sequence[str], tags: Collection[str]) -> None:
    """One label for all these runs; `tags` are those that they have."""
    tag = st.text_input(
        f"Tag of {plural(len(run_ids), 'run')}",
        value=next(iter(tags)) if len(tags) == 1 else "",
        key="runs_new_tag",
        max_chars=LONGEST_TAG,
        placeholder="Such as: lesson 3",
        help="The field Find above the table finds runs by their tag. Empty: no tag.",
    )
    if st.button("Save", type="primary", key="runs_tag_save"):
        try:
            store().set_tag(run_ids, tag)
        except LabError as error:
            st.error(plain(str(error)))
            return
        st.rerun()


@st.dialog("Delete?")
def _delete(runs: Sequence[tuple[str, str]]) -> None:
    """Asks once, then deletes all these runs, given as id and name."""
    count = plural(len(runs), "run")
    st.markdown(f"**{count}** with curves and weights will be gone for good:")
    names = [f"- {plain(name)}" for _, name in runs[:MOST_NAMES]]
    if len(runs) > MOST_NAMES:
        names.append(f"- and {len(runs) - MOST_NAMES} more")
    st.markdown("\n".join(names))
    if st.button(f"Delete {count}", type="primary", key="runs_delete_sure"):
        try:
            for run_id, _ in runs:
                store().delete(run_id)
        except LabError as error:
            st.error(plain(str(error)))
            return
        _untick()
        st.rerun()


def draw_settings(run: RunRow) -> None:
    """Draws every setting of the run, those that were changed first."""
    defaults = RunConfig().model_dump(mode="json")
    values = run.settings
    rows = [
        {
            "Setting": KNOBS[name].title if name in KNOBS else name,
            "Value": setting_text(name, value),
            "": "changed" if value != defaults.get(name) else "",
        }
        for name, value in values.items()
    ]
    st.dataframe(
        sorted(rows, key=lambda row: row[""], reverse=True),
        hide_index=True,
        alt="All settings of the run with their values.",
    )
    st.download_button(
        "Download as YAML",
        yaml.safe_dump(values, sort_keys=False),
        file_name=f"{run.id}.yaml",
        key="runs_yaml",
        icon=":material/download:",
    )
    st.caption(f"Run {run.id}")
