"""Whose features a map is of: the best extractor on this machine, or one of the lab's runs."""

from __future__ import annotations

import streamlit as st

from lab.data.pack import Pack
from lab.data.quality.features import AUTO
from lab.evaluate.opened import checkpoint_identity
from lab.runs.store import store
from lab.ui.widgets.checkpoints import default_checkpoint, run_labels


def choose_extractor(pack: Pack) -> str:
    """Draws the choice; returns the name under which `set_features` knows it."""
    runs = {f"run:{run.id}": run for run in store().runs() if run.has_weights}
    labels = run_labels(list(runs.values()))
    titles = {AUTO: "The best here for these pictures"}
    titles |= {name: f"Run {labels[run.id]}" for name, run in runs.items()}
    name = st.selectbox(
        "Features of",
        list(titles),
        format_func=titles.__getitem__,
        key=f"data_map_features_{pack.meta.dataset}",
        width=260,
        help="What decides which pictures are alike: a network that learned from a million "
        "photographs where its weights are on this machine, else edges and colours; or one of "
        "your own runs.",
    )
    if name == AUTO:
        return AUTO
    return f"{name}:{default_checkpoint(runs[name]).checkpoint}"


def features_key(extractor: str) -> str:
    """Returns what the features depend on beside the pixels; raises NotFoundError."""
    kind, _, detail = extractor.partition(":")
    if kind != "run":
        return extractor
    run_id, _, checkpoint = detail.partition(":")
    return f"{extractor}:{checkpoint_identity(store().folder(run_id), checkpoint)}"
