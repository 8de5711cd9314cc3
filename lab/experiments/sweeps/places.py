"""Which combinations of a sweep differ by more than chance, and so which places they take.

    place = 1 + the number of combinations that are better by more than chance

With several seeds two combinations are compared seed by seed (both runs of a seed have the same
validation images and the same order), by Student's t. Their differences vary as those of all pairs
do together, or more: the larger of both variances counts, with the degrees of freedom of all (the
residual of a randomised block design). With one seed only the number of validation images says how
much is luck. Over all pairs Holm's correction keeps the chance of any false difference at 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.config import KNOBS
from lab.evaluate.compare import CHANCE, holm
from lab.experiments.sweeps.config import JUDGED_BY, Params, SweepConfig
from lab.runs.naming import setting_words

Floats = npt.NDArray[np.float64]

MOST_PLACED = 200
"""More combinations than this get no places: no 5 % could be kept over so many pairs anyway."""


@dataclass(frozen=True)
class Pairs:
    """All pairs of k combinations, each (k, k): row minus column."""

    difference: Floats
    error: Floats
    """Standard error of the difference; NaN where nothing says how large it is."""
    freedom: Floats
    """Degrees of freedom of the error; infinite where it is that of images."""

    @property
    def p(self) -> Floats:
        """Two-sided p-values; 1 where nothing can be told."""
        from scipy.special import stdtr  # here: most pages need no scipy

        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.difference) / self.error
        p = 2 * stdtr(np.minimum(self.freedom, 1e9), -t)
        return np.where(np.isnan(p), 1.0, p)


def pairs(values: Floats, images: Floats, *, is_share: bool) -> Pairs:
    """Compares combinations.

    `values` (k, S): the result of each with each seed, NaN where there is none; `images` (k,): the
    number of validation images. A share cannot be known finer than one image.
    """
    k = len(values)
    differences = values[:, None, :] - values[None, :, :]
    known = np.isfinite(differences)
    count = known.sum(axis=2)
    total = np.where(known, differences, 0.0).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        squares = np.where(known, (differences - mean[:, :, None]) ** 2, 0.0).sum(axis=2)
        variance = squares / (count - 1)
        several = (count > 1) & ~np.eye(k, dtype=bool)
        pooled = float(variance[several].mean()) if several.any() else math.nan
        seeds = np.isfinite(values).sum(axis=1)
        freedom = float(np.maximum(seeds - 1, 0).sum()) * (k - 1) / k
        fewest = np.minimum(images[:, None], images[None, :])
        finest = (1 / fewest) ** 2 if is_share else np.zeros((k, k))
        by_seed = np.sqrt(np.fmax(np.fmax(variance, pooled), finest) / count)
        means = np.nansum(values, axis=1) / np.isfinite(values).sum(axis=1)
        of_images = means * (1 - means) / images if is_share else np.full(k, math.nan)
        by_image = np.sqrt(of_images[:, None] + of_images[None, :])
    one = count < 2
    return Pairs(
        np.where(count == 0, means[:, None] - means[None, :], mean),
        np.where(one, by_image, by_seed),
        np.where(one, math.inf, max(1.0, freedom)),
    )


def places(sweep: SweepConfig, values: Floats, images: Floats) -> list[int | None]:
    """Returns the place of each combination; None for one without a result, and of all where
    nothing says how much is luck. For `values` and `images` see `pairs`."""
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    found: list[int | None] = [None] * len(values)
    if not 2 <= len(known) <= MOST_PLACED:
        return found
    compared = pairs(values[known], images[known], is_share=sweep.measured.is_share)
    first, second = np.triu_indices(len(known), 1)
    if not np.isfinite(compared.error[first, second]).any():
        return found
    adjusted = holm(compared.p[first, second].tolist())
    ahead = np.zeros(len(known), dtype=int)
    sign = 1 if sweep.higher_is_better else -1
    for one, other, p in zip(first, second, adjusted, strict=True):
        if p < CHANCE:
            ahead[other if sign * compared.difference[one, other] > 0 else one] += 1
    for place, number in enumerate(known):
        found[number] = int(1 + ahead[place])
    return found


# --- does this setting matter? --------------------------------------------------------------------
@dataclass(frozen=True)
class Effect:
    """The difference that one setting makes, between two of its values."""

    knob: str
    values: tuple[Any, Any]
    seeds: int
    """With a run of both values."""
    difference: float
    """Of the sweep's metric: the second value's result minus the first's."""
    half: float
    """Half the width of its 95 % interval."""
    p: float

    @property
    def more_than_chance(self) -> bool:
        return self.p < CHANCE


def asks_effect(sweep: SweepConfig) -> bool:
    """Whether the sweep asks if one setting matters: two values of it, several seeds."""
    return sweep.kind == "grid" and len(sweep.axes) == 1 and sweep.combinations == 2 and len(
        sweep.seeds
    ) > 1  # fmt: skip


def effect(sweep: SweepConfig, values: Floats, images: Floats) -> Effect | None:
    """Returns the effect of the only setting, of seeds that both values were trained with; None
    while those are fewer than two. Student's t over the seeds' differences."""
    from scipy.special import stdtrit

    points: Sequence[Params] = sweep.points or ()
    seeds = int(np.isfinite(values).all(axis=0).sum()) if len(values) == 2 else 0
    if not asks_effect(sweep) or seeds < 2:
        return None
    both = np.where(np.isfinite(values).all(axis=0), values, math.nan)
    compared = pairs(both, images, is_share=sweep.measured.is_share)
    ((knob, _),) = sweep.axes.items()
    return Effect(
        knob,
        (points[0][knob], points[1][knob]),
        seeds,
        float(compared.difference[1, 0]),
        float(stdtrit(seeds - 1, 0.975) * compared.error[1, 0]),
        float(compared.p[1, 0]),
    )


def effect_words(sweep: SweepConfig, found: Effect) -> str:
    """Such as "Dropout 0.5 is better than dropout 0 here: 2.1 points of validation accuracy more,
    95 % interval 0.8 to 3.4, over 5 seeds (p = 0.01)." """
    share = sweep.measured.is_share
    scale, unit = (100.0, " points") if share else (1.0, "")

    def number(value: float) -> str:
        return f"{scale * value:.1f}" if share else f"{value:.3g}"

    up = (found.difference > 0) == sweep.higher_is_better
    better, worse = found.values[::-1] if up else found.values
    names = [setting_words(KNOBS[found.knob], value) for value in (better, worse)]
    metric = JUDGED_BY[sweep.metric].lower()
    size = abs(found.difference)
    interval = f"95% interval {number(size - found.half)} to {number(size + found.half)}"
    if found.more_than_chance:
        way = "more" if sweep.higher_is_better else "less"
        return (
            f"{_sentence(names[0])} is better than {names[1]} here: {number(size)}{unit} of "
            f"{metric} {way}, {interval}, over {found.seeds} seeds ({_p(found.p)})."
        )
    return (
        f"Not distinguishable with {found.seeds} seeds: {names[0]} and {names[1]} differ by "
        f"{number(size)}{unit} of {metric}, {interval} ({_p(found.p)}). A difference below about "
        f"{number(found.half)}{unit} would not show with so few."
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
