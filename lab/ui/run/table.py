"""The Runs page: the table of runs, the queue, and the actions on one run."""

from __future__ import annotations

import pandas as pd
import streamlit as st
import yaml

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.runs.queue import queue
from lab.runs.store import RunRow, store
from lab.ui.state import current_run, fill_form, look_at
from lab.ui.widgets.links import MOST_COMPARED, compare_query, compare_query_with
from lab.ui.words import status_word

STATUSES = ("running", "queued", "paused", "stopped", "completed", "failed", "interrupted")


def draw_table() -> RunRow | None:
    """Draws the runs that pass the filter; returns the selected one."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Find",
            key="runs_search",
            placeholder="a name, data set or architecture",
            icon=":material/search:",
            persist_state="session",
        )
        statuses = st.pills(
            "Status",
            STATUSES,
            format_func=status_word,
            selection_mode="multi",
            key="runs_status",
            persist_state="session",
        )
    rows = store().runs(search=search or "", status=tuple(statuses) or None)
    if not rows:
        if search or statuses:
            st.caption("No run passes the filter.")
        else:
            st.info("No runs yet. Start one on the Home or Train page; it will stay here.")
            st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")
        return current_run()
    current = current_run()
    position = next((i for i, row in enumerate(rows) if current and row.id == current.id), None)
    st.space("small")  # the table's own buttons float above it
    event = st.dataframe(
        _frame(rows),
        key="runs_table",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if position is None else [position]}},
        column_config=_COLUMNS,
        alt=f"Table of {len(rows)} runs with their knobs and results.",
    )
    selected = event["selection"]["rows"]
    st.caption(
        f"{len(rows)} run(s). Select a row to open it; press a column's head to sort. "
        "Validation accuracy chose the weights; the test set was looked at once, at the end."
    )
    if len(rows) > 1:
        st.page_link(
            "pages/compare.py",
            label=f"Compare these {min(len(rows), MOST_COMPARED)} runs",
            icon=":material/compare_arrows:",
            help="Those that the filter above lets through.",
            query_params=compare_query([row.id for row in rows]),
        )
    if not selected:
        return current
    row = rows[selected[0]]
    if current is None or row.id != current.id:
        look_at(row.id)
    return row


_COLUMNS = {
    "Best validation": st.column_config.NumberColumn(format="percent"),
    "Test": st.column_config.NumberColumn(format="percent"),
    "Learning rate": st.column_config.NumberColumn(format="%g"),
    "Seconds": st.column_config.NumberColumn(format="%.0f"),
    "Started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
}


def _frame(rows: list[RunRow]) -> pd.DataFrame:
    titles = {info.name: info.title for info in catalog.list_datasets()}
    settings = [r.settings for r in rows]  # plain values: also of runs of another version
    return pd.DataFrame(
        {
            "Name": [r.name for r in rows],
            "Status": [status_word(r.status) for r in rows],
            "Best validation": [r.best_val_accuracy for r in rows],
            "Test": [r.test_accuracy for r in rows],
            "Data set": [titles.get(r.dataset, r.dataset) for r in rows],
            "Architecture": [r.architecture for r in rows],
            "Trained": [KNOBS["freeze"].text(s["freeze"]) for s in settings],
            "Activation": [KNOBS["activation"].text(s["activation"]) for s in settings],
            "Batch": [s["batch_size"] for s in settings],
            "Learning rate": [s["learning_rate"] for s in settings],
            "Epochs": [s["epochs"] for s in settings],
            "Seconds": [r.seconds for r in rows],
            "Started": pd.to_datetime([r.created_at for r in rows]),
        }
    )


def draw_queue() -> None:
    """Draws the waiting runs in order, with buttons to move or remove them."""
    waiting = store().queued()
    if not waiting:
        return
    with st.container(border=True):
        st.markdown(f"**In the queue: {len(waiting)}.** One run at a time trains on a device.")
        for place, run in enumerate(waiting):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{place + 1}. {run.name}", width="stretch")
                _queue_button("Earlier", "arrow_upward", run.id, -1, disabled=place == 0)
                _queue_button(
                    "Later", "arrow_downward", run.id, 1, disabled=place == len(waiting) - 1
                )
                st.button(
                    "Take out",
                    key=f"runs_remove_{run.id}",
                    icon=":material/close:",
                    on_click=_try,
                    args=("remove", run.id),
                )


def _queue_button(label: str, icon: str, run_id: str, places: int, *, disabled: bool) -> None:
    st.button(
        label,
        key=f"runs_{label}_{run_id}",
        icon=f":material/{icon}:",
        disabled=disabled,
        on_click=_try,
        args=("move", run_id, places),
    )


def _try(action: str, run_id: str, *arguments: int) -> None:
    try:
        getattr(queue(), action)(run_id, *arguments)
    except LabError as error:
        st.toast(str(error), icon=":material/error:")


def draw_actions(run: RunRow) -> None:
    with st.container(horizontal=True):
        if st.button(
            "Start again with these settings",
            key="runs_again",
            icon=":material/replay:",
            help="Puts its settings into the Train page, where you can change them.",
        ):
            try:
                fill_form(run.config)
            except LabError as error:
                st.error(f"Another version of the lab made this run. {error}")
                st.stop()
            look_at(None)
            st.switch_page("pages/train.py")
        if st.button(
            "Compare",
            key="runs_compare",
            icon=":material/compare_arrows:",
            help="Adds it to the runs on the Compare page.",
        ):
            st.switch_page("pages/compare.py", query_params=compare_query_with(run.id))
        if st.button("Rename", key="runs_rename", icon=":material/edit:"):
            _rename(run.id, run.name)
        if st.button(
            "Delete",
            key="runs_delete",
            icon=":material/delete:",
            disabled=run.is_active,
            help="Stop it first." if run.is_active else "Asks before anything is deleted.",
        ):
            _delete(run.id, run.name)


@st.dialog("Rename the run")
def _rename(run_id: str, name: str) -> None:
    new = st.text_input("Name", value=name, key="runs_new_name", max_chars=80)
    if st.button("Save", type="primary", key="runs_rename_save"):
        try:
            store().rename(run_id, new)
        except LabError as error:
            st.error(str(error))
            return
        st.rerun()


@st.dialog("Delete this run?")
def _delete(run_id: str, name: str) -> None:
    st.markdown(f"**{name}**: its curves and its weights will be gone for good.")
    if st.button("Delete it", type="primary", key="runs_delete_sure"):
        try:
            store().delete(run_id)
        except LabError as error:
            st.error(str(error))
            return
        look_at(None)
        st.rerun()


def draw_settings(run: RunRow) -> None:
    """Draws every knob of the run, as it was set."""
    defaults = RunConfig().model_dump(mode="json")
    values = run.settings
    st.dataframe(
        [
            {
                "Knob": KNOBS[name].title if name in KNOBS else name,
                "Value": "automatic" if value is None else str(value),
                "Changed": value != defaults.get(name),
            }
            for name, value in values.items()
        ],
        hide_index=True,
        alt="All knobs of the run with their values.",
    )
    st.download_button(
        "Download as YAML",
        yaml.safe_dump(values, sort_keys=False),
        file_name=f"{run.id}.yaml",
        key="runs_yaml",
        icon=":material/download:",
    )
    st.caption(f"Run {run.id}")
