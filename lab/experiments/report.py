"""Results as a Markdown page: recipes in full size beside the documents' results, and sweeps.

docs/RESULTS.md is made by it: `python -m lab recipes report > docs/RESULTS.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.config import KNOBS
from lab.errors import LabError
from lab.experiments.looks import looks_words
from lab.experiments.recipes.book import DOCUMENTS, all_recipes
from lab.experiments.recipes.recipe import Recipe
from lab.experiments.recipes.results import Result, newest, stored_results
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig
from lab.experiments.sweeps.results import (
    Line,
    SeedMean,
    interval_text,
    lines,
    place_text,
    places_words,
    ranked,
)
from lab.experiments.sweeps.table import SweepRow, sweeps
from lab.metrics import METRICS, Metric
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.words import NONE, percent

HEAD = """# The documents' experiments, run by this lab

Made by `python -m lab recipes report` from the lab's own runs. Validation images (a tenth of the
training images) chose the epoch; each run looked at the test images once, at the end. The interval
is what the test images leave open, 95 times of 100 (Wilson); where copies of pictures are known,
each picture counts once with all its copies. Another seed can differ by more, so runs of one seed
whose intervals overlap are not known to differ.
"""


def report(store: Store) -> str:
    """Returns Markdown: the newest completed full-size run of each variant, and every sweep with
    results."""
    parts = [HEAD]
    for each in all_recipes():
        results = newest(stored_results(each, store), live=False)
        if full := [result for result in results if result.size == "full"]:
            parts.append(_recipe(each, full, store))
    for row in sorted(sweeps(store), key=lambda row: row.created_at):
        try:
            config = SweepConfig.from_json(row.config_json)
        except LabError:  # another version of the lab made it
            continue
        runs = store.runs(origin=row.origin)
        combinations = lines(config, runs, row.notes)
        if any(line.judged.count for line in combinations):
            parts.append(_sweep(row, config, ranked(config, combinations), runs, store))
    return "\n".join(parts)


def _recipe(each: Recipe, results: Sequence[Result], store: Store) -> str:
    head = ("Run", "Validation", "Test", "95% interval", "The document", "Beside it")
    rows = [
        (
            result.variant.title,
            percent(result.run.best_val_accuracy),
            f"**{percent(result.run.test_accuracy)}**",
            _interval(result),
            result.variant.reported.text,
            result.comparison or NONE,
        )
        for result in results
    ]
    newest_run = max(results, key=lambda r: r.run.created_at).run
    seeds = sorted({str(result.run.settings.get("seed")) for result in results})
    config = results[0].run.config
    about = (
        f"Recipe `{each.id}`, from the document “{DOCUMENTS[each.document].title}”, which "
        f"reports: {each.reported}. "
        f"{newest_run.created_at:%Y-%m-%d}, seed {', '.join(seeds)}, {config.epochs} epochs, "
        f"{_images(newest_run)}."
    )
    differences = "\n".join(f"- {line}" for line in each.differences)
    if looks := looks_words(newest_run, store):
        about += f" {looks}"
    return f"## {each.title}\n\n{about}\n\n{_table(head, rows)}\n\n{differences}\n"


def _interval(result: Result) -> str:
    if result.interval is None:
        return NONE
    text = " to ".join(map(percent, result.interval))
    if result.units is not None and result.units < (result.run.test_samples or 0):
        text += f", of {result.units:,} independent pictures"
    return text


def _sweep(
    row: SweepRow,
    config: SweepConfig,
    combinations: Sequence[Line],
    runs: Sequence[RunRow],
    store: Store,
) -> str:
    head = (
        "Place",
        *(KNOBS[knob].title for knob in config.axes),
        JUDGED_BY[config.metric],
        "95% interval",
        "Test accuracy",
        "State",
    )
    rows = [
        (
            place_text(line, combinations),
            *(KNOBS[knob].text(line.params[knob]) for knob in config.axes),
            _mean(line.judged, config.measured),
            interval_text(line, config.measured),
            f"**{_mean(line.test, METRICS['accuracy'])}**",
            line.note or line.state,
        )
        for line in combinations
    ]
    base = config.base.differences()
    settings = ", ".join(f"{name} {value}" for name, value in base.items())
    seeds = ", ".join(map(str, config.seeds))
    about = f"{row.created_at:%Y-%m-%d}, seed {seeds}; every run with {settings}"
    if tested := next((run for run in runs if run.test_samples), None):
        about += f"; {_images(tested)}. {looks_words(tested, store)}".rstrip(" .")
    story = f"{config.story}\n\n" if config.story else ""
    places = places_words(config, combinations)
    below = f"\n{places}\n" if places else ""
    return f"## Sweep: {row.name}\n\n{story}{about}.\n\n{_table(head, rows)}\n{below}"


def _images(run: RunRow) -> str:
    return (
        f"{run.train_samples or 0:,} training, {run.val_samples or 0:,} validation and "
        f"{run.test_samples or 0:,} test images"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    every = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in every)


def _mean(value: SeedMean, metric: Metric) -> str:
    runs = f" ({value.count} runs)" if value.spread is not None else ""
    return value.text(metric) + runs
