"""`recipes list | run ID | measure | report`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.table import Table

from lab.cli.console import Console
from lab.errors import DataError
from lab.experiments.estimates import rough_time
from lab.experiments.recipes.results import Result
from lab.words import percent


def run(options: argparse.Namespace) -> int:
    actions = {"list": list_recipes, "run": run_recipe, "measure": measure, "report": report}
    return actions[options.action](options)


def list_recipes(options: argparse.Namespace) -> int:
    from lab.experiments.estimates import estimate, measured_speeds, past_runs
    from lab.experiments.recipes.book import QUESTIONS, all_recipes
    from lab.experiments.recipes.recipe import SIZES, prepare
    from lab.runs.store import store
    from lab.training.plan import resolve_device

    past = past_runs(store())
    titles = {question.key: question.title for question in QUESTIONS}
    table = Table("Recipe", "Title", "Reported", "Quick", "Full", "Missing")
    question = ""
    for recipe in all_recipes():
        runs: dict[str, list[dict[str, Any]]] = {}
        for size in SIZES:
            for prepared in prepare(recipe, size):
                device = resolve_device(prepared.config)
                guess = estimate(
                    prepared.config, past=past, measured=measured_speeds(device), device=device
                )
                runs.setdefault(size, []).append(
                    {
                        "variant": prepared.variant.key,
                        "dataset": prepared.config.dataset,
                        "architecture": prepared.config.architecture,
                        "reported": prepared.variant.reported.text,
                        "seconds": None if guess is None else round(guess.seconds, 1),
                        "seconds_from": None if guess is None else guess.said,
                        "missing": prepared.missing or None,
                        "download": prepared.download or None,
                    }
                )
        if options.json:
            print(
                json.dumps(
                    {
                        "recipe": recipe.id,
                        "title": recipe.title,
                        "question": titles[recipe.question],
                        "document": recipe.document,
                        "reported": recipe.reported,
                        "differences": recipe.differences,
                        **runs,
                    }
                )
            )
            continue
        if recipe.question != question:
            question = recipe.question
            table.add_section()
            table.add_row("", f"[bold]{titles[question]}[/bold]")
        wanting = {run["missing"] or run["download"] for run in runs["full"]} - {None}
        table.add_row(
            recipe.id,
            recipe.title,
            recipe.reported,
            _time(runs["quick"]),
            _time(runs["full"]),
            "weights or data" if wanting else "",
        )
    if not options.json:
        console = Console()
        console.print(table)
        console.print(
            "Times are estimates; run one with: python -m lab recipes run sl-cnn --quick",
            highlight=False,
        )
    return 0


def run_recipe(options: argparse.Namespace) -> int:
    from lab.cli.train import EXIT_STATUS, reporter
    from lab.experiments.recipes.book import recipe
    from lab.experiments.recipes.recipe import Size, prepare
    from lab.experiments.recipes.results import results_beside, results_of
    from lab.runs.foreground import run_here
    from lab.runs.store import store
    from lab.training.plan import resolve

    wanted = recipe(options.id)
    size: Size = "quick" if options.quick else "full"
    prepared = prepare(
        wanted, size, dataset=options.dataset, network=options.network, only=options.only
    )
    for each in prepared:
        if each.missing:
            raise DataError(each.missing)
    # All of them are checked before the first one trains.
    configs = [resolve(each.config) for each in prepared]
    status = 0
    rows = []
    for each, config in zip(prepared, configs, strict=True):
        if options.json:
            told = {"event": "recipe_run", "recipe": wanted.id, "variant": each.variant.key}
            print(json.dumps({**told, "size": size, "config": config.differences()}), flush=True)
        with reporter(options.json) as report:
            row = run_here(config, name=each.name, origin=each.origin, on_event=report)
        rows.append(row)
        status = max(status, EXIT_STATUS.get(row.status, 1))
        if row.status in ("stopped", "paused"):  # Ctrl-C is meant for all of them
            break
    results = results_of(wanted, rows, results_beside(wanted, store()))
    if options.json:
        for result in results:
            print(json.dumps(_figures(result)), flush=True)
        return status
    table = Table("Run", "Validation", "Test", "The document", "Beside it")
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
    for line in wanted.differences:
        console.print(f"- {line}", style="dim", highlight=False, markup=False)
    return status


def _figures(result: Result) -> dict[str, Any]:
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


def measure(options: argparse.Namespace) -> int:
    from lab.config import RunConfig
    from lab.experiments.estimates import measure_speeds
    from lab.training.plan import resolve_device

    device = resolve_device(RunConfig())
    table = Table("Network", "Pixels", "Forward, ms an image", "Training, ms an image")
    for name, speed in measure_speeds(device=device).items():
        if options.json:
            figures = {"forward_seconds": speed.forward, "training_seconds": speed.training}
            facts = {"architecture": name, "device": device, "image_size": speed.image_size}
            print(json.dumps({**facts, **figures}))
        else:
            forward, training = f"{speed.forward * 1e3:.2f}", f"{speed.training * 1e3:.2f}"
            table.add_row(name, str(speed.image_size), forward, training)
    if not options.json:
        Console().print(table)
    return 0


def report(options: argparse.Namespace) -> int:
    from lab.experiments import report as experiment_report
    from lab.runs.store import store

    print(experiment_report.report(store()))
    return 0


def _time(runs: list[dict[str, Any]]) -> str:
    if any(run["seconds"] is None for run in runs):
        return "unknown"
    return rough_time(sum(run["seconds"] for run in runs))
