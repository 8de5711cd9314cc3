"""What the runs of a recipe came to, beside the document's figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.errors import ConfigError
from lab.evaluate.metrics import wilson_interval
from lab.experiments.recipes.recipe import Figure, Recipe, Size, Variant, stand_ins
from lab.runs.rows import RunRow


@dataclass(frozen=True)
class Result:
    """One run of a recipe, read beside the document. Accuracies are fractions."""

    recipe: Recipe
    variant: Variant
    size: Size
    run: RunRow
    interval: tuple[float, float] | None
    """95 % interval of the test accuracy, from the number of test images alone."""
    caveats: tuple[str, ...]
    """Why the run's figure and the document's cannot be compared, or only in part."""
    comparison: str
    """The two figures in a sentence; empty while there is nothing to compare."""


def results_of(
    recipe: Recipe, runs: Iterable[RunRow], others: Sequence[Result] = ()
) -> list[Result]:
    """One Result for each of `runs` that belongs to the recipe, in the order of its variants, full
    size first, the newest first among equals. `others` are results of the recipes beside it, for
    figures such as "below the CNN"."""
    found: list[Result] = []
    for run in runs:
        place = _place(recipe, run.origin)
        if place is not None:
            found.append(_result(recipe, *place, run))
    order = {variant.key: number for number, variant in enumerate(recipe.variants)}
    found.sort(key=lambda r: r.run.created_at, reverse=True)
    found.sort(key=lambda r: (r.size != "full", order[r.variant.key]))
    everything = [*found, *others]
    return [_with_comparison(result, everything) for result in found]


def newest(results: Iterable[Result], *, live: bool = True) -> list[Result]:
    """The newest run of each variant and size; with `live` False the newest that has ended."""
    kept: dict[tuple[str, str], Result] = {}
    for result in results:
        if live or result.run.status == "completed":
            kept.setdefault((result.size, result.variant.key), result)
    return list(kept.values())


def _place(recipe: Recipe, origin: str) -> tuple[Variant, Size] | None:
    """The variant and size that an origin names; None for what is none of this recipe."""
    for size in ("full", "quick"):
        for variant in recipe.variants:
            if origin == recipe.origin(size, variant):
                return variant, size
    return None


def _result(recipe: Recipe, variant: Variant, size: Size, run: RunRow) -> Result:
    interval = None
    if run.test_accuracy is not None and run.test_samples:
        interval = wilson_interval(round(run.test_accuracy * run.test_samples), run.test_samples)
    try:
        caveats = stand_ins(recipe, run.config)
    except ConfigError:  # another version of the lab wrote it
        caveats = ("made by another version of the lab",)
    if size == "quick":
        caveats = ("quick size", *caveats)
    return Result(recipe, variant, size, run, interval, caveats, "")


def _with_comparison(result: Result, everything: Sequence[Result]) -> Result:
    figure, ours = result.variant.figure, result.run.test_accuracy
    sentence = ""
    if result.run.status == "completed" and ours is not None and result.interval is not None:
        if figure.than is not None:
            sentence = _words(result, figure.than, everything)
        elif figure.low is not None and result.caveats:
            sentence = f"Not to be compared: {'; '.join(result.caveats)}."
        elif figure.low is not None:
            sentence = _numbers(ours, result.interval, figure)
    return replace(result, comparison=sentence)


def _numbers(ours: float, interval: tuple[float, float], figure: Figure) -> str:
    assert figure.low is not None
    assert figure.high is not None
    if figure.low <= ours <= figure.high:
        return "As the document has it."
    nearest = figure.low if ours < figure.low else figure.high
    points = abs(ours - nearest) * 100
    direction = "above" if ours > nearest else "below"
    told = f"{points:.1f} points {direction}"
    if interval[0] <= nearest <= interval[1]:
        return f"{told}: no more than the test images' chance."
    return f"{told} the document's figure."


def _words(result: Result, than: tuple[str, str], everything: Sequence[Result]) -> str:
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
        return f"Run {key} in the same size as well; then the two can be compared."
    ours, theirs = result.run.test_accuracy, rival.run.test_accuracy
    assert ours is not None
    assert theirs is not None
    held = ours > theirs if direction == "above" else ours < theirs
    verdict = "As the document has it" if held else "Not as the document has it"
    where = "above" if ours > theirs else "below" if ours < theirs else "equal to"
    apart = f"{abs(ours - theirs) * 100:.1f} points {where}" if ours != theirs else "equal to"
    losses = ""
    if "loss" in result.run.test and "loss" in rival.run.test:
        losses = f"; test loss {result.run.test['loss']:.3f} against {rival.run.test['loss']:.3f}"
    return f"{verdict}: {apart} {key} ({theirs:.1%}){losses}."
