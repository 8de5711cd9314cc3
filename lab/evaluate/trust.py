"""The trust test of one map of a published checkpoint, and whether the network knows anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from lab.data.pack import Pack
from lab.errors import ConfigError, LabError
from lab.evaluate.metrics import Ints
from lab.evaluate.opened import Opened, PublishedNetwork, open_data
from lab.evaluate.pictures import Picture, pack_picture
from lab.evaluate.predictions import SPLIT_WORDS
from lab.explain.trust import Trust, trust_test
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import CheckpointMetadata
from lab.training.failures import out_of_memory_as

OTHER_SEEDS = 1_000_003
"""Added to the run's own seed: with that one the "random" weights would be those that the run began
with, and what it learned still resembles them."""
SKILL_IMAGES = 64
"""Images that tell whether a network knows anything."""
SKILL_CHANCE = 0.01
"""Probability up to which as many right answers cannot be luck."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Skill:
    """How many of some images are answered right, beside always answering one class."""

    right: int
    images: int
    guessing: float
    """Share of the images of the most frequent class."""
    split: str = "val"
    """Whose images they are: "val" or "test"."""

    @property
    def is_knowledge(self) -> bool:
        """Whether guessing gives so many right answers in at most 1 of 100 cases (binomial)."""
        return guessed_right_by_luck(self.right, self.images, self.guessing) <= SKILL_CHANCE


def guessed_right_by_luck(right: int, n: int, p: float) -> float:
    """The probability of at least `right` hits in `n` draws that hit with probability `p`."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(right, n + 1))


def skill_of(opened: Opened) -> Skill | None:
    """What the network answers to SKILL_IMAGES of its own validation images, else test images; None
    without any. Maps of a network that only guesses can be faithful and yet mean nothing."""
    try:
        pack, splits = open_data(opened.card)
    except LabError:  # the data set is gone
        return None
    split, indices = ("val", splits.val) if len(splits.val) else ("test", splits.test)
    if not len(indices):
        return None
    chance = np.random.Generator(np.random.Philox(0))
    sample = chance.permutation(indices)[:SKILL_IMAGES]
    return skill_in(answers_to(opened, pack, sample), pack.labels[sample], split)


def skill_in(answers: Ints, labels: Ints, split: str) -> Skill:
    """Returns the skill that answers (n,) to images of these labels (n,) show."""
    most = float(np.bincount(labels).max())
    return Skill(int((answers == labels).sum()), len(labels), most / len(labels), split)


def answers_to(
    opened: Opened, pack: Pack, indices: Ints, progress: Report = silent, cancel: Cancel = never
) -> Ints:
    """Returns (n,) the most probable class of these images of the pack, few at a time."""
    answers = []
    for start in range(0, len(indices), _AT_ONCE):
        check_cancel(cancel, "Asking the network")
        progress(Progress(start, len(indices), "Asking the network", "images"))
        part = indices[start : start + _AT_ONCE]
        images = torch.cat([opened.tensor(pack_picture(pack, int(i))) for i in part])
        with torch.inference_mode():
            answers.append(opened.network(images).argmax(1).cpu().numpy())
    return np.concatenate(answers)


def knows_nothing(skill: Skill) -> str:
    """The sentence about every map of a network that is no better than guessing."""
    return (
        "Do not trust any map of this network: of "
        f"{skill.images} {SPLIT_WORDS[skill.split]} images it answers {skill.right} right, no more "
        f"than guessing would ({skill.guessing:.0%}). Its maps may show what its answers hang on, "
        "but that is nothing it has learned."
    )


def trust_of(
    network: PublishedNetwork,
    picture: Picture,
    *,
    target: int,
    layer: str,
    method: str,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Trust:
    """Test the map of `picture` for class `target`: see `lab.explain.trust.trust_test`.

    Takes seconds, so it loads a network of its own and may run in any thread. At most two networks
    are in memory: the run's and a random one. Raises NotFoundError without such a checkpoint, layer
    or method, ConfigError for a layer without places or a class that is not there, ResourceError
    when memory runs out, Cancelled.
    """
    with out_of_memory_as(
        "Out of memory: the trust test needs room for this network twice. Wait until the run in "
        "training has ended, or close other programs, and try again."
    ):
        opened = network.own_copy()
        classes = len(opened.card.class_names)
        if not 0 <= target < classes:
            raise ConfigError(
                f"There is no class number {target}; this network's classes are numbered 0 to "
                f"{classes - 1}."
            )
        opened.layers.cam_layer(layer)
        skill = skill_of(opened)
        if skill is not None and not skill.is_knowledge:
            return Trust("knows_nothing", knows_nothing(skill))
        return trust_test(
            opened.network,
            opened.tensor(picture),
            target=target,
            layer=layer,
            method=method,
            randomised=lambda seed: random_network(opened.card, seed),
            progress=progress,
            cancel=cancel,
        )


def random_network(card: CheckpointMetadata, seed: int) -> StagedNet:
    """The run's architecture without anything learned, not even ImageNet's weights."""
    return build_network(
        card.config.changed(freeze="scratch", seed=(card.config.seed + OTHER_SEEDS + seed) % 2**31),
        channels=card.preprocess.channels,
        image_size=card.preprocess.image_size,
        classes=len(card.class_names),
    )
