"""The results of a recipe's runs beside those that the document reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import ConfigError
from lab.evaluate.compare import AccuracyInterval, share_interval
from lab.experiments.recipes.book import RECIPES, all_recipes, recipe
from lab.experiments.recipes.recipe import SIZES, Recipe, Reported, Size, Variant, stand_ins
from lab.runs.naming import value_text
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.words import percent


@dataclass(frozen=True)
class Result:
    """The result of one run of a recipe beside the document's. Accuracies are fractions."""

    recipe: Recipe
    variant: Variant
    size: Size
    run: RunRow
    interval: tuple[float, float] | None
    """95 % interval of the test accuracy over other images; copies counted once where known."""
    units: int | None
    """Independent pictures among the test images; None where nobody has looked for copies."""
    caveats: tuple[str, ...]
    """Why the run's accuracy and the document's cannot be compared, or only in part."""
    comparison: str
    """How the two compare, in a sentence; empty while there is nothing to compare."""


def stored_results(each: Recipe, store: Store) -> list[Result]:
    """`results_of` all the recipe's runs in the store, compared with those of recipes beside it."""
    runs = store.runs(origin=each.origin())
    return results_of(each, runs, results_beside(each, store), folder=store.folder)


def newest_results(store: Store) -> dict[str, list[Result]]:
    """Returns the newest results of every recipe by its id: for each variant and size the newest
    run, and the newest completed one. One query for all of them; results of other recipes are not
    compared with."""
    wanted: dict[str, list[RunRow]] = {}
    seen: set[tuple[str, bool]] = set()
    for run in store.runs(origin="recipe"):  # the newest first
        kind = (run.origin, run.status == "completed")
        if kind not in seen:
            seen.add(kind)
            wanted.setdefault(run.origin.split(":")[1], []).append(run)
    return {
        each.id: results_of(each, wanted.get(each.id, ()), folder=store.folder)
        for each in all_recipes()
    }


def answered(each: Recipe, results: Mapping[str, Sequence[Result]]) -> list[Result]:
    """Returns the newest completed run of each of the recipe's `compared` variants, at full size
    where one of its own was run so, else at the quick one; all on one data set.

    `results` are those of `newest_results`.
    """
    own = _completed(results[each.id])
    if not own:
        return []
    first = next((r for r in own if r.size == "full"), own[0])
    found = {
        r.variant.key: r
        for other in dict.fromkeys(other.id for other, _ in compared(each))
        for r in _completed(results[other])
        if (r.size, r.run.dataset) == (first.size, first.run.dataset)
    }
    return [found[v.key] for _, v in compared(each) if v.key in found]


def _completed(results: Iterable[Result]) -> list[Result]:
    return [r for r in newest(results, live=False) if r.run.test_accuracy is not None]


def compared(each: Recipe) -> list[tuple[Recipe, Variant]]:
    """Returns what the recipe's picture compares: its own variants; of a recipe with only one, the
    first ones of the recipes beside it too, in the order of the book."""
    if len(each.variants) > 1:
        return [(each, variant) for variant in each.variants]
    return [
        (other, other.variants[0])
        for other in RECIPES
        if other.id == each.id or other.id in each.beside
    ]


def label(each: Recipe, other: Recipe, variant: Variant) -> str:
    """Returns what a run is called where it is compared in the recipe `each`: "Sigmoid"."""
    if other.id == each.id or len(other.variants) == 1:
        return variant.title
    return value_text("architecture", other.knobs["architecture"])


def answer(each: Recipe, results: Sequence[Result]) -> str:
    """Returns the test results of `answered` beside the document's, in a sentence each."""
    if not results:
        return ""
    first = results[0]
    ours = [percent(r.run.test_accuracy) for r in results]
    theirs = [r.variant.reported.text for r in results]
    if len(compared(each)) > 1:
        ours = [
            f"{text} ({label(each, r.recipe, r.variant)})"
            for text, r in zip(ours, results, strict=True)
        ]
    if len(set(theirs)) == 1:
        theirs = theirs[:1]
    where = ", quick size" if first.size == "quick" else ""
    if first.run.dataset != first.recipe.datasets[0]:
        where += f" on {value_text('dataset', first.run.dataset)}"
    networks = first.recipe.networks
    if networks and first.run.architecture != networks[0]:
        where += f" with {value_text('architecture', first.run.architecture)}"
    return f"Here{where}: {', '.join(ours)}. The document: {', '.join(theirs)}."


def results_beside(each: Recipe, store: Store) -> list[Result]:
    """Returns the newest completed results of the recipes in `each.beside`."""
    beside: list[Result] = []
    for other in map(recipe, each.beside):
        runs = store.runs(origin=other.origin())
        beside += newest(results_of(other, runs), live=False)
    return beside


