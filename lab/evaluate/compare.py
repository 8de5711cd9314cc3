"""Compares runs: their settings, the uncertainty of their results, and whether these differ.

Plain numbers only and no torch, so that a page can use it while it opens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lab.config import KNOBS
from lab.errors import ConfigError
from lab.evaluate.metrics import (
    NORMAL_95,
    Bools,
    Ints,
    design_effect,
    student_95,
    wilson_interval,
)

if TYPE_CHECKING:
    from lab.evaluate.predictions import Predictions

CHANCE = 0.05
"""Significance level: a difference with a smaller p-value is called more than chance."""


def differing_settings(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Returns the knobs that are not the same in all of `settings` (plain values, a mapping a run),
    each with its value in every run; None where only another version of the lab has the knob."""
    names = dict.fromkeys(name for values in settings for name in values)
    table = {name: tuple(values.get(name) for values in settings) for name in names}
    return {
        name: values
        for name, values in table.items()
        if any(value != values[0] for value in values[1:])
    }


def share_interval(share: float | None, n: int | None) -> tuple[float, float] | None:
    """Returns Wilson's 95 % interval of a share measured on n images; None where either is not
    known."""
    if share is None or not n or not math.isfinite(share):
        return None
    return wilson_interval(round(share * n), n)


@dataclass(frozen=True)
class AccuracyInterval:
    """How sure a run's recorded accuracy on one part is."""

    interval: tuple[float, float] | None
    """95 %, copies counted once; None without a result, and where copies are known but not which
    images were right. See `lab.evaluate.leak_free.accuracy_interval`."""
    units: int | None
    """Independent pictures among the images; None where nobody has looked for copies."""


# --- several comparisons at once -----------------------------------------------------------------
def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Returns the p-values corrected for how many they are, in the same order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
    If nothing differs, a corrected value is below 0.05 in at most one of twenty such sets of
    comparisons, however many comparisons a set has and however they hang together. One value stays
    as it is.
    """
    count = len(p_values)
    corrected, largest = [1.0] * count, 0.0
    for rank, place in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        corrected[place] = largest
    return tuple(corrected)


def alike(count: int, different: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Returns the largest sets of 0 to count - 1 of which no two are in `different`, in order.

    One may be in several sets: A and B, and B and C, can be alike while A and C are not. The
    letters under a table, by insertion and absorption: H.-P. Piepho, "An algorithm for a
    letter-based representation of all-pairwise comparisons", J. Comput. Graph. Stat. 13 (2004).
    """
    sets = {frozenset(range(count))} if count else set()
    for one, other in different:
        split = {s - {gone} for s in sets if {one, other} <= s for gone in (one, other)}
        sets = {s for s in sets if not {one, other} <= s} | split
        sets = {s for s in sets if not any(s < larger for larger in sets)}
    return tuple(sorted(tuple(sorted(s)) for s in sets))


def unpaired_difference(
    first: tuple[float, int], second: tuple[float, int]
) -> tuple[float, tuple[float, float]]:
    """Returns the first accuracy minus the second, each a share and the number of its images, with
    the 95 % interval as if the images were drawn apart.

    R. Newcombe, "Interval estimation for the difference between independent proportions: comparison
    of eleven methods", Statistics in Medicine 17 (1998), method 10. On the same images `mcnemar`
    sees more.
    """
    (one, n_one), (other, n_other) = first, second
    low_one, high_one = wilson_interval(round(one * n_one), n_one)
    low_other, high_other = wilson_interval(round(other * n_other), n_other)
    difference = one - other
    below = math.hypot(one - low_one, high_other - other)
    above = math.hypot(high_one - one, other - low_other)
    return difference, (difference - below, difference + above)


def against_baseline(share: float | None, n: int | None, base: float | None, of: int | None) -> str:
    """Returns "+1.2 points" or "+0.4 points, within chance"; "" where either is not known."""
    if share is None or base is None or not n or not of:
        return ""
    difference, (low, high) = unpaired_difference((share, n), (base, of))
    within = ", within chance" if low <= 0 <= high else ""
    return f"{100 * difference:+.1f} points{within}"


