"""The drawing of the chosen network, with a lock on each stage (lab/charts/network.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from lab.charts.network import DrawnLayer, DrawnStage, Lock, network_html
from lab.config import KNOBS, RunConfig
from lab.data.catalog import DatasetInfo
from lab.errors import LabError
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network, input_channels
from lab.models.freezing import phases, trainable_stages
from lab.models.summary import StageShape, stage_shapes
from lab.words import layer_kind, stage_title

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "epochlab_network",
    html='<div class="drawing"></div>',
    css=(_HERE / "drawing.css").read_text(encoding="utf-8"),
    js=(_HERE / "drawing.js").read_text(encoding="utf-8"),
)


def draw_network(values: Mapping[str, Any], info: DatasetInfo) -> None:
    """Draws the network of the form's values; nothing while they do not fit."""
    try:
        config = RunConfig.from_mapping(values)
        html = _html(config, info)
    except LabError:
        return  # said in red where the settings are read
    _mount(key="train_network", data={"html": html})


def _html(config: RunConfig, info: DatasetInfo) -> str:
    size = config.image_size or info.image_size
    channels = input_channels(config, info.channels)
    stages = network_stages(config, channels=channels, size=size, classes=len(info.class_names))
    spec = ARCHITECTURES.get(config.architecture)
    planned = phases(config)
    locks = stage_locks([stage.name for stage in stages], config)
    drawn = [
        DrawnStage(
            stage_title(stage.name),
            stage.output_shape,
            stage.parameters,
            locks[stage.name],
            tuple(
                DrawnLayer(layer.name, layer_kind(layer.kind), layer.output_shape, layer.parameters)
                for layer in stage.layers
            ),
        )
        for stage in stages
    ]
    return network_html(
        drawn,
        title=spec.title,
        picture=(channels, size, size),
        second_phase=planned[-1].first_epoch,
    )


def stage_locks(names: list[str], config: RunConfig) -> dict[str, Lock]:
    """Returns each stage's lock: open while it is trained in the first phase, clock if later."""
    first = trainable_stages(names, config)
    last = trainable_stages(names, config, phase=phases(config)[-1].number)
    return {
        name: "open" if name in first else "clock" if name in last else "closed" for name in names
    }


def network_stages(
    config: RunConfig, *, channels: int, size: int, classes: int
) -> tuple[StageShape, ...]:
    """Returns the stages of the config's network. Raises ConfigError where it cannot be built."""
    # `freeze` asks for three channels.
    names = (*(knob.name for knob in KNOBS.values() if knob.group == "network"), "freeze", "last_k")
    shaping = tuple((name, getattr(config, name)) for name in names)
    return _network_stages(shaping, channels, size, classes)


@st.cache_data(max_entries=64, show_spinner=False)
def _network_stages(
    shaping: tuple[tuple[str, Any], ...], channels: int, size: int, classes: int
) -> tuple[StageShape, ...]:
    # The epochs of the first phase are no shape: as few as possible fit any number.
    config = RunConfig(**dict(shaping), head_epochs=1)
    network = build_network(
        config, channels=channels, image_size=size, classes=classes, device="meta"
    )
    return stage_shapes(network, channels=channels, image_size=size)