def results_of(
    each: Recipe,
    runs: Iterable[RunRow],
    others: Sequence[Result] = (),
    *,
    folder: Callable[[str], Path] | None = None,
) -> list[Result]:
    """One Result for each of `runs` that belongs to the recipe, in the order of its variants, full
    size first, the newest first among equals. `others` are results of the recipes beside it, for
    words such as "below the CNN". With `folder`, which finds a run's, intervals count copies of a
    picture once."""
    results: list[Result] = []
    for run in runs:
        matched = _variant_and_size(each, run.origin)
        if matched is not None:
            results.append(_result(each, *matched, run, folder))
    order = {variant.key: number for number, variant in enumerate(each.variants)}
    results.sort(key=lambda r: r.run.created_at, reverse=True)
    results.sort(key=lambda r: (r.size != "full", order[r.variant.key]))
    everything = [*results, *others]
    return [_with_comparison(result, everything) for result in results]


def newest(results: Iterable[Result], *, live: bool = True) -> list[Result]:
    """Returns the newest run of each variant and size; with `live` False the newest completed."""
    first: dict[tuple[str, str], Result] = {}
    for result in results:
        if live or result.run.status == "completed":
            first.setdefault((result.size, result.variant.key), result)
    return list(first.values())


def _variant_and_size(each: Recipe, origin: str) -> tuple[Variant, Size] | None:
    """The variant and size that an origin names; None for a run of another recipe."""
    for size in SIZES:
        for variant in each.variants:
            if origin == each.origin(size, variant):
                return variant, size
    return None


def _result(
    each: Recipe,
    variant: Variant,
    size: Size,
    run: RunRow,
    folder: Callable[[str], Path] | None,
) -> Result:
    sure = AccuracyInterval(share_interval(run.test_accuracy, run.test_samples), None)
    if folder is not None and run.test_accuracy is not None:
        from lab.evaluate.leak_free import accuracy_interval  # it brings torch

        sure = accuracy_interval(folder(run.id), "test", run.test_accuracy, run.test_samples)
    try:
        caveats = stand_ins(each, run.config)
    except ConfigError:  # another version of the lab wrote it
        caveats = ("made by another version of the lab",)
    if size == "quick":
        caveats = ("quick size", *caveats)
    return Result(each, variant, size, run, sure.interval, sure.units, caveats, "")


def _with_comparison(result: Result, everything: Sequence[Result]) -> Result:
    reported, ours = result.variant.reported, result.run.test_accuracy
    sentence = ""
    if result.run.status == "completed" and ours is not None and result.interval is not None:
        if reported.than is not None:
            sentence = _beside_rival(result, reported.than, everything)
        elif reported.low is not None and result.caveats:
            sentence = f"Not to be compared: {'; '.join(result.caveats)}."
        elif reported.low is not None:
            sentence = _beside_number(ours, result.interval, reported)
    return replace(result, comparison=sentence)


def _beside_number(ours: float, interval: tuple[float, float], reported: Reported) -> str:
    assert reported.low is not None
    assert reported.high is not None
    if reported.low <= ours <= reported.high:
        return "As the document has it."
    nearest = reported.low if ours < reported.low else reported.high
    points = abs(ours - nearest) * 100
    direction = "above" if ours > nearest else "below"
    distance = f"{points:.1f} points {direction}"
    if interval[0] <= nearest <= interval[1]:
        return f"{distance}, within what chance in the test images explains."
    return f"{distance} the document's result."


def _by_chance(one: Result, other: Result) -> float:
    """How far two test accuracies lie apart by the choice of test images alone, 95 times of 100: as
    if each run had its own. 0 where that is not known."""
    intervals = [result.interval for result in (one, other) if result.interval is not None]
    halves = [(high - low) / 2 for low, high in intervals]
    return math.hypot(*halves) if len(halves) == 2 else 0.0


def _beside_rival(result: Result, than: tuple[str, str], everything: Sequence[Result]) -> str:
    """ "below the CNN" is checked against the newest finished run of the same size and data."""
    direction, key = than
    rival = next(
        (
            r
            for r in everything
            if r.variant.key == key
            and r.size == result.size
            and r.run.dataset == result.run.dataset
            and r.run.test_accuracy is not None
        ),
        None,
    )
    if rival is None:
        return f"Run “{recipe(key).title}” in the same size, too; then the two can be compared."
    ours, theirs = result.run.test_accuracy, rival.run.test_accuracy
    assert ours is not None
    assert theirs is not None
    confirmed = ours > theirs if direction == "above" else ours < theirs
    verdict = "As the document has it" if confirmed else "Not as the document has it"
    if abs(ours - theirs) <= _by_chance(result, rival):
        verdict = "Not distinguishable, by the number of test images"
    where = "above" if ours > theirs else "below" if ours < theirs else "equal to"
    apart = f"{abs(ours - theirs) * 100:.1f} points {where}" if ours != theirs else "equal to"
    losses = ""
    if "loss" in result.run.test and "loss" in rival.run.test:
        losses = f"; test loss {result.run.test['loss']:.3f} against {rival.run.test['loss']:.3f}"
    return f"{verdict}: {apart} “{rival.recipe.title}” ({percent(theirs)}){losses}."
