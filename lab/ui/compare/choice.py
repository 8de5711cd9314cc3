"""Compare: the choice of runs, also as a link to send on (?runs=id,id,...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from lab.data import catalog
from lab.errors import NotFoundError
from lab.experiments.recipes.book import recipe
from lab.experiments.sweeps.table import sweep
from lab.runs.naming import titles
from lab.runs.store import RunRow, store
from lab.ui.widgets.links import COMPARED, COMPARED_LAST
from lab.ui.words import plain, status_word
from lab.words import percent

KEY = "compare_runs"
_MISSING = "compare_gone"
MANY = 12
"""More names than this stay in one row that can be scrolled."""
SUGGESTIONS = 4


@dataclass(frozen=True)
class ComparedRun:
    """A run that is compared, with a title of its own where several have one name."""

    row: RunRow
    title: str


def choose() -> list[ComparedRun]:
    """Draws the choice; returns the runs in the order in which they were chosen."""
    rows = {row.id: row for row in store().runs()}
    _adopt_url(rows)
    if not rows:
        st.info("No runs yet. Train two with one setting changed; then compare them here.")
        st.page_link("pages/train.py", label="Train a network", icon=":material/tune:")
        return []
    before = st.session_state.get(KEY, [])
    if any(run_id not in rows for run_id in before):  # deleted since
        st.session_state[KEY] = [run_id for run_id in before if run_id in rows]
    labels = _labels(list(rows.values()))
    ids: list[str] = st.multiselect(
        "Runs",
        list(rows),
        format_func=labels.__getitem__,
        key=KEY,
        on_change=_forget_missing,
        placeholder="Choose two runs or more",
        wrap=len(before) <= MANY,
        persist_state="session",
        help="Type a part of a name, data set or architecture to find runs; “Select all” adds all "
        "that match. The address of this page names the runs: keep it or send it on.",
    )
    _write_url(ids)
    if st.session_state.get(_MISSING):
        st.warning(
            f"No longer here, perhaps deleted: {plain(', '.join(st.session_state[_MISSING]))}.",
            icon=":material/link_off:",
        )
    if not ids:
        _suggest(list(rows.values()))
    return _titled([rows[run_id] for run_id in ids])


def _adopt_url(rows: dict[str, RunRow]) -> None:
    in_url = st.query_params.get(COMPARED)
    if in_url is None or in_url == st.session_state.get(COMPARED_LAST):
        return
    ids = list(dict.fromkeys(part.strip() for part in in_url.split(",") if part.strip()))
    st.session_state[KEY] = [run_id for run_id in ids if run_id in rows]
    st.session_state[_MISSING] = [run_id[:40] for run_id in ids if run_id not in rows][:5]
    st.session_state[COMPARED_LAST] = in_url


def _write_url(ids: Sequence[str]) -> None:
    joined = ",".join(ids)
    st.session_state[COMPARED_LAST] = joined
    if joined == st.query_params.get(COMPARED, ""):
        return
    if joined:
        st.query_params[COMPARED] = joined
    else:
        st.query_params.pop(COMPARED, None)


def _forget_missing() -> None:
    """The callback of the choice: drops the note on runs that a link named in vain."""
    st.session_state.pop(_MISSING, None)


def _suggest(rows: Sequence[RunRow]) -> None:
    """Draws ready choices: the runs of a sweep or recipe, or all on one data set."""
    st.caption("Nothing is chosen yet. Choose runs above, or start with:")
    rows_with_results = [row for row in rows if row.best_val_accuracy is not None]
    groups: dict[str, list[str]] = {}
    for row in rows_with_results:
        if ":" in row.origin:
            kind, name = row.origin.split(":")[:2]
            title = _origin_title(kind, name, rows)
            if title:
                groups.setdefault(title, []).append(row.id)
    titles = {info.name: info.title for info in catalog.list_datasets()}
    for row in rows_with_results:
        groups.setdefault(titles.get(row.dataset, row.dataset), []).append(row.id)
    offered = [(title, ids) for title, ids in groups.items() if len(ids) > 1][:SUGGESTIONS]
    if not offered:
        st.caption("Fewer than two runs have results yet: train two with one setting changed.")
        return
    with st.container(horizontal=True):
        for place, (title, ids) in enumerate(offered):
            st.button(
                f"{plain(title)}: all {len(ids)} runs",
                key=f"compare_suggest_{place}",
                icon=":material/library_add_check:",
                on_click=_choose_ids,
                args=(ids,),
            )


def _origin_title(kind: str, name: str, rows: Sequence[RunRow]) -> str:
    """Returns the title of what made runs: a recipe, a sweep, the run that a fix was tried on;
    empty where that is no longer here."""
    try:
        if kind == "recipe":
            return recipe(name).title
        if kind == "sweep":
            return sweep(store(), name).name
    except NotFoundError:
        return ""
    fixed = next((row.name for row in rows if row.id == name), "")
    return f"Tried against problems of {fixed}" if fixed else ""


def _choose_ids(ids: Sequence[str]) -> None:
    st.session_state[KEY] = list(ids)


def _titled(rows: Sequence[RunRow]) -> list[ComparedRun]:
    return [ComparedRun(row, title) for row, title in zip(rows, titles(rows), strict=True)]


def _labels(rows: Sequence[RunRow]) -> dict[str, str]:
    return {
        row.id: f"{title} · {_result(row)}" for row, title in zip(rows, titles(rows), strict=True)
    }


def _result(row: RunRow) -> str:
    if row.test_accuracy is None:
        return status_word(row.status).lower()
    return f"test {percent(row.test_accuracy)}"
