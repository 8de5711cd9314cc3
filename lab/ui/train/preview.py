"""Facts about a run before it is started: images, steps, parameters, layers.

Cached by Streamlit as plain data: a page rerun with unchanged knobs costs a dictionary look-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.data.batches import preview_batch
from lab.data.decode import to_square
from lab.data.forecast import expected_copies
from lab.data.pack import Pack
from lab.data.quality.duplicates import copies_are_known
from lab.data.splits import Splits, make_splits, steps_in_epoch
from lab.models.catalog import build_network, input_channels
from lab.models.freezing import apply_freeze, phases, stage_states
from lab.models.summary import layer_table
from lab.ui.widgets.pictures import jpeg_url, png_url
from lab.words import layer_kind, stage_title

EXAMPLES = 8
"""Training images that are shown, and the most classes of which some are."""
BATCH = 8
"""Augmented images that are shown."""
BLOCKS = 64
"""Images of a shorter side are shown in blocks without blur, so that their pixels can be seen."""


@dataclass(frozen=True)
class Preview:
    train_samples: int
    val_samples: int
    test_samples: int
    classes: int
    steps_per_epoch: int
    drawn_steps: int
    total_parameters: int
    trainable_parameters: int
    trainable_later: int
    """In the last phase; the same where there is one phase."""
    examples: tuple[tuple[str, str], ...]
    """(class, data: URL of a training image): EXAMPLES of them, of the first classes."""


def preview(config: RunConfig) -> Preview:
    """Returns the facts of a resolved config. Raises LabError when it does not fit the data set."""
    # The images are part of the key: a set of one's own may be replaced under the same name.
    info = catalog.describe(config.dataset, config.dataset_version)
    by_copies = config.split_by == "group" and copies_are_known(info.images_hash)
    return _preview(config.to_json(), info.content_hash, by_copies)


@st.cache_data(max_entries=64, show_spinner=False)
def _preview(config_json: str, content_hash: str, by_copies: bool) -> Preview:
    config = RunConfig.from_json(config_json)
    pack = catalog.open_pack(config.dataset, version=config.dataset_version)
    splits = make_splits(pack, config, expected_copies(pack, config))
    assert config.image_size is not None
    network = build_network(
        config,
        channels=input_channels(config, pack.meta.channels),
        image_size=config.image_size,
        classes=len(pack.meta.class_names),
        device="meta",
    )
    stages = stage_states(network, config)
    last = stage_states(network, config, phase=phases(config)[-1].number)
    return Preview(
        train_samples=len(splits.train),
        val_samples=len(splits.val),
        test_samples=len(splits.test),
        classes=len(pack.meta.class_names),
        steps_per_epoch=steps_in_epoch(splits, config, pack.labels),
        drawn_steps=math.ceil(len(splits.train) / config.batch_size),
        total_parameters=sum(s.parameters for s in stages),
        trainable_parameters=sum(s.parameters for s in stages if s.trainable),
        trainable_later=sum(s.parameters for s in last if s.trainable),
        examples=_examples(pack, splits),
    )


def augmented(config: RunConfig) -> tuple[str, ...]:
    """Returns data: URLs of a training batch of a resolved config, as its network would see it."""
    info = catalog.describe(config.dataset, config.dataset_version)
    return _augmented(config.to_json(), info.content_hash)


@st.cache_data(max_entries=64, show_spinner=False)
def _augmented(config_json: str, content_hash: str) -> tuple[str, ...]:
    config = RunConfig.from_json(config_json)
    pack = catalog.open_pack(config.dataset, version=config.dataset_version)
    train = pack.indices("train")
    side = config.image_size
    assert side is not None
    squares = []
    for place in np.linspace(0, len(train) - 1, BATCH):
        pixels = np.asarray(pack.images[train[int(place)]])
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        square = np.asarray(to_square(image, image_size=side, fit="stretch"))
        squares.append(square.reshape(side, side, -1))
    shown = preview_batch(np.stack(squares), config, seed=config.seed)
    return tuple(png_url(image) if side < BLOCKS else jpeg_url(image) for image in shown)


def _examples(pack: Pack, splits: Splits) -> tuple[tuple[str, str], ...]:
    labels = pack.labels[splits.train]
    examples = []
    each = max(1, EXAMPLES // len(pack.meta.class_names))
    for label, name in enumerate(pack.meta.class_names[:EXAMPLES]):
        of_class = splits.train[labels == label]
        for image in pack.images[of_class[:each]]:
            examples.append((name, png_url(image) if len(image) < BLOCKS else jpeg_url(image)))
    return tuple(examples)


@dataclass(frozen=True)
class Layers:
    rows: tuple[dict[str, object], ...]
    note: str


@st.cache_data(max_entries=32, show_spinner="Counting layers")
def layers(config_json: str, channels: int, classes: int) -> Layers:
    """Returns the layer table of a resolved config as plain rows."""
    config = RunConfig.from_json(config_json)
    assert config.image_size is not None
    network_channels = input_channels(config, channels)
    network = build_network(
        config,
        channels=network_channels,
        image_size=config.image_size,
        classes=classes,
        device="meta",
    )
    apply_freeze(network, config, phase=1)
    table = layer_table(
        network,
        channels=network_channels,
        image_size=config.image_size,
        batch_size=config.batch_size,
    )
    rows = tuple(
        {
            "Part": stage_title(row.name.partition(".")[0]),
            "Layer": layer_kind(row.type),
            "Output": " × ".join(str(n) for n in row.output_shape),
            "Parameters": row.parameters,
            "Trained": row.trainable,
            "Name in PyTorch": row.name,
        }
        for row in table.rows
    )
    note = (
        f"{table.total_parameters:,} parameters, {table.trainable_parameters:,} trained; "
        f"about {table.memory_mb:,.0f} MB for a batch of {config.batch_size} (an estimate)."
    )
    return Layers(rows, note)
