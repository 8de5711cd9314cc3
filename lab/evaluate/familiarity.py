"""Measures whether a picture is unlike the training pictures: its distance to the nearest of them.

A network answers whatever it is shown, a shoe among cats and dogs too, and often with confidence.
The output of its last stage with places tells more: it lies near that of some training picture, or
near that of none.

    training pictures ──> their features                     (a sample, balanced over the classes)
    validation pictures ──> the limit: 95 of 100 are no farther from their nearest training picture
    test pictures ──> how often the alarm is false
    strange pictures ──> how often it is raised where it should be

The distance is 1 - the cosine of the angle between two feature vectors, to the single nearest
training picture (Sun et al. 2022, arXiv:2204.06507, with the places of the map kept). It found more
than energy and Mahalanobis' distance did: docs/familiarity.md has the table, written by
`python -m benchmarks familiarity`. It is measured once a checkpoint and saved beside it, in
<run folder>/evaluation/familiarity-<checkpoint>.npz.

It misses what looks like the training pictures to the network: most photographs of cats and dogs
that stand on their heads or are inverted raised no alarm. So there is an alarm or none, and never a
promise.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lab.data import catalog
from lab.data.array_file import BROKEN
from lab.data.batches import eval_batches
from lab.data.examples import examples
from lab.data.pack import Pack
from lab.data.specs import DATASETS
from lab.data.splits import Indices
from lab.errors import DataError, LabError
from lab.evaluate.classify import feature_stage, feature_vectors, pixels_of
from lab.evaluate.opened import (
    Opened,
    checkpoint_identity,
    open_data,
    open_network,
    open_own_network,
)
from lab.explain.layers import captured
from lab.home import atomic_file, writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import CheckpointMetadata

MAX_PICTURES = 1000
"""Most pictures that are used of each split."""

ACCEPTED_SHARE = 0.95
"""Share of the validation pictures that lie within the limit."""

STRANGE = 20
"""Pictures of each strange kind that the alarm is tried with."""

FOUND_SHARE = 0.9
"""Share of the strange pictures that an alarm has to find, or it is called weak."""

ALARM = "Unlike what it trained on: be careful with its answer"
MISSES = (
    "The alarm compares what the network makes of this picture with what it makes of its training "
    "pictures. In our trials it found nearly all photographs shown to networks that learned from "
    "drawings, and noise, plain grey and black pictures. It misses what the network does not see: "
    "of a pretrained network's own test photographs, turned upside down, it found one in seven. "
    "Perceptrons find less, and networks that have learned little hardly anything. No alarm does "
    "not mean that the answer is right."
)

STRANGE_WORDS = "strange pictures (noise, plain colours, pictures of other data sets)"

_FORMAT = 3
_TEXT = "Preparing the alarm for unfamiliar pictures"

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Verdict:
    """How far one picture is from the nearest training picture."""

    distance: float
    unlike: bool
    details: str
    """The statistics behind it, in a sentence or two."""


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The features of the training pictures in one checkpoint. Plain values."""

    checkpoint: str
    identity: str
    stage: str | None
    """The stage whose output is compared; None: the pixels in [0, 1]."""
    directions: npt.NDArray[np.float16]
    """(N, D) features of the training pictures, each of length 1."""
    limit: float
    """A picture farther than this from every training picture raises the alarm."""
    val_images: int
    test_images: int
    false_alarms: int
    """How many of the test pictures are farther away than the limit."""
    strange: int
    """Pictures that are surely of another kind: see `strange_pictures`."""
    found: int
    """How many of them are farther away than the limit."""

    @property
    def is_weak(self) -> bool:
        """Whether it misses more of what is surely strange than an alarm may."""
        return self.found < FOUND_SHARE * self.strange

    @property
    def false_alarm_rate(self) -> float | None:
        """In [0, 1]; None when the data set has no test pictures."""
        return self.false_alarms / self.test_images if self.test_images else None

    @functools.cached_property
    def _directions(self) -> Floats:
        """Converting them takes longer than comparing with them."""
        return self.directions.astype(np.float32)

    def judge(self, features: Floats) -> Verdict:
        """Judges one picture by its features (D,), as in `lab.evaluate.classify.Answer`."""
        return self.judge_all(features[None])[0]

    def judge_all(self, features: Floats) -> list[Verdict]:
        """Judges pictures by their features (n, D)."""
        verdicts = []
        for distance in nearest(features, self._directions).tolist():
            unlike = distance > self.limit
            verdicts.append(Verdict(distance, unlike, self._details(distance, unlike)))
        return verdicts

    def _details(self, distance: float, unlike: bool) -> str:
        val = f"{self.val_images:,} validation picture{'s' * (self.val_images != 1)}"
        text = (
            f"{'Alarm' if unlike else 'No alarm'}: {distance:.3f} from the nearest training "
            f"picture; {ACCEPTED_SHARE:.0%} of {val} are within {self.limit:.3f}."
        )
        text += f" The alarm found {self.found} of {self.strange} {STRANGE_WORDS}."
        rate = self.false_alarm_rate
        if rate is None:
            return f"{text} There are no test pictures to say how often the alarm is false."
        test = f"{self.test_images:,} test picture{'s' * (self.test_images != 1)}"
        return f"{text} {rate:.1%} of {test} raised the alarm, falsely."


