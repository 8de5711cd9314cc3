"""How far the maps of this run can be trusted: the audit of many pictures, by a button."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab.charts.style import CHART
from lab.charts.trust import passed, passed_alt
from lab.evaluate.audit import BUDGET_SECONDS, PICTURES, audit
from lab.evaluate.audit_result import Audit, Mean, saved_audit
from lab.explain.grad_cam import METHODS
from lab.runs.class_rules import results_hidden
from lab.runs.store import store
from lab.ui.inspect.methods import begin_with_evidence, started
from lab.ui.inspect.subject import Subject
from lab.ui.widgets.background import computed
from lab.words import duration, percent

ICONS = {
    "mostly": ":material/verified:",
    "partly": ":material/help:",
    "rarely": ":material/gpp_bad:",
    "knows_nothing": ":material/gpp_bad:",
}


def draw_audit(subject: Subject) -> None:
    """The section under the map: what was found, or the button that looks."""
    st.markdown("**How far can the maps of this run be trusted?**")
    found = saved_audit(subject.folder, subject.checkpoint)
    hidden = results_hidden(store().database)
    if found is not None and found.split == "test" and hidden:
        st.info("Tested on test images: not shown yet.", icon=":material/visibility_off:")
        return
    part = "validation" if hidden else "test"
    if found is None:
        key = f"audit:{subject.key}:{part}"
        slot = st.container()
        if not started(key, "inspect_audit", label="Test many maps", icon=":material/fact_check:"):
            slot.caption(
                f"The same test on up to {PICTURES} {part} images, in every stage, by all methods "
                f"of one pass. Takes about {duration(BUDGET_SECONDS)}, or less. Its winner "
                "becomes the layer and method that this page begins with."
            )
            return
        found = computed(
            key,
            "Testing the maps of this run",
            lambda report, cancel: audit(
                subject.folder,
                subject.checkpoint,
                with_test=not hidden,
                progress=report,
                cancel=cancel,
            ),
            cancellable=True,
        )
        if found is None:
            return
    _draw_found(subject, found)


def _draw_found(subject: Subject, found: Audit) -> None:
    {"mostly": st.success, "partly": st.info}.get(found.level, st.warning)(
        found.sentence, icon=ICONS[found.level]
    )
    titles = subject.layers.titles
    layers = list(dict.fromkeys(cell.layer for cell in found.cells))
    methods = list(dict.fromkeys(cell.method for cell in found.cells))
    cells = {(cell.layer, cell.method): cell.right for cell in found.cells}
    table = [[cells[layer, method] for method in methods] for layer in layers]
    shares = np.array([[one.share if one.images else 0 for one in row] for row in table])
    texts = np.array([[f"{one.count} of {one.images}" for one in row] for row in table])
    layer_titles = [titles[layer] for layer in layers]
    method_titles = [METHODS.get(method).title for method in methods]
    st.plotly_chart(
        passed(layer_titles, method_titles, shares, texts),
        key="inspect_audit_table",
        config=CHART,
        alt=passed_alt(layer_titles, method_titles, texts),
    )
    st.caption(
        f"Maps that can be trusted, of images that are answered right. {found.why}",
        help=f"{found.pictures} {found.split} images, sampled with seed {found.seed}, in "
        f"{duration(found.seconds)}. The winner was chosen on these very images, which flatters "
        "it a little; to be proposed it must beat the usual map by more than chance.",
    )
    st.button(
        f"Look at {titles[found.layer]} by {METHODS.get(found.method).title}",
        key="inspect_audit_take",
        icon=":material/arrow_upward:",
        on_click=begin_with_evidence,
        args=(subject,),
    )
    with st.expander("The numbers of this audit"):
        _draw_numbers(subject, found)


def _draw_numbers(subject: Subject, found: Audit) -> None:
    titles = subject.layers.titles
    rows = []
    for cell in found.cells:
        row = {
            "Layer": titles[cell.layer],
            "Method": METHODS.get(cell.method).title,
            "Answered right": f"{cell.right.count} of {cell.right.images}",
            "95% interval": f"{percent(cell.right.low)} to {percent(cell.right.high)}",
            "Answered wrong": f"{cell.wrong.count} of {cell.wrong.images}",
            "Not to be trusted": cell.refused,
            "Halves differ by": _mean(cell.gain),
        }
        if cell.pointing is not None:
            row["Points at the head"] = f"{cell.pointing.count} of {cell.pointing.images}"
        rows.append(row)
    st.dataframe(rows, hide_index=True, alt="The audit of every layer and method, row by row.")
    if found.pointing_chance is not None:
        st.caption(
            "The drawn set knows where the head is: it takes "
            f"{percent(found.pointing_chance)} of the picture, which blind pointing would hit."
        )
    if found.faithful:
        st.dataframe(
            [
                {
                    "Layer": titles[one.layer],
                    "Method": METHODS.get(one.method).title,
                    "While hiding (less is better)": _mean(one.deletion),
                    "While showing (more is better)": _mean(one.insertion),
                    "ROAD (−50% to +50%)": _mean(one.road),
                    "Images": one.deletion.images,
                }
                for one in found.faithful
            ],
            hide_index=True,
            alt="Deletion, insertion and ROAD, with 95% intervals.",
        )
    st.caption(
        "Refused are maps that stay the same with random weights, and maps whose shifted copies "
        "do better. Of the rest, one picture cannot tell. Intervals take near-copies for one."
    )


def _mean(one: Mean | None) -> str:
    return "" if one is None else f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})"
