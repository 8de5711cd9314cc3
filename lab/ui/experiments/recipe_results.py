"""The results of one recipe: ours beside the document's."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lab.experiments.recipes.recipe import Recipe
from lab.experiments.recipes.results import Result, newest, stored_results
from lab.runs.naming import value_text
from lab.runs.store import store
from lab.ui.words import plain, status_word
from lab.words import NONE, percent


def draw_results(each: Recipe) -> None:
    """Draws the recipe's runs beside the document's results, and links to them; nothing without
    runs."""
    results = stored_results(each, store())
    if not results:
        return
    shown = newest(results)
    st.dataframe(
        _frame(shown),
        key=f"experiments_table_{each.id}",
        hide_index=True,
        placeholder=NONE,
        column_config=_COLUMNS,
        alt=f"Results of {each.title}: {len(shown)} runs beside the document's results.",
    )
    sentences = [
        f"- **{plain(result.run.name)}**: {plain(result.comparison)}"
        for result in shown
        if result.comparison
    ]
    if sentences:
        st.markdown("\n".join(sentences))
    older = len(results) - len(shown)
    st.caption(
        "Validation images chose the epoch; test images were looked at once, at the end. The "
        "interval is what the number of test images leaves open, 95 times in 100."
        + f" The newest run of each kind; {older} older on the Runs page."
        * (older > 0)
    )
    _links(each, shown)


_COLUMNS = {
    "Validation": st.column_config.NumberColumn(
        format="percent", help="Accuracy on the validation images at the best epoch."
    ),
    "Test": st.column_config.NumberColumn(
        format="percent", help="Accuracy on images that took part in nothing before."
    ),
    "95% interval": st.column_config.TextColumn(
        help="Where the accuracy on endlessly many such images would lie."
    ),
    "The document": st.column_config.TextColumn(help="What the document reports of this run."),
}


def _frame(results: Sequence[Result]) -> pd.DataFrame:
    rows = []
    for result in results:
        run = result.run
        rows.append(
            {
                "Run": result.variant.title,
                "Size": "Full" if result.size == "full" else "Quick",
                "Status": status_word(run.status),
                "Validation": run.best_val_accuracy,
                "Test": run.test_accuracy,
                "95% interval": _interval(result),
                "The document": result.variant.reported.text,
                "Pictures": value_text("dataset", run.dataset),
                "Network": value_text("architecture", run.architecture),
            }
        )
    return pd.DataFrame(rows)


def _interval(result: Result) -> str:
    if result.interval is None:
        return NONE
    low, high = result.interval
    return f"{percent(low)} to {percent(high)}"


def _links(each: Recipe, results: Sequence[Result]) -> None:
    """Draws links to the live run, to all runs side by side, and to each finished one."""
    with st.container(horizontal=True):
        live = next((r.run for r in results if r.run.is_live), None)
        if live is not None:
            st.page_link(
                "pages/train.py",
                label=f"Watch {plain(live.name)} live",
                icon=":material/monitoring:",
                query_params={"run": live.id},
            )
        started = [r.run.id for r in results if r.run.epoch]
        if len(started) > 1:
            st.page_link(
                "pages/compare.py",
                label="Compare them",
                icon=":material/compare_arrows:",
                query_params={"runs": ",".join(started)},
                help="Curves, results and mistakes side by side.",
            )
        for result in results:
            if result.run.has_weights and not result.run.is_live:
                st.page_link(
                    "pages/runs.py",
                    label=plain(result.run.name),
                    icon=":material/table_chart:",
                    query_params={"run": result.run.id},
                    help="Its curves, confusion matrix and scores per class.",
                )
        inspectable = next((r.run for r in results if r.run.has_weights), None)
        if each.inspect and inspectable is not None:
            st.page_link(
                "pages/inspect.py",
                label="See where it looks",
                icon=":material/frame_inspect:",
                query_params={"run": inspectable.id},
                help=f"Grad-CAM and feature maps of {plain(inspectable.name)}.",
            )
