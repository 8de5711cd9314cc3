"""The summary of what a press of Train will do."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.runs.store import store
from lab.ui.train.preview import Preview, layers, preview


def draw_summary(config: RunConfig) -> None:
    """Draws the summary of a resolved config: images, steps, parameters, stages, layers."""
    info = catalog.describe(config.dataset)
    if info.state != catalog.READY:
        st.info(f"{info.title} will be drawn first; that takes a few seconds, once.")
        return
    try:
        with st.skeleton(height=160):
            facts = preview(config)
    except LabError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.markdown("\n".join(f"- {line}" for line in _lines(config, facts)))
    waiting = store().runs(status=("queued", "preparing", "running"))
    if waiting:
        st.caption(
            f"Waits in the queue behind {len(waiting)} run(s): one run at a time keeps each fast."
        )
    _stages(config, facts)
    with st.expander("Layer by layer", icon=":material/layers:", on_change="rerun") as table:
        if table.open:
            _layer_table(config, info.channels, facts.classes)
    with st.expander("These settings as YAML and as a link", icon=":material/share:"):
        st.code(config.to_yaml(), language="yaml")
        query = "&".join(f"{k}={v}" for k, v in config.to_query().items())
        st.caption("Open the Train page with these settings:")
        st.code(f"/train?{query}", language=None)


def _lines(config: RunConfig, facts: Preview) -> list[str]:
    steps = facts.steps_per_epoch
    per_epoch = (
        f"**{steps:,} steps per epoch** = ⌈{facts.train_samples:,} images ÷ {config.batch_size}⌉"
        if steps == facts.drawn_steps
        else f"**{steps:,} steps per epoch** of {config.batch_size} images"
    )
    frozen = facts.total_parameters - facts.trainable_parameters
    start = (
        "starting from random weights"
        if not config.pretrained
        else "starting from ImageNet weights"
    )
    trained = (
        "all of them trained"
        if not frozen
        else f"**{facts.trainable_parameters:,} trained**, {frozen:,} frozen"
    )
    lines = [
        f"Learn **{facts.classes} classes** from **{facts.train_samples:,} images**; choose the "
        f"best epoch on {facts.val_samples:,} validation images; test it once, at the end, on "
        f"{facts.test_samples:,} images set apart.",
        f"{per_epoch}, {steps * config.epochs:,} in all.",
        f"{facts.total_parameters:,} parameters, {trained}, {start}.",
    ]
    return lines + ([_frozen_line(config)] if frozen else [])


def _frozen_line(config: RunConfig) -> str:
    if config.frozen_features == "off":
        return "Frozen stages run at every step, as asked."
    if not config.keeps_features:
        return (
            "Frozen stages run at every step, because augmentation makes new pictures every epoch. "
            "Without it (or with “Augmented views kept” above 0) later epochs would cost only the "
            "trained part."
        )
    if config.augments:
        return (
            f"{config.kept_views} augmented views of each image are drawn and kept; after that "
            "many epochs they come round again and a step costs only the trained part."
        )
    return (
        "Frozen stages run **once an image**: from the second epoch on a step costs only the "
        "trained part, and another run with the same data starts with what is kept."
    )


def _stages(config: RunConfig, facts: Preview) -> None:
    """Draws the network's stages in order, each with its lock."""
    with st.container(horizontal=True, gap="xsmall"):
        for stage in facts.stages:
            icon, colour, help = _lock(stage.trainable, stage.trainable_later, config)
            st.badge(
                f"{stage.name} · {_short(stage.parameters)}",
                icon=f":material/{icon}:",
                color=colour,
                help=f"{stage.parameters:,} parameters; {help}.",
            )
    st.caption(
        "The network's stages in order, with their parameters. "
        "Open lock: trained; closed lock: frozen."
    )


Colour = Literal["green", "orange", "gray"]


def _lock(trainable: bool, later: bool, config: RunConfig) -> tuple[str, Colour, str]:
    if trainable:
        return "lock_open", "green", "trained"
    if later:
        return (
            "lock_clock",
            "orange",
            f"frozen, then trained from epoch {config.head_epochs + 1} on",
        )
    return "lock", "gray", "frozen: keeps its ImageNet weights, BatchNorm in eval mode"


def _short(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.1f} k" if count < 1e6 else f"{count / 1e6:.1f} M"


def _layer_table(config: RunConfig, channels: int, classes: int) -> None:
    table = layers(config.to_json(), channels, classes)
    st.caption(table.note)
    st.dataframe(
        list(table.rows),
        hide_index=True,
        column_config={"Parameters": st.column_config.NumberColumn(format="localized")},
        alt=f"Layers of the network: {table.note}",
    )