def nearest(
    features: Floats, directions: npt.NDArray[np.float16] | npt.NDArray[np.float32]
) -> Floats:
    """(n, D) features -> (n,) cosine distances from the nearest of `directions`, in [0, 2].

    Features that are all zero have no direction: their distance is 1.
    """
    nearness = _directions(features) @ directions.astype(np.float32, copy=False).T
    distances: Floats = np.float32(1) - nearness.max(axis=1)
    return distances


def _directions(features: Floats) -> Floats:
    """(n, D) -> the same, each row of length 1, or 0 where all of it is 0."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions: Floats = (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return directions


def familiarity_file(folder: Path, checkpoint: str) -> Path:
    return folder / "evaluation" / f"familiarity-{checkpoint}.npz"


def saved_familiarity(
    folder: Path, checkpoint: str, *, identity: str | None = None
) -> Familiarity | None:
    """Returns what was measured for the weights of that identity; None when nothing was.

    By default for the present weights of the checkpoint; then it raises NotFoundError without the
    checkpoint.
    """
    identity = identity or checkpoint_identity(folder, checkpoint)
    try:
        # Opened here: numpy leaves a file that is no zip to the garbage collector.
        with (
            familiarity_file(folder, checkpoint).open("rb") as file,
            np.load(file, allow_pickle=False) as saved,
        ):
            if int(saved["format"]) != _FORMAT or str(saved["identity"]) != identity:
                return None
            return Familiarity(
                checkpoint=checkpoint,
                identity=identity,
                stage=str(saved["stage"]) or None,
                directions=saved["directions"],
                limit=float(saved["limit"]),
                **{name: int(saved[name]) for name in _COUNTS},
            )
    except BROKEN:
        return None  # absent, or damaged: then it is measured anew


_COUNTS = ("val_images", "test_images", "false_alarms", "strange", "found")


def measure_familiarity(
    folder: Path,
    checkpoint: str,
    progress: Report = silent,
    cancel: Cancel = never,
    *,
    identity: str | None = None,
) -> Familiarity:
    """Measure the features of a checkpoint, save them and return them.

    Of the weights of that identity, by default the present ones. Takes a forward pass of up to
    3 x MAX_PICTURES pictures. Raises NotFoundError without the checkpoint or the data set,
    DataError when the set is another one by now or the weights give no numbers, ResourceError when
    the weights of that identity are gone or it cannot be written, Cancelled.
    """
    opened = _own_copy(folder, checkpoint, identity)
    pack, splits = open_data(opened.card, progress=progress, cancel=cancel)
    parts = {
        "train": _balanced(splits.train, pack.labels[splits.train]),
        "val": _sample(splits.val),
        "test": _sample(splits.test),
    }
    total = sum(len(indices) for indices in parts.values())
    done = 0

    def features(part: str) -> Iterator[Floats]:
        nonlocal done
        for batch in _features(opened, pack, parts[part]):
            check_cancel(cancel, _TEXT)
            yield batch
            done += len(batch)
            progress(Progress(done, total, _TEXT, "pictures"))

    # Rounded before the limit is found, so that the limit belongs to what is saved.
    directions = np.concatenate([_directions(x) for x in features("train")]).astype(np.float16)
    val = np.concatenate([nearest(x, directions) for x in features("val")])
    # The smallest distance that 95 of 100 validation pictures do not exceed: one of theirs.
    limit = float(np.quantile(val, ACCEPTED_SHARE, method="inverted_cdf"))
    strange = strange_pictures(opened.card)
    far = [nearest(x, directions) > limit for x in _strange_features(opened, strange)]
    check_cancel(cancel, _TEXT)
    familiarity = Familiarity(
        checkpoint=checkpoint,
        identity=opened.identity,
        stage=feature_stage(opened),
        directions=directions,
        limit=limit,
        val_images=len(parts["val"]),
        test_images=len(parts["test"]),
        false_alarms=sum(int((nearest(x, directions) > limit).sum()) for x in features("test")),
        strange=len(strange),
        found=int(np.concatenate(far).sum()),
    )
    _save(familiarity, folder)
    return familiarity


def strange_pictures(card: CheckpointMetadata) -> Pixels:
    """Returns pictures (n, S, S, C) that are surely not of the kind that a network trained on:
    noise, plain colours, and pictures of the built-in sets that share no class. Always the same."""
    side, channels = card.preprocess.image_size, card.data_channels
    rng = np.random.Generator(np.random.Philox(0))
    noise = rng.integers(0, 256, (STRANGE, side, side, channels), dtype=np.uint8)
    colours = rng.integers(0, 256, (STRANGE, 1, 1, channels), dtype=np.uint8)
    pictures = [noise, np.broadcast_to(colours, noise.shape)]
    known = set(map(str.casefold, card.class_names))
    for spec in DATASETS:
        if spec.built_in:
            with contextlib.suppress(LabError):  # a damaged set
                if known.isdisjoint(map(str.casefold, catalog.describe(spec.name).class_names)):
                    pictures.append(_resized(spec.name, side, channels))
    return np.concatenate(pictures)


@functools.lru_cache(maxsize=8)
def _resized(name: str, side: int, channels: int) -> Pixels:
    """(STRANGE, S, S, C) pictures of a data set."""
    pictures = []
    for _, pixels in examples(name, STRANGE):
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        square = image.convert("L" if channels == 1 else "RGB").resize((side, side))
        pictures.append(np.asarray(square, dtype=np.uint8).reshape(side, side, channels))
    return np.stack(pictures)


def _own_copy(folder: Path, checkpoint: str, identity: str | None) -> Opened:
    """The network of those weights for this thread alone.

    A run in training has perhaps replaced the file since the page was answered; but the network
    that answered is still in memory.
    """
    if identity is None:
        return open_own_network(folder, checkpoint)
    with open_network(folder, checkpoint, identity=identity) as opened:
        network = copy.deepcopy(opened.network)
    return Opened(network, opened.card, checkpoint, opened.epoch, opened.identity)


def _features(opened: Opened, pack: Pack, indices: Indices) -> Iterator[Floats]:
    """(n, D) features of these pictures, batch by batch."""
    preprocess = opened.card.preprocess
    for batch in eval_batches(pack, indices, preprocess, batch_size=32, device="cpu"):
        yield _features_of(opened, batch.images)


def _strange_features(opened: Opened, pictures: Pixels) -> Iterator[Floats]:
    """(n, D) features of pictures (N, S, S, C), batch by batch."""
    for first in range(0, len(pictures), 32):
        batch = torch.from_numpy(np.array(pictures[first : first + 32]))
        yield _features_of(opened, opened.card.preprocess(batch))


def _features_of(opened: Opened, images: torch.Tensor) -> Floats:
    """(n, D) features of images as the network gets them."""
    stage = feature_stage(opened)
    if stage is None:
        features = feature_vectors(pixels_of(opened.card.preprocess.undo(images)))
    else:
        with captured(opened.network, [stage]) as outputs, torch.inference_mode():
            opened.network.run(images, last=stage)
        features = feature_vectors(outputs[stage])
    if not np.isfinite(features).all():
        raise DataError(
            "The weights of this checkpoint give values that are no numbers: the training "
            "diverged. Choose another checkpoint."
        )
    return features


def _sample(indices: Indices) -> Indices:
    """At most MAX_PICTURES of them, always the same ones, ascending."""
    if len(indices) <= MAX_PICTURES:
        return indices
    generator = np.random.Generator(np.random.Philox(len(indices)))
    return np.sort(generator.permutation(indices)[:MAX_PICTURES])


def _balanced(indices: Indices, labels: Indices) -> Indices:
    """At most MAX_PICTURES of them, balanced over the classes, always the same ones, ascending."""
    if len(indices) <= MAX_PICTURES:
        return indices
    generator = np.random.Generator(np.random.Philox(len(indices)))
    order = generator.permutation(len(indices))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[labels[order]]
    return np.sort(indices[order[np.argsort(rank, kind="stable")[:MAX_PICTURES]]])


def _save(familiarity: Familiarity, folder: Path) -> None:
    target = familiarity_file(folder, familiarity.checkpoint)
    with writing(target):
        target.parent.mkdir(exist_ok=True)
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            format=_FORMAT,
            identity=familiarity.identity,
            stage=familiarity.stage or "",
            directions=familiarity.directions,
            limit=familiarity.limit,
            **{name: getattr(familiarity, name) for name in _COUNTS},
        )
