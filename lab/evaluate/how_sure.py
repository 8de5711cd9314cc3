"""How far a checkpoint's probabilities can be believed: its temperature and its answer sets, from
validation images and measured on test images.

It is made of saved predictions of both parts; `measure_how_sure` makes those that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import DataError, LabError
from lab.evaluate.answer_sets import LEVELS, AnswerSets, MeasuredSets, fit_sets, measure_sets
from lab.evaluate.leak_free import known_groups
from lab.evaluate.metrics import Ints
from lab.evaluate.opened import checkpoint_identity, open_data
from lab.evaluate.predictions import Predictions, predict, saved_predictions
from lab.evaluate.temperature import Scaling, fit_temperature, scaling
from lab.progress import Cancel, Report, never, silent
from lab.training.checkpoint import CheckpointMetadata
from lab.words import of_independent


@dataclass(frozen=True, eq=False)
class HowSure:
    """What the validation images say about one write of a checkpoint. Plain values."""

    identity: str
    """See `lab.evaluate.opened.checkpoint_identity`."""
    temperature: float
    scaling: Scaling | None
    """Measured on the test images; None where the data set has none, as with `measured`."""
    sets: Mapping[float, AnswerSets]
    """Level -> the sets that Classify answers with."""
    measured: Mapping[float, MeasuredSets]

    def set_sentence(self, level: float) -> str:
        """Returns what sets of this level are worth."""
        chosen = f"chosen on {self.sets[level].val_images:,} validation images"
        measured = self.measured.get(level)
        if measured is None:
            return f"Sets {chosen}; they are not measured on test images."
        hit = measured.coverage
        low, high = hit.interval
        of = f"{hit.n:,} test images{of_independent(hit.units, hit.n)}"
        text = (
            f"Sets {chosen}. Measured on {of}: {hit.share:.1%} hold the true class "
            f"({low:.1%} to {high:.1%}), with {measured.mean_size:.1f} classes on average."
        )
        if not measured.as_asked:
            text += (
                f" That is less than {level:.0%}: the validation images are easier than the test "
                "images, so do not rely on these sets."
            )
        return text

    @property
    def temperature_sentence(self) -> str:
        """Returns what the temperature does to the test images."""
        text = f"Temperature {self.temperature:.2f}, from the validation images."
        if self.scaling is None:
            return text
        before, after = self.scaling.loss
        text = (
            f"{text} On the test images the loss goes from {before:.3f} to {after:.3f}, the "
            f"calibration error from {self.scaling.before.expected_error:.1%} to "
            f"{self.scaling.after.expected_error:.1%}."
        )
        if self.scaling.at_its_end:
            text += " The network is right on (nearly) all validation images: they say nothing."
        return text


def how_sure(val: Predictions, test: Predictions | None, groups: Ints | None) -> HowSure:
    """Returns what the predictions of one checkpoint say; `groups` (N,) of the pack."""
    sets = {level: fit_sets(val, level) for level in LEVELS}
    if test is None:
        temperature = fit_temperature(val.log_probabilities, val.labels)
        return HowSure(val.identity, temperature, None, sets, {})
    scale = scaling(val, test, groups)
    measured = {level: measure_sets(each, test, groups) for level, each in sets.items()}
    return HowSure(val.identity, scale.temperature, scale, sets, measured)


def saved_how_sure(
    folder: Path, checkpoint: str, *, identity: str | None = None, with_test: bool = True
) -> HowSure | None:
    """Returns it for the weights of that identity, by default the present ones; None while the
    predictions of a part are missing. Without `with_test` nothing is measured on test images.
    Raises NotFoundError without the checkpoint."""
    identity = identity or checkpoint_identity(folder, checkpoint)
    val, test = (
        each if each is not None and each.identity == identity else None
        for each in (saved_predictions(folder, checkpoint, part) for part in ("val", "test"))
    )
    if val is None:
        return None
    try:
        pack, splits = open_data(CheckpointMetadata.read(folder))
    except LabError:  # the data set is gone; what was predicted can still be used
        if test is None and with_test:
            return None
        return how_sure(val, test if with_test else None, None)
    if not with_test:
        return how_sure(val, None, known_groups(pack))
    if test is None and len(splits.test):
        return None
    return how_sure(val, test, known_groups(pack))


def measure_how_sure(
    folder: Path,
    checkpoint: str,
    progress: Report = silent,
    cancel: Cancel = never,
    *,
    with_test: bool = True,
) -> HowSure:
    """As `saved_how_sure`, but predicts what is missing.

    Raises what `predict` raises, and DataError without validation images.
    """
    pack, splits = open_data(CheckpointMetadata.read(folder), progress=progress, cancel=cancel)
    if not len(splits.val):
        raise DataError(
            f"{pack.meta.title} has no validation images, and only they may choose a temperature "
            "or answer sets. Train with a share of the training images set aside."
        )
    parts = {
        part: saved_predictions(folder, checkpoint, part)
        or predict(folder, checkpoint, part, progress=progress, cancel=cancel)
        for part in (["val", "test"] if len(splits.test) and with_test else ["val"])
    }
    return how_sure(parts["val"], parts.get("test"), known_groups(pack))
