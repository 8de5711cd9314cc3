"""The Classify page: which runs are asked, and with which of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.ui.state import current_run
from lab.ui.words import percent

MOST_RUNS = 4
_LINKED = "classify_linked"


@dataclass(frozen=True)
class Ask:
    """One checkpoint of one run, to be asked about pictures."""

    run_id: str
    run_name: str
    folder: Path
    checkpoint: str
    training: bool
    """Whether the run goes on: its checkpoint is written anew after each epoch."""
    data_channels: int
    image_size: int


def choose() -> list[Ask]:
    """The runs that are asked, one to four; empty when there is none or none is chosen."""
    rows = {row.id: row for row in store().runs() if row.has_weights}
    if not rows:
        st.info(
            "No trained network yet. Train one first: its weights can be asked here from the end "
            "of its first epoch on.",
            icon=":material/info:",
        )
        st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")
        return []
    _preset(rows)
    runs, weights = st.columns([3, 1], vertical_alignment="bottom")
    chosen = runs.multiselect(
        "Networks to ask",
        list(rows),
        format_func=lambda run_id: _label(rows[run_id]),
        key="classify_runs",
        max_selections=MOST_RUNS,
        select_all=False,
        wrap=True,
        placeholder="Choose one to four runs",
        persist_state="session",
        help="Every run with at least one whole epoch, also one that is still training.",
    )
    if not chosen:
        st.caption("Choose at least one run.")
        return []
    with weights:
        checkpoint = _checkpoint(rows[chosen[0]]) if len(chosen) == 1 else None
    if len(chosen) > 1:
        weights.caption("Each with the weights of its best epoch; one that trains with its newest.")
    asks = []
    for run_id in chosen:
        try:
            asks.append(_ask(rows[run_id], checkpoint))
        except LabError as error:
            st.error(str(error), icon=":material/error:")
    return asks


def _preset(rows: dict[str, RunRow]) -> None:
    """The session's run when it comes with a new one, else what was chosen before, else the newest
    completed run."""
    current = current_run()
    linked = current.id if current is not None and current.id in rows else None
    before = st.session_state.get("classify_runs")
    if linked is not None and st.session_state.get(_LINKED) != linked:
        st.session_state[_LINKED] = linked
        st.session_state["classify_runs"] = [linked]
    elif before is None:
        completed = [row.id for row in rows.values() if row.status == "completed"]
        st.session_state["classify_runs"] = [linked or (completed or list(rows))[0]]
    elif any(run_id not in rows for run_id in before):  # deleted since
        st.session_state["classify_runs"] = [run_id for run_id in before if run_id in rows]


def _label(row: RunRow) -> str:
    figure = f", validation {percent(row.best_val_accuracy)}" if row.best_val_accuracy else ""
    going_on = ", training" if row.is_active else ""
    return f"{row.name} ({row.architecture} on {row.dataset}{figure}{going_on}) {row.id[-4:]}"


def _checkpoint(row: RunRow) -> str | None:
    from lab.training.checkpoint import checkpoints

    names = checkpoints(store().folder(row.id))
    if not names:
        return None
    words = {"best": "best epoch", "last": "newest epoch"}
    return st.selectbox(
        "Weights",
        names,
        index=names.index(_default(row)) if _default(row) in names else 0,
        format_func=lambda name: words.get(name, name.replace("epoch-", "epoch ")),
        key=f"classify_checkpoint_{row.id}",
        help="The best epoch is the one that did best on the validation images.",
    )


def _default(row: RunRow) -> str:
    return "last" if row.is_active else "best"


def _ask(row: RunRow, checkpoint: str | None) -> Ask:
    from lab.training.checkpoint import NetworkCard

    folder = store().folder(row.id)
    card = NetworkCard.read(folder)
    return Ask(
        run_id=row.id,
        run_name=row.name,
        folder=folder,
        checkpoint=checkpoint or _default(row),
        training=row.is_active,
        data_channels=card.data_channels,
        image_size=card.preprocess.image_size,
    )
