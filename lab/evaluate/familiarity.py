"""Measures whether a picture is unlike the training pictures: its distance to the nearest class.

A network answers whatever it is shown, a shoe among cats and dogs too, and often with confidence.
The features that its head receives tell more: those of pictures like the training pictures lie near
the mean of their class.

    training pictures ──> mean of each class, one deviation a feature   (a seeded sample)
    validation pictures ──> the limit: 95 of 100 are no farther away
    test pictures ──> how often the alarm is false

The distance is Mahalanobis' with a diagonal covariance that all classes share, the simple form of
Lee et al. 2018 (arXiv:1807.03888): sqrt(sum(((feature - mean) / deviation)^2)). It is measured once
a checkpoint and kept beside it, in <run folder>/evaluation/familiarity-<checkpoint>.npz.

It errs on both sides, and only one of them is measured. Noise shown to a MobileNet that knows cats
and dogs raised the alarm 60 times of 60; a black picture never did.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lab.data.batches import eval_batches
from lab.data.pack import Pack
from lab.data.splits import Indices
from lab.errors import DataError
from lab.evaluate.classify import hidden_stage, over_places, pixel_features
from lab.evaluate.opened import checkpoint_identity, open_data, open_own_network
from lab.explain.layers import captured
from lab.home import atomic_file, writing
from lab.models.staged import StagedNet
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.training.checkpoint import CheckpointMetadata

MAX_PICTURES = 1000
"""Most pictures that are used of each split."""

ACCEPTED_SHARE = 0.95
"""Share of the validation pictures that lie within the limit."""

FLOOR = 0.1
"""Lower bound of a feature's deviation, as a share of the features' root mean square deviation:
otherwise a feature that hardly varies would dominate the distance."""

_FORMAT = 1
_TEXT = "Measuring what the training pictures look like"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """How far one picture is from the training pictures."""

    distance: float
    unlike: bool
    sentence: str


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The features of the training pictures in one checkpoint, class by class. Plain values."""

    checkpoint: str
    identity: str
    stage: str | None
    """The stage whose output is compared, averaged over places; None: the pixels in [0, 1]."""
    class_names: tuple[str, ...]
    means: Floats
    """(K, D) class means of the training pictures; a row of NaN for a class without any."""
    deviations: Floats
    """(D,) deviations within classes, at least FLOOR."""
    limit: float
    """A picture farther than this from every mean is called unlike the training pictures."""
    val_images: int
    test_images: int
    false_alarms: int
    """How many of the test pictures are farther away than the limit."""

    @property
    def false_alarm_rate(self) -> float | None:
        """In [0, 1]; None when the data set has no test pictures."""
        return self.false_alarms / self.test_images if self.test_images else None

    def distances(self, features: Floats) -> npt.NDArray[np.float64]:
        """Distances of features (N, D) from each class's mean, (N, K); infinite without a mean."""
        distances = np.empty((len(features), len(self.means)))
        for k, mean in enumerate(self.means):
            scaled = (features - mean) / self.deviations
            distances[:, k] = np.sqrt(np.einsum("nd,nd->n", scaled, scaled, dtype=np.float64))
        return np.where(np.isnan(distances), np.inf, distances)

    def judge(self, features: Floats) -> Verdict:
        """Judges one picture by its features (D,), as in `lab.evaluate.classify.Answer`."""
        distance = float(self.distances(features[None]).min())
        unlike = distance > self.limit
        return Verdict(distance, unlike, self._sentence(distance, unlike))

    def _sentence(self, distance: float, unlike: bool) -> str:
        share = f"{ACCEPTED_SHARE:.0%}"
        rate = self.false_alarm_rate
        if rate is None:
            alarm = "there are no test pictures to say how often this alarm is false"
        else:
            pictures = f"{self.test_images:,} test picture{'s' * (self.test_images != 1)}"
            alarm = f"{rate:.1%} of {pictures} raise this alarm falsely"
        return (
            f"{'Unlike' if unlike else 'Like'} the training pictures: distance "
            f"{_two_digits(distance)}, and {share} of {self.val_images:,} validation pictures are "
            f"within {_two_digits(self.limit)}; {alarm}."
        )


def familiarity_file(folder: Path, checkpoint: str) -> Path:
    return folder / "evaluation" / f"familiarity-{checkpoint}.npz"


def saved_familiarity(folder: Path, checkpoint: str) -> Familiarity | None:
    """Returns what was measured for the present weights of the checkpoint; None when nothing was.

    Raises NotFoundError without the checkpoint.
    """
    identity = checkpoint_identity(folder, checkpoint)
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
                class_names=tuple(str(name) for name in saved["class_names"]),
                means=saved["means"],
                deviations=saved["deviations"],
                limit=float(saved["limit"]),
                **{name: int(saved[name]) for name in _COUNTS},
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent, or damaged: then it is measured anew


