"""Class activation maps by published networks: of one picture in several layers, of a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.evaluate.opened import Opened, PublishedNetwork, open_data
from lab.evaluate.pictures import Picture, pack_picture
from lab.explain.grad_cam import METHODS, ActivationMap, Cost, class_activation_maps
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import CheckpointMetadata
from lab.training.failures import out_of_memory_as


def draw_maps(
    network: PublishedNetwork,
    picture: Picture,
    *,
    target: int,
    layers: Sequence[str],
    method: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> dict[str, ActivationMap]:
    """Maps of `picture` for class `target` in all `layers`.

    Raises NotFoundError for an unknown layer or method, ConfigError for a layer without places or a
    method that the network does not allow, ResourceError when memory runs out, Cancelled.
    """
    ask = _asking(network, method)
    maps, _ = ask(_question(picture, target, layers, method, progress, cancel))
    return maps


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One image of a gallery with its map for the predicted class; plain values."""

    index: int
    """Where in the pack it is."""
    pixels: npt.NDArray[np.uint8]
    """(H, W, C)"""
    label: int
    predicted: int
    probability: float
    """Of the predicted class."""
    map: ActivationMap


def gallery_items(
    network: PublishedNetwork,
    indices: Sequence[int],
    *,
    layer: str,
    method: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> list[GalleryItem]:
    """Images `indices` of the run's pack with maps of `layer` for what each was taken for.

    Image by image, so that nobody else who asks the network waits for more than one. Raises what
    `draw_maps` and `open_data` raise.
    """
    pack, _ = open_data(CheckpointMetadata.read(network.folder))
    ask = _asking(network, method)
    items = []
    for done, index in enumerate(indices):
        check_cancel(cancel, "The gallery")
        progress(Progress(done, len(indices), "Drawing maps", "images"))
        picture = pack_picture(pack, index)
        maps, shares = ask(_question(picture, None, [layer], method, silent, cancel))
        assert picture.label is not None
        items.append(
            GalleryItem(
                index=index,
                pixels=picture.pixels,
                label=picture.label,
                predicted=int(shares.argmax()),
                probability=float(shares.max()),
                map=maps[layer],
            )
        )
    return items


Drawn = tuple[dict[str, ActivationMap], npt.NDArray[np.float32]]
"""The maps, and what the network answers (K,)."""
Question = Callable[[Opened], Drawn]


def _question(
    picture: Picture,
    target: int | None,
    layers: Sequence[str],
    method: str,
    progress: Report,
    cancel: Cancel,
) -> Question:
    """Maps of `picture` for `target`, or for what it is taken for."""

    def question(opened: Opened) -> Drawn:
        for name in layers:
            opened.layers.cam_layer(name)
        cams, logits = class_activation_maps(
            opened.network,
            opened.tensor(picture),
            targets=None if target is None else [target],
            layers=layers,
            method=method,
            progress=progress,
            cancel=cancel,
        )
        return {name: one.first() for name, one in cams.items()}, logits.softmax(1)[0].numpy()

    return question


def _asking(network: PublishedNetwork, method: str) -> Callable[[Question], Drawn]:
    """Who answers: the network that pages share or, for what takes seconds, a copy, as it would
    hold up what else is asked."""
    own = network.own_copy() if METHODS.get(method).cost is not Cost.ALL_LAYERS else None

    def ask(question: Question) -> Drawn:
        with out_of_memory_as(
            f"Out of memory: {METHODS.get(method).title} needs more than is left. Choose a layer "
            "with fewer channels or another method, or wait until the run in training has ended."
        ):
            return network.ask(question) if own is None else question(own)

    return ask
