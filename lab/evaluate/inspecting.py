"""What the Inspect page asks of a published checkpoint, each answer as plain values for a job.

Every function opens the checkpoint for its own short while (`open_network`), so any thread may
call it; a picture must have been made for that network (see `lab.evaluate.pictures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lab.errors import ConfigError
from lab.evaluate.opened import open_data, open_network
from lab.evaluate.pictures import Picture, pack_picture
from lab.explain.feature_maps import (
    FeatureMaps,
    StageView,
    channel_map,
    feature_maps,
    stage_row,
)
from lab.explain.filters import Filters, first_filters
from lab.explain.grad_cam import Cams, class_activation_maps, require_numbers
from lab.explain.layers import Layer, cam_layers, require_cam_layer
from lab.explain.saliency import input_saliency
from lab.models.architecture import ARCHITECTURES
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What of a network can be looked at."""

    class_names: tuple[str, ...]
    layers: tuple[Layer, ...]
    stages: tuple[str, ...]
    """Those on which Grad-CAM can be drawn, from edges to parts; empty for perceptrons."""
    default_stage: str | None
    epoch: int | None


@dataclass(frozen=True, eq=False)
class Map:
    """A class activation map of one image in one layer."""

    layer: str
    values: Floats
    """(h, w) raw, never negative."""
    meaningful: bool
    score: float
    """The logit of the class that is explained."""
    influence: float
    """Sum of |activation x gradient| over the layer."""


def anatomy(folder: Path, checkpoint: str) -> Anatomy:
    """The layers of the network; a few milliseconds to half a second."""
    with open_network(folder, checkpoint) as opened:
        layers = opened.layers
        stages = tuple(layer.name for layer in cam_layers(layers))
        default = ARCHITECTURES.get(opened.card.config.architecture).default_cam_stage
        if default not in stages:  # an image so small that the last maps are a single place
            default = stages[-1] if stages else None
        return Anatomy(opened.card.class_names, layers, stages, default, opened.epoch)


def probabilities(folder: Path, checkpoint: str, picture: Picture) -> Floats:
    """(K,) softmax; raises DivergedError when the answers are not numbers."""
    with open_network(folder, checkpoint) as opened, torch.inference_mode():
        logits = opened.network(picture.tensor(opened.card.preprocess))
        require_numbers(logits)
        found: Floats = logits.float().softmax(1)[0].numpy()
        return found


def maps(
    folder: Path,
    checkpoint: str,
    picture: Picture,
    *,
    target: int,
    layers: Sequence[str],
    method: str,
) -> dict[str, Map]:
    """Maps of `picture` for class `target` in all `layers`, in one forward and backward pass."""
    with open_network(folder, checkpoint) as opened:
        for name in layers:
            require_cam_layer(opened.layers, name)
        found, _ = class_activation_maps(
            opened.network,
            picture.tensor(opened.card.preprocess),
            targets=[target],
            layers=layers,
            method=method,
        )
    return {name: _first(cams) for name, cams in found.items()}


def channels(
    folder: Path, checkpoint: str, picture: Picture, *, layer: str, start: int, count: int
) -> FeatureMaps:
    """`count` channels from `start` on, the most active first."""
    with open_network(folder, checkpoint) as opened:
        image = picture.tensor(opened.card.preprocess)
        return feature_maps(opened.network, image, layer, start=start, count=count)


def one_channel(
    folder: Path, checkpoint: str, picture: Picture, *, layer: str, index: int
) -> Floats:
    """(h, w) at the layer's own resolution."""
    with open_network(folder, checkpoint) as opened:
        image = picture.tensor(opened.card.preprocess)
        return channel_map(opened.network, image, layer, index)


def stages_of(
    folder: Path, checkpoint: str, picture: Picture, stages: Sequence[str]
) -> tuple[StageView, ...]:
    """The picture on its way through `stages`."""
    with open_network(folder, checkpoint) as opened:
        image = picture.tensor(opened.card.preprocess)
        return stage_row(opened.network, image, stages)


def filters(folder: Path, checkpoint: str) -> Filters:
    """The weights that touch the pixels; raises ConfigError for a network that has none."""
    with open_network(folder, checkpoint) as opened:
        preprocess = opened.card.preprocess
        found = first_filters(
            opened.network, channels=preprocess.channels, image_size=preprocess.image_size
        )
    if found is None:
        raise ConfigError("The first layer of this network does not see the pixels themselves.")
    return found


def sensitivity(folder: Path, checkpoint: str, picture: Picture, *, target: int) -> Map:
    """Input-gradient saliency, (H, W)."""
    with open_network(folder, checkpoint) as opened:
        image = picture.tensor(opened.card.preprocess)
        cams, _ = input_saliency(opened.network, image, targets=[target])
    return _first(cams)


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One image of a gallery with its map for the predicted class."""

    index: int
    pixels: npt.NDArray[np.uint8]
    label: int
    predicted: int
    probability: float
    """Of the predicted class."""
    map: Map


def gallery(
    folder: Path,
    checkpoint: str,
    indices: Sequence[int],
    *,
    layer: str,
    method: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> list[GalleryItem]:
    """Images of the run's pack with Grad-CAM in `layer` for what each was taken for."""
    items = []
    with open_network(folder, checkpoint) as opened:
        card = opened.card
    pack, _ = open_data(card)
    for done, index in enumerate(indices):
        check_cancel(cancel, "The gallery")
        progress(Progress(done, len(indices), "Drawing maps", "images"))
        picture = pack_picture(pack, index)
        # Opened for each image: nobody waits for more than one.
        with open_network(folder, checkpoint) as opened:
            found, logits = class_activation_maps(
                opened.network, picture.tensor(card.preprocess), layers=[layer], method=method
            )
        shares = logits.softmax(1)[0]
        assert picture.label is not None
        items.append(
            GalleryItem(
                index=index,
                pixels=picture.pixels,
                label=picture.label,
                predicted=int(shares.argmax()),
                probability=float(shares.max()),
                map=_first(found[layer]),
            )
        )
    return items


def _first(cams: Cams) -> Map:
    """The map of the first image, as plain values."""
    return Map(
        layer=cams.layer,
        values=cams.maps[0].numpy(),
        meaningful=bool(cams.meaningful[0]),
        score=float(cams.scores[0]),
        influence=float(cams.influence[0]),
    )
