"""Which settings of a sweep matter most: PED-ANOVA, with intervals and what chance alone gives.

S. Watanabe, A. Bansal, F. Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces", IJCAI 2023, in Optuna: how differently a setting is distributed among the best
quarter of the combinations and among all (Pearson divergence; 0: not at all). Beside it stand

- a 95 % interval: over random halves of the combinations, which differ among each other about as
  much as samples of this size do (P. J. McCarthy, "Pseudo-replication: half samples", Rev. Int.
  Stat. Inst. 37, 1969; a bootstrap's repeated combinations would look like a concentration);
- the chance level: 95 % of shuffles, in which the results are dealt out anew to the combinations,
  give less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lab.config import KNOBS
from lab.evaluate.compare import CHANCE, holm
from lab.experiments.sweeps.config import Params, Range, SweepConfig
from lab.experiments.sweeps.study import optuna_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Floats = npt.NDArray[np.float64]

FEWEST = 20
"""Combinations with a result below which nothing is said: the best quarter has to be five, as the
method's authors advise."""
BEST = 0.25
IMPORTANCE_CAPTION = (
    "How differently a setting is spread among the best quarter and among all "
    "combinations (PED-ANOVA, Watanabe et al. 2023). The interval comes from "
    "random halves of the combinations; chance is 95% of shuffled results. It "
    "says which setting decides, not which value is best."
)
SAMPLES = 100
"""Random halves for the intervals, and shuffles: at least 40 a setting, so that a corrected
p-value can get below 0.05."""


@dataclass(frozen=True)
class Importance:
    """How much one setting decides whether a combination is among the best quarter."""

    knob: str
    value: float
    interval: tuple[float, float]
    chance: float
    """95 % of shuffles give less."""
    p: float
    """The share of shuffles that give as much, with Holm's correction over the settings."""

    @property
    def more_than_chance(self) -> bool:
        return self.p < CHANCE


def importances(sweep: SweepConfig, params: Sequence[Params], values: Floats) -> list[Importance]:
    """Returns the importance of every setting, the largest first; empty when there are too few
    combinations, or only one setting.

    `values` (k, S): the result of each combination with each seed; NaN where there is none.
    """
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = values[known]
    points = [params[number] for number in known.tolist()]
    if len(points) < FEWEST or len(sweep.axes) < 2:
        return []
    random = np.random.default_rng(0)
    measure = _Measure(sweep, points)
    everything = np.arange(len(points))
    means: Floats = np.nanmean(values, axis=1)
    own = measure(everything, means)
    halves = []
    for _ in range(SAMPLES):
        half = random.choice(len(points), len(points) // 2, replace=False)
        halves.append(measure(half, means[half]))
    low, high = np.quantile(halves, (0.025, 0.975), axis=0)
    shuffled = np.array(
        [
            measure(everything, random.permutation(means))
            for _ in range(max(SAMPLES, 40 * len(sweep.axes)))
        ]
    )
    chance = np.quantile(shuffled, 0.95, axis=0)
    p = (1 + (shuffled >= own).sum(axis=0)) / (1 + len(shuffled))
    found = [
        Importance(
            knob,
            float(v),
            (float(min(a, v)), float(max(b, v))),
            float(c),
            corrected,
        )
        for knob, v, a, b, c, corrected in zip(
            sweep.axes, own, low, high, chance, holm(p.tolist()), strict=True
        )
    ]
    return sorted(found, key=lambda each: -each.value)


def importance_words(sweep: SweepConfig, found: Sequence[Importance], count: int) -> str:
    """Returns what the importances say; `count` combinations have a result."""
    if len(sweep.axes) < 2:
        return "Only one setting varies, so there is nothing to weigh it against."
    if not found:
        return (
            f"{count} combinations with a result are too few to say which setting matters: below "
            f"{FEWEST} the best quarter is not even five."
        )
    names = [KNOBS[each.knob].title.lower() for each in found if each.more_than_chance]
    if not names:
        words = f"No setting stands out from chance with {count} combinations."
    else:
        rest = [KNOBS[each.knob].title.lower() for each in found if not each.more_than_chance]
        words = f"More than chance: {', '.join(names)}."
        if rest:
            words += f" Not distinguishable from chance: {', '.join(rest)}."
    if sweep.method.learns:
        words += (
            f" {sweep.method.title} looks mostly where results are good, so this is about that "
            "part only."
        )
    return words


class _Measure:
    """PED-ANOVA of the sweep's settings over any choice of its combinations."""

    def __init__(self, sweep: SweepConfig, points: Sequence[Params]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs every study otherwise
        self._points = [{k: optuna_value(v) for k, v in point.items()} for point in points]
        self._distributions = {
            knob: _distribution(sweep, knob, [p[knob] for p in self._points]) for knob in sweep.axes
        }
        self._sign = 1.0 if sweep.higher_is_better else -1.0

    def __call__(self, chosen: npt.NDArray[np.int64], values: Floats) -> Floats:
        """Returns the importance of every setting; `values` are those of the `chosen` points."""
        import optuna
        from optuna.importance import PedAnovaImportanceEvaluator

        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=self._points[number],
                    distributions=self._distributions,
                    value=self._sign * float(value),
                )
                for number, value in zip(chosen, values, strict=True)
            ]
        )
        weighed = PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(study)
        return np.array([weighed.get(knob, 0.0) for knob in self._distributions])


def _distribution(sweep: SweepConfig, knob: str, values: Sequence[Any]) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    axis = sweep.axes[knob]
    if sweep.kind == "grid" or not isinstance(axis, Range):
        return CategoricalDistribution(list(dict.fromkeys(values)))
    if KNOBS[knob].kind == "int":
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