# --- several seeds -------------------------------------------------------------------------------
@dataclass(frozen=True)
class SeedSpread:
    """The spread of one result over runs that differ only in the seed."""

    members: tuple[int, ...]
    """The positions of the runs; of several runs with one seed the first."""
    seeds: tuple[int, ...]
    mean: float
    deviation: float
    """The sample standard deviation (divided by count - 1)."""
    lowest: float
    highest: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean over endlessly many seeds (Student's), on these images."""
        half = student_95(len(self.seeds) - 1) * self.deviation / math.sqrt(len(self.seeds))
        return self.mean - half, self.mean + half


def welch(first: SeedSpread, second: SeedSpread) -> float:
    """Returns the p-value of two ways of training being equally good, each over its own seeds.

    B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34 (1947). It is about other seeds on the same images.
    """
    from scipy.special import stdtr  # here: most pages need no scipy

    a, b = (each.deviation**2 / len(each.seeds) for each in (first, second))
    if a + b == 0:
        return 1.0 if first.mean == second.mean else 0.0
    freedom = (a + b) ** 2 / (a**2 / (len(first.seeds) - 1) + b**2 / (len(second.seeds) - 1))
    return 2 * float(stdtr(freedom, -abs(first.mean - second.mean) / math.sqrt(a + b)))


def over_seeds(
    settings: Sequence[Mapping[str, Any]], results: Sequence[float | None]
) -> tuple[SeedSpread, ...]:
    """Returns the groups of at least two seeds among runs with these settings and results.

    Knobs that change only the speed or what is watched do not count as a difference, nor do runs
    without a result. A seed that was run twice gives the same result twice, which would make the
    spread look smaller: it counts once.
    """
    groups: dict[str, dict[int, int]] = {}
    for place, (knobs, result) in enumerate(zip(settings, results, strict=True)):
        if result is None or not math.isfinite(result):
            continue
        same = {k: v for k, v in sorted(knobs.items()) if _changes_result(k)}
        groups.setdefault(repr(same), {}).setdefault(int(knobs.get("seed", 0)), place)
    spreads = []
    for places in groups.values():
        if len(places) < 2:
            continue
        values = np.array([results[place] for place in places.values()], dtype=np.float64)
        spreads.append(
            SeedSpread(
                members=tuple(places.values()),
                seeds=tuple(places),
                mean=float(values.mean()),
                deviation=float(values.std(ddof=1)),
                lowest=float(values.min()),
                highest=float(values.max()),
            )
        )
    return tuple(spreads)


def _changes_result(name: str) -> bool:
    """Whether runs that differ in the knob are different runs, not one run repeated."""
    return name != "seed" and (name not in KNOBS or KNOBS[name].effect == "result")


# --- two runs on the same images -----------------------------------------------------------------
@dataclass(frozen=True)
class PairedTest:
    """The comparison of two networks on the same n images."""

    n: int
    units: int
    """Independent groups of images: photographs with their copies. Without any, n."""
    both_right: int
    only_first: int
    """Images that the first is right on and the second wrong."""
    only_second: int
    both_wrong: int
    p_exact: float
    """McNemar's test as the exact binomial test of the images on which only one is right; where
    images belong together, the exact test of flipping the signs of whole groups."""
    p_mid: float
    """Its mid-p version, which decides: the exact one calls too few differences real."""
    interval: tuple[float, float]
    """The 95 % interval of `difference`."""

    @property
    def difference(self) -> float:
        """Accuracy of the first minus that of the second, in [-1, 1]."""
        return (self.only_first - self.only_second) / self.n

    @property
    def more_than_chance(self) -> bool:
        """Whether the difference is significant at the level CHANCE."""
        return self.p_mid < CHANCE


def mcnemar(first: Bools, second: Bools, groups: Ints | None = None) -> PairedTest:
    """Tests whether two networks are equally often right; `first`, `second` (n,): right or not.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions",
    Psychometrika 12 (1947). Of the images on which exactly one network is right, each would be
    right on half if both were equally good. Mid-p: M. Fagerland, S. Lydersen, P. Laake, "The
    McNemar test for binary matched-pairs data", BMC Med. Res. Methodol. 13 (2013). The interval:
    D. Bonett and R. Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", J. Educ. Behav. Stat. 37 (2012).

    `groups` (n,): images with the same number are copies of one photograph and no independent
    witnesses. If both networks were equally good, each group would favour either one as often: the
    p-value is the share of all ways to flip the signs of the groups' differences that are at least
    as uneven. With one image a group that is McNemar's test.

    It compares these two networks only. It cannot say how much networks trained with other seeds
    would differ (T. Dietterich, Neural Computation 10, 1998).
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} images; the same number, at least 1")
    n = len(first)
    only_first = int(np.count_nonzero(first & ~second))
    only_second = int(np.count_nonzero(second & ~first))
    difference = first.astype(np.int64) - second
    units, interval = n, _paired_interval(only_first, only_second, n)
    p_exact, p_mid = _binomial(only_first, only_second)
    if groups is not None:
        names, which = np.unique(groups, return_inverse=True)
        units = len(names)
    if groups is not None and units < n:
        p_exact, p_mid = _sign_flips(np.bincount(which, weights=difference).astype(np.int64))
        interval = _grouped_interval(difference, which, units, interval)
    return PairedTest(
        n=n,
        units=units,
        both_right=int(np.count_nonzero(first & second)),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int(np.count_nonzero(~first & ~second)),
        p_exact=p_exact,
        p_mid=p_mid,
        interval=interval,
    )


def _binomial(one: int, other: int) -> tuple[float, float]:
    """Two-sided p-values, exact and mid-p, of a split that is fair under the hypothesis."""
    n, least = one + other, min(one, other)
    if one == other:
        return 1.0, 1.0
    # Over whole numbers, as long as they may be: no rounding and no underflow on the way.
    term, tail = 1, 1
    for k in range(1, least + 1):
        term = term * (n - k + 1) // k
        tail += term
    return 2 * tail / 2**n, (2 * tail - term) / 2**n


def _grouped_interval(
    difference: Ints, which: Ints, units: int, independent: tuple[float, float]
) -> tuple[float, float]:
    """The interval for independent images, widened by the design effect of the groups."""
    if units == 1:
        return -1.0, 1.0
    deviations = np.asarray(difference - difference.mean(), dtype=np.float64)
    effect = design_effect(deviations, which, units)
    wider = math.sqrt(effect) * student_95(units - 1) / student_95(len(difference) - 1)
    centre, half = (independent[0] + independent[1]) / 2, (independent[1] - independent[0]) / 2
    return max(-1.0, centre - wider * half), min(1.0, centre + wider * half)


def _paired_interval(one: int, other: int, n: int) -> tuple[float, float]:
    first, second = (one + 1) / (n + 2), (other + 1) / (n + 2)
    difference = first - second
    half = NORMAL_95 * math.sqrt((first + second - difference**2) / (n + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


@dataclass(frozen=True)
class SeedsTest:
    """The comparison of two ways of training on the same n images, over several seeds."""

    n: int
    units: int
    """Independent groups of images: photographs with their copies. Without any, n."""
    seeds: int
    difference: float
    """Accuracy of the second minus that of the first, mean over the seeds, in [-1, 1]."""
    interval: tuple[float, float]
    """Its 95 % interval, over other images and, with several seeds, other seeds."""
    p_images: float
    """As if only the images were drawn by chance: McNemar's mid-p test, over the seeds' sum."""
    p_both: float | None
    """As if images and seeds were drawn by chance; None for a single seed."""

    @property
    def p(self) -> float:
        """The one that decides: the larger of the two."""
        return self.p_images if self.p_both is None else max(self.p_images, self.p_both)

    @property
    def more_than_chance(self) -> bool:
        """Whether the difference is significant at the level CHANCE."""
        return self.p < CHANCE


def paired_over_seeds(first: Bools, second: Bools, groups: Ints | None = None) -> SeedsTest:
    """Tests whether two ways of training are equally often right.

    `first` and `second` (S, n): whether the network of each seed is right on each image; `groups`
    (n,): images with the same number are copies of one photograph and count once, below. With one
    seed it is McNemar's mid-p test, which knows nothing of the luck of a seed. With several, the
    two larger p-values of these decide:

    - over images: each image's difference, summed over the seeds, has either sign with the same
      chance if both were equally good; exact, mid-p. For one seed that is McNemar's test.
    - over images and seeds: the two-way random model of readers (here seeds) and cases (here
      images), D. Dorfman, K. Berbaum, C. Metz, "Receiver operating characteristic rating analysis",
      Investigative Radiology 27 (1992), with the degrees of freedom of S. Hillis, K. Berbaum,
      C. Metz, "Recent developments in the Dorfman-Berbaum-Metz procedure", Academic Radiology 15
      (2008).
    """
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"{first.shape} and {second.shape}; (S, n) of the same shape")
    differences = second.astype(np.int64) - first.astype(np.int64)
    seeds, n = differences.shape
    mean = float(differences.mean())
    units = n
    if groups is not None:
        names, which = np.unique(groups, return_inverse=True)
        units = len(names)
        sums = np.zeros((units, seeds), dtype=np.int64)
        np.add.at(sums, which, differences.T)
        differences = sums.T
    _, p_images = _sign_flips(differences.sum(axis=0))
    if seeds == 1:
        interval = mcnemar(second[0], first[0], groups).interval
        return SeedsTest(n, units, 1, mean, interval, p_images, None)
    # Per image, so that the mean over groups is the difference of the accuracies.
    p_both, half = _seeds_and_images(differences * (units / n))
    interval = (max(-1.0, mean - half), min(1.0, mean + half))
    return SeedsTest(n, units, seeds, mean, interval, p_images, p_both)


def _sign_flips(values: Ints) -> tuple[float, float]:
    """Two-sided p-values, exact and mid-p, of the sum of `values` when each has either sign by
    chance."""
    observed = abs(int(values.sum()))
    if not observed:
        return 1.0, 1.0
    chances = np.ones(1)  # of the sums -reach, -reach + 1, ..., reach
    sizes, counts = np.unique(np.abs(values[values != 0]), return_counts=True)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(2 * count * size + 1)
        spread[::size] = _fair_sums(count)
        chances = np.convolve(chances, spread)
    reach = len(chances) // 2
    sums = np.abs(np.arange(-reach, reach + 1))
    beyond = float(chances[sums > observed].sum())
    equal = float(chances[sums == observed].sum())
    return min(1.0, beyond + equal), min(1.0, beyond + equal / 2)


def _fair_sums(count: int) -> npt.NDArray[np.float64]:
    """The chances of the sums -count, ..., count of so many fair signs."""
    heads = np.arange(count + 1)
    logs = np.array([math.lgamma(k + 1) for k in range(count + 1)])
    chances = np.zeros(2 * count + 1)
    ways = logs[count] - logs[heads] - logs[count - heads]
    chances[2 * heads] = np.exp(ways - count * math.log(2))
    return chances


def _seeds_and_images(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The p-value of the mean of `differences` (S, n), and half its 95 % interval's width."""
    from scipy.special import stdtr, stdtrit  # here: most pages need no scipy

    seeds, n = differences.shape
    mean = differences.mean()
    by_seed, by_image = differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - by_seed[:, None] - by_image[None, :] + mean
    of_seeds = n * np.square(by_seed - mean).sum() / (seeds - 1)
    of_images = seeds * np.square(by_image - mean).sum() / max(1, n - 1)
    of_rest = np.square(rest).sum() / max(1, (seeds - 1) * (n - 1))
    beside = max(0.0, of_images - of_rest)
    variance = (of_seeds + beside) / (seeds * n)
    if variance == 0:
        return (1.0 if mean == 0 else 0.0), 0.0
    freedom = math.inf
    if of_seeds > 0:
        freedom = (of_seeds + beside) ** 2 / (of_seeds**2 / (seeds - 1))
    freedom = min(freedom, 1e9)
    t = abs(mean) / math.sqrt(variance)
    p = 2 * float(stdtr(freedom, -t))
    return min(1.0, p), float(stdtrit(freedom, 0.975)) * math.sqrt(variance)


@dataclass(frozen=True, eq=False)
class Paired:
    """Two runs' answers to the images that both predicted, in one order."""

    indices: npt.NDArray[np.int64]
    """(n,) into the pack."""
    labels: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    """(n,) the first run's answers."""
    second: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def test(self, groups: Ints | None = None) -> PairedTest:
        """McNemar's test of the two runs; `groups` (N,) are those of the whole pack."""
        own = None if groups is None else groups[self.indices]
        return mcnemar(self.first == self.labels, self.second == self.labels, own)


def paired(first: Predictions, second: Predictions) -> Paired:
    """Returns the two aligned by image.

    The test images are the same for all runs on a data set; the validation images go by the
    seed, so those that both runs set aside are compared. Raises ConfigError when there is no such
    image or the classes are others.
    """
    if first.class_names != second.class_names:
        raise ConfigError(
            "These two runs tell other classes apart, so they cannot be compared image by image. "
            "Choose two runs on the same data set."
        )
    common, rows, others = np.intersect1d(
        first.indices, second.indices, assume_unique=True, return_indices=True
    )
    if not len(common):
        raise ConfigError(
            "These two runs have no image of this part in common, because each set aside its own. "
            "Compare them on the test images."
        )
    if (first.labels[rows] != second.labels[others]).any():
        raise ConfigError(
            "The same images have other labels in these two runs: the data set was changed in "
            "between. Train both again to compare them."
        )
    return Paired(common, first.labels[rows], first.predicted[rows], second.predicted[others])


@dataclass(frozen=True)
class PairVerdict:
    """Two of several runs on the same images."""

    first: int
    """Their places among the runs."""
    second: int
    test: PairedTest
    p: float
    """Corrected for how many pairs there are (`holm`); it decides."""
    sentence: str

    @property
    def more_than_chance(self) -> bool:
        """Whether the difference is significant at the level CHANCE."""
        return self.p < CHANCE


def pair_verdicts(
    names: Sequence[str], predictions: Sequence[Predictions], groups: Ints | None = None
) -> tuple[list[PairVerdict], dict[tuple[int, int], str]]:
    """Returns the verdict on each two of several runs' answers, and for those that cannot be
    compared the reason; `names` are the runs' in the sentences, `groups` (N,) the whole pack's."""
    tests: dict[tuple[int, int], PairedTest] = {}
    problems: dict[tuple[int, int], str] = {}
    for i, j in combinations(range(len(predictions)), 2):
        try:
            tests[i, j] = paired(predictions[i], predictions[j]).test(groups)
        except ConfigError as error:
            problems[i, j] = str(error)
    return verdicts_on(names, tests), problems


def verdicts_on(
    names: Sequence[str], tests: Mapping[tuple[int, int], PairedTest]
) -> list[PairVerdict]:
    """Returns the verdicts of `tests`, one for each two places among the runs, corrected for how
    many there are."""
    corrected = holm([test.p_mid for test in tests.values()])
    return [
        PairVerdict(i, j, test, p, in_words(test, names[i], names[j], p=p, pairs=len(tests)))
        for ((i, j), test), p in zip(tests.items(), corrected, strict=True)
    ]


def groups_in_words(names: Sequence[str], pairs: Sequence[PairVerdict]) -> str:
    """Returns which of three or more runs cannot be told apart; "" where fewer were compared, or
    not each with each. Runs that are in no pair do not count."""
    compared = sorted({place for pair in pairs for place in (pair.first, pair.second)})
    if len(compared) < 3 or len(pairs) < len(compared) * (len(compared) - 1) // 2:
        return ""
    different = [
        (compared.index(pair.first), compared.index(pair.second))
        for pair in pairs
        if pair.more_than_chance
    ]
    sets = [
        " and ".join(names[compared[number]] for number in members)
        for members in alike(len(compared), different)
        if len(members) > 1
    ]
    if not sets:
        return "All of them differ by more than chance."
    return f"Not distinguishable here: {'; '.join(sets)}."


def in_words(
    test: PairedTest, first: str, second: str, *, p: float | None = None, pairs: int = 1
) -> str:
    """Returns the result of the test in words; `first` and `second` are the runs' names. `p` is the
    p-value as corrected for so many `pairs` (`holm`), by default the test's own."""
    p = test.p_mid if p is None else p
    only = test.only_first + test.only_second
    if not only:
        return (
            f"{first} and {second} are right on the very same images and wrong on the very same "
            f"{test.both_wrong:,}: these {test.n:,} images show no difference at all."
        )
    counts = (
        f"On {only:,} of {test.n:,} images only one of them is right: {first} on "
        f"{test.only_first:,}, {second} on {test.only_second:,}."
    )
    if test.units < test.n:
        counts += (
            f" These images are copies of {test.units:,} photographs, each of which counts once."
        )
    among = f" among {pairs} pairs" if pairs > 1 else ""
    if p >= CHANCE:
        return (
            f"These two differ by no more than chance. {counts} If both were equally good, a split "
            f"at least as uneven would still come up{among} {_how_often(p)}."
        )
    better, worse = (first, second) if test.difference > 0 else (second, first)
    return (
        f"{better} is better than {worse} on these images by more than chance. {counts} If both "
        f"were equally good, a split as uneven would come up{among} {_how_often(p)}."
    )


def _how_often(p: float) -> str:
    if p < 0.0001:
        return "less than once in 10,000 times"
    if p < 0.01:
        return f"about {p * 10_000:.0f} times in 10,000"
    return f"about {p * 100:.0f} times in 100"
