"""The same image through several runs: what each answers, where each looks, where they disagree.

The runs have the same classes in the same order; that is for the caller to see to. Image sizes,
channels and networks may differ: each run is given the image as its own data set holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from lab.data.versions import aligned
from lab.errors import ConfigError, DataError
from lab.evaluate.opened import Opened, PublishedNetwork, open_data
from lab.evaluate.pictures import Picture, pack_picture, upload_picture
from lab.evaluate.predictions import Predictions
from lab.explain.feature_maps import StageView, stage_row
from lab.explain.grad_cam import ActivationMap, class_activation_maps
from lab.training.checkpoint import CheckpointMetadata
from lab.words import probability


@dataclass(frozen=True, eq=False)
class View:
    """What one checkpoint makes of an image; plain values."""

    pixels: npt.NDArray[np.uint8]
    """(H, W, C) as the network saw them, before they were scaled."""
    epoch: int | None
    probabilities: npt.NDArray[np.float32]
    """(K,) softmax."""
    target: int
    """The class that `map` explains."""
    map: ActivationMap | None
    """Grad-CAM in the stage where it looks at first; None for a network without places."""
    stage: StageView | None
    """What that stage puts out."""

    @property
    def answer(self) -> int:
        return int(self.probabilities.argmax())


def view_of(
    network: PublishedNetwork,
    picture: Picture,
    *,
    reference: Path,
    target: int | None = None,
    method: str = "grad-cam",
    original: Image | None = None,
) -> View:
    """Ask `network` about an image of the run in the folder `reference`.

    Explains class `target`, by default the network's own answer. Takes a fraction of a second, or
    as long as it takes to read the data set at another image size for the first time. Raises what
    `picture_for` and opening the network raise.
    """
    own = picture_for(network.folder, picture, reference=reference, original=original)

    def question(opened: Opened) -> View:
        shares, image = opened.probabilities(own), opened.tensor(own)
        explained = int(shares.argmax()) if target is None else target
        stage = opened.layers.default_stage
        if stage is None:
            return View(own.pixels, opened.epoch, shares, explained, None, None)
        cams, _ = class_activation_maps(
            opened.network, image, targets=[explained], layers=[stage], method=method
        )
        (view,) = stage_row(opened.network, image, [stage])
        return View(own.pixels, opened.epoch, shares, explained, cams[stage].first(), view)

    return network.ask(question)


def picture_for(
    folder: Path, picture: Picture, *, reference: Path, original: Image | None = None
) -> Picture:
    """`picture`, made for the run `reference`, as the run in `folder` would be given it.

    Of the same data set: the same image at that run's size. An upload: from `original` (RGB,
    upright), the way that run's images went. Raises DataError when neither can be had.
    """
    card = CheckpointMetadata.read(folder)
    size = card.preprocess.image_size
    fits = picture.pixels.shape == (size, size, card.data_channels)
    if picture.index is None:
        if original is not None:
            return upload_picture(original, card, name=picture.name)
        if fits:
            return picture
        raise DataError(
            f"This run takes images of {size} pixels, and the picture is here only at "
            f"{picture.pixels.shape[0]}. Choose the picture again."
        )
    if fits:
        return picture
    other = CheckpointMetadata.read(reference)
    if card.config.dataset == other.config.dataset:
        pack, _ = open_data(card)
        name, hashes = card.config.dataset, (card.dataset_hash, other.dataset_hash)
        if hashes[0] == hashes[1] or picture.index < (aligned(name, *hashes) or 0):
            return pack_picture(pack, picture.index)
    raise DataError(
        f"This run was trained on another data set, with images of {size} pixels instead of "
        f"{picture.pixels.shape[0]}, and does not know this image. Compare it on a picture of your "
        "own."
    )


def agreement(answers: Mapping[str, tuple[str, float]], true: str | None) -> str:
    """One sentence: who says what. `answers` is run -> (class, its probability)."""
    said: dict[str, list[str]] = {}
    for run, (name, _) in answers.items():
        said.setdefault(name, []).append(run)
    shares = [probability for _, probability in answers.values()]
    low, high = probability(min(shares)), probability(max(shares))
    between = low if low == high else f"{low} to {high}"
    truth = "" if true is None else f" It is {true}."
    if len(answers) == 1:
        return f"{next(iter(answers))} says {next(iter(said))} with {between}.{truth}"
    if len(said) == 1:
        runs = "Both" if len(answers) == 2 else f"All {len(answers)}"
        return f"{runs} say {next(iter(said))}, with {between}.{truth}"
    parts = [
        f"{_listed(runs)} {'says' if len(runs) == 1 else 'say'} {name}"
        for name, runs in said.items()
    ]
    return f"They disagree: {'; '.join(parts)}.{truth}"


@dataclass(frozen=True, eq=False)
class Disagreement:
    """The images that several runs were all asked about, those they disagree on most first.

    Different answers come before equal ones, more different answers before fewer; then by how far
    apart the probabilities are.
    """

    indices: npt.NDArray[np.int64]
    """(n,) into the pack."""
    labels: npt.NDArray[np.int64]
    """(n,) the true classes."""
    answers: npt.NDArray[np.int64]
    """(R, n) the most probable class of each run."""
    sure: npt.NDArray[np.float32]
    """(R, n) its probability."""
    difference: npt.NDArray[np.float32]
    """(n,) in [0, 1]: the total variation between the two runs that differ most, that is the
    probability that would have to be moved to other classes to make them equal."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def differ(self) -> npt.NDArray[np.bool_]:
        """(n,) whether not all runs give the same answer."""
        return np.asarray((self.answers != self.answers[0]).any(axis=0))


def disagreement(predictions: Sequence[Predictions]) -> Disagreement:
    """Of two runs or more on one data set. Only images that are in the split of all of them count:
    validation parts differ with the seed, and so they should not be compared otherwise.

    Raises ConfigError when there is no such image, ValueError for a single run or other classes.
    """
    if len(predictions) < 2 or any(
        p.class_names != predictions[0].class_names for p in predictions
    ):
        raise ValueError("two runs or more with the same classes can be compared")
    common = predictions[0].indices
    for other in predictions[1:]:
        common = np.intersect1d(common, other.indices)
    if not len(common):
        raise ConfigError(
            "These runs have no image of this part in common, because each set aside its own. "
            "Compare them on the test images."
        )
    rows = []
    for each in predictions:
        order = np.argsort(each.indices)
        rows.append(order[np.searchsorted(each.indices, common, sorter=order)])
    shares = np.stack(
        [each.probabilities[row] for each, row in zip(predictions, rows, strict=True)]
    )
    difference = np.max(
        [np.abs(shares[a] - shares[b]).sum(1) / 2 for a, b in combinations(range(len(shares)), 2)],
        axis=0,
    )
    answers = shares.argmax(2)
    kinds = (np.diff(np.sort(answers, axis=0), axis=0) > 0).sum(0)
    order = np.lexsort((common, -difference, -kinds))
    return Disagreement(
        indices=common[order],
        labels=predictions[0].labels[rows[0]][order],
        answers=answers[:, order],
        sure=shares.max(2)[:, order],
        difference=difference[order],
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