_COUNTS = ("val_images", "test_images", "false_alarms")


def measure_familiarity(
    folder: Path, checkpoint: str, progress: Report = silent, cancel: Cancel = never
) -> Familiarity:
    """Measure the features of a checkpoint, save them and return them.

    Takes a forward pass of up to 3 x MAX_PICTURES pictures. Raises NotFoundError without the
    checkpoint or the data set, DataError when the set is another one by now or the weights give no
    numbers, ResourceError when it cannot be written, Cancelled.
    """
    opened = open_own_network(folder, checkpoint)
    network, card, identity = opened.network, opened.card, opened.identity
    pack, splits = open_data(card, progress=progress, cancel=cancel)
    parts = {
        "train": _balanced(splits.train, pack.labels[splits.train]),
        "val": _sample(splits.val),
        "test": _sample(splits.test),
    }
    total = sum(len(indices) for indices in parts.values())
    done = 0

    def features(part: str) -> Iterator[tuple[Floats, Indices]]:
        nonlocal done
        for batch, labels in _features(network, card, pack, parts[part]):
            check_cancel(cancel, _TEXT)
            yield batch, labels
            done += len(batch)
            progress(Progress(done, total, _TEXT, "pictures"))

    means, deviations = _spread(features("train"), classes=len(card.class_names))
    familiarity = Familiarity(
        checkpoint=checkpoint,
        identity=identity,
        stage=hidden_stage(network),
        class_names=card.class_names,
        means=means,
        deviations=deviations,
        limit=float("nan"),
        val_images=len(parts["val"]),
        test_images=len(parts["test"]),
        false_alarms=0,
    )
    val = [familiarity.distances(x).min(1) for x, _ in features("val")]
    # The smallest distance that 95 of 100 validation pictures do not exceed: one of theirs.
    limit = float(np.quantile(np.concatenate(val), ACCEPTED_SHARE, method="inverted_cdf"))
    alarms = sum(int((familiarity.distances(x).min(1) > limit).sum()) for x, _ in features("test"))
    familiarity = replace(familiarity, limit=limit, false_alarms=alarms)
    _save(familiarity, folder)
    return familiarity


def _features(
    network: StagedNet, card: CheckpointMetadata, pack: Pack, indices: Indices
) -> Iterator[tuple[Floats, Indices]]:
    """(n, D) features and (n,) labels of these pictures, batch by batch."""
    stage, preprocess = hidden_stage(network), card.preprocess
    for batch in eval_batches(pack, indices, preprocess, batch_size=32, device="cpu"):
        if stage is None:
            features = pixel_features(preprocess.undo(batch.images).numpy())
        else:
            with captured(network, [stage]) as outputs, torch.inference_mode():
                network.run(batch.images, last=stage)
            features = over_places(outputs[stage]).numpy()
        if not np.isfinite(features).all():
            raise DataError(
                "The weights of this checkpoint give values that are no numbers: the training "
                "diverged. Choose another checkpoint."
            )
        yield features, batch.labels.numpy()


def _spread(batches: Iterator[tuple[Floats, Indices]], *, classes: int) -> tuple[Floats, Floats]:
    """The mean of each class (K, D) and the deviation within classes (D,), floored."""
    sums: npt.NDArray[np.float64] | None = None
    squares: npt.NDArray[np.float64] | float = 0.0
    counts = np.zeros(classes, dtype=np.int64)
    for features, labels in batches:
        values = features.astype(np.float64)
        if sums is None:
            sums = np.zeros((classes, values.shape[1]))
        np.add.at(sums, labels, values)
        squares = squares + (values**2).sum(0)
        counts += np.bincount(labels, minlength=classes)
    if sums is None:
        raise ValueError("the spread of no pictures")
    with np.errstate(invalid="ignore"):
        means = sums / counts[:, None]  # NaN without a picture
    within = squares - np.nansum(counts[:, None] * means**2, axis=0)
    variances = np.maximum(within, 0) / counts.sum()
    floor = FLOOR * np.sqrt(variances.mean())
    deviations = np.maximum(np.sqrt(variances), floor or 1.0)
    return means.astype(np.float32), deviations.astype(np.float32)


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
            class_names=np.array(familiarity.class_names),
            means=familiarity.means,
            deviations=familiarity.deviations,
            limit=familiarity.limit,
            **{name: getattr(familiarity, name) for name in _COUNTS},
        )


def _two_digits(value: float) -> str:
    """Two digits, or all whole ones: 0.41, 4.1, 41, 410."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
