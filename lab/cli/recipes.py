"""`recipes list | run ID | measure | report`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lab.cli.console import Console, run_column
from lab.cli.reporter import EXIT_STATUS, reporter
from lab.config import RunConfig
from lab.errors import DataError
from lab.experiments.estimates import (
    Estimate,
    estimate,
    measure_speeds,
    measured_speeds,
    past_runs,
    rough_time,
)
from lab.experiments.recipes.book import QUESTIONS, all_recipes, recipe
from lab.experiments.recipes.recipe import SIZES, Prepared, Recipe, prepare
from lab.experiments.recipes.results import (
    Result,
    newest,
    results_beside,
    results_of,
    stored_results,
)
from lab.experiments.report import report
from lab.installation import COMMAND
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.words import percent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all recipes, what they take and what is reported")
    listing.set_defaults(perform=list_recipes)
    running = actions.add_parser("run", help="train all runs of one recipe, one after the other")
    running.add_argument("id", help="as `list` names it, such as sl-cnn")
    running.add_argument("--quick", action="store_true", help="fewer, smaller pictures and epochs")
    running.add_argument(
        "--only", action="append", default=[], metavar="KEY", help="only this run of it; repeatable"
    )
    running.add_argument("--dataset", metavar="NAME", help="another data set than the document's")
    running.add_argument("--network", metavar="NAME", help="which of the recipe's networks")
    running.set_defaults(perform=run_recipe)
    measuring = actions.add_parser("measure", help="time the networks here, for time estimates")
    measuring.set_defaults(perform=measure)
    reporting = actions.add_parser("report", help="what was run in full size, as a Markdown page")
    reporting.set_defaults(perform=print_report)
    for action in (listing, running, measuring, reporting):
        action.add_argument("--json", action="store_true", help="one JSON object a line")


# --- list ---------------------------------------------------------------------------------------
def list_recipes(options: argparse.Namespace) -> int:
    estimate_run = _estimator()
    titles = {question.key: question.title for question in QUESTIONS}
    table = Table("Recipe", "Title", "Reported", "Quick", "Full", "Missing")
    question = ""
    for each in all_recipes():
        runs = {
            size: [_facts(run, estimate_run(run)) for run in prepare(each, size)] for size in SIZES
        }
        if options.json:
            print(json.dumps({**_recipe_facts(each, titles[each.question]), **runs}))
            continue
        if each.question != question:
            question = each.question
            table.add_section()
            table.add_row("", Text(titles[question], style="bold"))
        absent = any(run["missing"] or run["download"] for run in runs["full"])
        table.add_row(
            each.id,
            each.title,
            each.reported,
            _time(runs["quick"]),
            _time(runs["full"]),
            "weights or data" if absent else "",
        )
    if not options.json:
        console = Console()
        console.print(table)
        console.print(
            f"Times are estimates; run one with: {COMMAND} recipes run sl-cnn --quick",
            highlight=False,
        )
    return 0


def _estimator() -> Callable[[Prepared], Estimate | None]:
    """Returns a function that estimates how long a run would take on this machine."""
    from lab.training.devices import resolve_device

    past = past_runs(store())

    def estimate_run(run: Prepared) -> Estimate | None:
        device = resolve_device(run.config)
        return estimate(run.config, past=past, measured=measured_speeds(device), device=device)

    return estimate_run


def _recipe_facts(each: Recipe, question: str) -> dict[str, Any]:
    return {
        "recipe": each.id,
        "title": each.title,
        "question": question,
        "document": each.document,
        "reported": each.reported,
        "differences": each.differences,
    }


def _facts(run: Prepared, duration: Estimate | None) -> dict[str, Any]:
    return {
        "variant": run.variant.key,
        "dataset": run.config.dataset,
        "architecture": run.config.architecture,
        "reported": run.variant.reported.text,
        "seconds": None if duration is None else round(duration.seconds, 1),
        "seconds_from": None if duration is None else duration.source,
        "missing": run.missing or None,
        "download": run.download or None,
    }


def _time(runs: Sequence[dict[str, Any]]) -> str:
    if any(run["seconds"] is None for run in runs):
        return "unknown"
    return rough_time(sum(run["seconds"] for run in runs))


# --- run ----------------------------------------------------------------------------------------
def run_recipe(options: argparse.Namespace) -> int:
    each = recipe(options.id)
    prepared = prepare(
        each,
        "quick" if options.quick else "full",
        dataset=options.dataset,
        network=options.network,
        only=options.only,
    )
    rows = _train(prepared, as_json=options.json)
    results = results_of(each, rows, results_beside(each, store()), folder=store().folder)
    if options.json:
        for result in results:
            print(json.dumps(_result_facts(result)), flush=True)
    else:
        _print_results(each, results)
    return max(EXIT_STATUS.get(row.status, 1) for row in rows)


def _train(prepared: Sequence[Prepared], *, as_json: bool) -> list[RunRow]:
    """Train one after the other, up to one that is stopped; all are checked before."""
    from lab.training.plan import resolve

    for run in prepared:
        if run.missing:
            raise DataError(run.missing)
    configs = [resolve(run.config) for run in prepared]
    rows = []
    for run, config in zip(prepared, configs, strict=True):
        if as_json:
            facts = {"recipe": run.recipe.id, "variant": run.variant.key, "size": run.size}
            event = {"event": "recipe_run", **facts, "config": config.differences()}
            print(json.dumps(event), flush=True)
        with reporter(as_json=as_json) as on_event:
            rows.append(
                run_in_foreground(config, name=run.name, origin=run.origin, on_event=on_event)
            )
        if rows[-1].status in ("stopped", "paused"):  # Ctrl-C is meant for all of them
            break
    return rows


def _print_results(each: Recipe, results: Sequence[Result]) -> None:
    table = Table(run_column(), "Validation", "Test", "The document", "Beside it")
    for result in results:
        table.add_row(
            result.run.name,
            percent(result.run.best_val_accuracy),
            percent(result.run.test_accuracy),
            result.variant.reported.text,
            result.comparison,
        )
    console = Console()
    console.print(table)
    for line in each.differences:
        console.print(f"- {line}", style="dim", highlight=False)


def _result_facts(result: Result) -> dict[str, Any]:
    return {
        "event": "recipe_result",
        "recipe": result.recipe.id,
        "variant": result.variant.key,
        "size": result.size,
        "run": result.run.id,
        "status": result.run.status,
        "seed": result.run.settings.get("seed"),
        "best_val_accuracy": result.run.best_val_accuracy,
        "test_accuracy": result.run.test_accuracy,
        "test_interval_95": result.interval,
        "reported": result.variant.reported.text,
        "comparison": result.comparison or None,
        "caveats": result.caveats,
    }


# --- measure, report ----------------------------------------------------------------------------
def measure(options: argparse.Namespace) -> int:
    from lab.training.devices import resolve_device

    device = resolve_device(RunConfig())
    table = Table("Network", "Pixels", "Forward, ms an image", "Training, ms an image")
    for name, speed in measure_speeds(device=device).items():
        if options.json:
            facts = {"architecture": name, "device": device, "image_size": speed.image_size}
            seconds = {"forward_seconds": speed.forward, "training_seconds": speed.training}
            print(json.dumps({**facts, **seconds}))
        else:
            forward, training = f"{speed.forward * 1e3:.2f}", f"{speed.training * 1e3:.2f}"
            table.add_row(name, str(speed.image_size), forward, training)
    if not options.json:
        Console().print(table)
    return 0


def print_report(options: argparse.Namespace) -> int:
    if not options.json:
        print(report(store()))
        return 0
    for each in all_recipes():
        for result in newest(stored_results(each, store()), live=False):
            if result.size == "full":
                print(json.dumps(_result_facts(result)))
    return 0
