"""A lab card of several runs: what differs in their settings, their curves and accuracies, and
which of them differ by more than chance, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import plotly.graph_objects as go

from lab import __version__
from lab.charts.compare import FinalAccuracy, RunCurve, final_accuracies, overlaid
from lab.config import KNOBS
from lab.data.groups import Groups
from lab.errors import ConfigError, LabError
from lab.evaluate.compare import (
    PairedTest,
    differing_settings,
    groups_in_words,
    over_seeds,
    verdicts_on,
)
from lab.evaluate.compare import paired as aligned
from lab.evaluate.leak_free import known_groups
from lab.evaluate.opened import open_data
from lab.evaluate.predictions import SPLIT_WORDS, Predictions, predict, saved_predictions
from lab.export.page_parts import Sheet, chart, head, paragraphs, section, table
from lab.metrics import METRICS
from lab.progress import Cancel, Report, never, silent
from lab.runs.class_rules import results_hidden
from lab.runs.intervals import accuracy_intervals
from lab.runs.naming import titles, value_text
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata
from lab.words import NONE, percent

MOST_PAIRED = 8
"""Runs of which each is compared with each."""
MOST_RUNS = 40
POINTS = 400
CURVES = ("val_accuracy", "val_loss")


def comparison_card(
    runs: Sequence[RunRow], report: Report = silent, cancel: Cancel = never
) -> Sheet:
    """Returns the card of two runs or more. Raises ConfigError for fewer, or for too many.

    Runs that were not asked about the images of the part yet are asked now.
    """
    if not 2 <= len(runs) <= MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs are chosen; a card compares 2 to {MOST_RUNS}.")
    names = titles(runs)
    part = "val" if results_hidden(store().database) else "test"
    pairs, notes = _pairs(runs, names, part, report, cancel)
    shown = _accuracies(runs, names)
    differences = differing_settings([run.settings for run in runs])
    values: dict[str, Any] = {
        "format": 1,
        "kind": "comparison",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lab_version": __version__,
        "runs": [_run_values(*each) for each in zip(runs, names, shown, strict=True)],
        "differences": {name: list(own) for name, own in differences.items()},
        "part": SPLIT_WORDS[part],
        **pairs,
        "seeds": _seed_values(runs, names, part),
        "notes": notes,
    }
    figures = _curves(runs, names)
    figures["Accuracies with their 95% intervals"] = final_accuracies(shown)
    return Sheet(
        "Comparison", f"{len(runs)} runs compared", values, figures, _sections(values, figures)
    )


def _run_values(run: RunRow, name: str, accuracy: FinalAccuracy) -> dict[str, Any]:
    return {
        "run": run.id,
        "name": name,
        "status": run.status,
        "dataset": run.dataset,
        "architecture": run.architecture,
        "best_epoch": run.best_epoch,
        "validation_accuracy": accuracy.validation,
        "validation_interval": accuracy.validation_interval,
        "test_accuracy": accuracy.test,
        "test_interval": accuracy.test_interval,
        "test_images": run.test_samples,
        "best_val": dict(run.best_val),
        "test": dict(run.test),
        "parameters": run.total_parameters,
        "training_seconds": run.seconds,
        "settings": run.settings,
    }


def _accuracies(runs: Sequence[RunRow], names: Sequence[str]) -> list[FinalAccuracy]:
    validated, tested = accuracy_intervals(runs, "val"), accuracy_intervals(runs, "test")
    return [
        FinalAccuracy(name, run.best_val_accuracy, val.interval, run.test_accuracy, test.interval)
        for run, name, val, test in zip(runs, names, validated, tested, strict=True)
    ]


def _curves(runs: Sequence[RunRow], names: Sequence[str]) -> dict[str, go.Figure]:
    figures = {}
    for column in CURVES:
        metric = METRICS[column.removeprefix("val_")]
        curves = store().curves([run.id for run in runs], column, points=POINTS)
        lines = [
            RunCurve(name, curves[run.id].step / (run.steps_per_epoch or 1), curves[run.id].value)
            for run, name in zip(runs, names, strict=True)
            if run.id in curves
        ]
        title = f"Validation {metric.title.lower()}"
        figures[title] = overlaid(
            lines, x_title="epoch", y_title=title.lower(), share=metric.is_share
        )
    return figures


def _pairs(
    runs: Sequence[RunRow], names: Sequence[str], part: str, report: Report, cancel: Cancel
) -> tuple[dict[str, Any], list[str]]:
    """The verdicts as the Compare page says them, and what is to be said beside them."""
    notes = []
    known = [(run, name) for run, name in zip(runs, names, strict=True) if run.has_weights]
    if len(known) > MOST_PAIRED:
        left = len(known) - MOST_PAIRED
        known = known[:MOST_PAIRED]
        notes.append(f"Each is compared with each of the first {MOST_PAIRED}; {left} are left out.")
    answers: dict[str, Predictions] = {}
    cards: list[CheckpointMetadata] = []
    for run, name in known:
        folder = store().folder(run.id)
        try:
            answer = saved_predictions(folder, "best", part) or predict(
                folder, "best", part, progress=report, cancel=cancel
            )
            cards.append(CheckpointMetadata.read(folder))
            answers[name] = answer
        except LabError as error:
            notes.append(f"{name} is not compared image by image: {error}")
    compared = list(answers)
    groups: dict[str, Groups | None] = {}  # by the data set's hash
    tests: dict[tuple[int, int], PairedTest] = {}
    for i, j in combinations(range(len(compared)), 2):
        one, other, data = compared[i], compared[j], cards[i].dataset_hash
        try:
            if data != cards[j].dataset_hash:
                raise ConfigError("they are of other data sets, or versions of one.")
            pair = aligned(answers[one], answers[other])
            if data not in groups:
                groups[data] = known_groups(open_data(cards[i])[0])
            tests[i, j] = pair.test(groups[data])
        except LabError as error:
            notes.append(f"{one} and {other} are not compared image by image: {error}")
    verdicts = verdicts_on(compared, tests)
    found = [
        {
            "first": compared[each.first], "second": compared[each.second],
            "images": each.test.n, "independent": each.test.units,
            "both_right": each.test.both_right, "only_first": each.test.only_first,
            "only_second": each.test.only_second, "both_wrong": each.test.both_wrong,
            "difference": each.test.difference, "interval": list(each.test.interval),
            "p": each.test.p_mid, "p_corrected": each.p,
            "more_than_chance": each.more_than_chance, "sentence": each.sentence,
        }
        for each in verdicts
    ]  # fmt: skip
    return {"pairs": found, "verdict": groups_in_words(compared, verdicts)}, notes


def _seed_values(runs: Sequence[RunRow], names: Sequence[str], part: str) -> list[dict[str, Any]]:
    results = [r.test_accuracy if part == "test" else r.best_val_accuracy for r in runs]
    return [
        {
            "runs": [names[number] for number in spread.members],
            "seeds": list(spread.seeds),
            "mean": spread.mean,
            "deviation": spread.deviation,
            "interval": [max(0.0, spread.interval[0]), min(1.0, spread.interval[1])],
        }
        for spread in over_seeds([r.settings for r in runs], results)
    ]


def _sections(values: Mapping[str, Any], figures: Mapping[str, go.Figure]) -> list[str]:
    runs, pairs = values["runs"], values["pairs"]
    names = [run["name"] for run in runs]
    lines = [values["verdict"] or (pairs[0]["sentence"] if len(pairs) == 1 else "")]
    found = [head("Lab card of a comparison", f"{len(runs)} runs compared", lines)]
    rows = [
        [KNOBS[name].title if name in KNOBS else name, *(str(value_text(name, v)) for v in own)]
        for name, own in values["differences"].items()
    ]
    same = paragraphs(["Nothing: these runs have the same settings, the seed included."])
    inside = table(["Setting", *names], rows) if rows else same
    found += [section("What differs in their settings", inside), *map(chart, figures)]
    found.append(section("Results", table(_RESULTS, [_result(run) for run in runs])))
    if pairs:
        caption = (
            f"McNemar's test on the {values['part']} images: only those count that exactly one of "
            "the two gets right. It is about these networks; another seed would give another one."
        )
        said = paragraphs([pair["sentence"] for pair in pairs] if len(pairs) > 1 else [])
        inside = said + table(_PAIRS, [_pair(pair) for pair in pairs]) + paragraphs([caption])
        found.append(section("Do they really differ?", inside))
    if values["seeds"]:
        found.append(
            section(
                "Same settings, other seeds", table(_SEEDS, [_seed(s) for s in values["seeds"]])
            )
        )
    found.append(section("Where it comes from", paragraphs([*values["notes"], _origin(values)])))
    return found


_RESULTS = ("Run", "Status", "Test", "95%", "Validation", "95%", "Best epoch", "Id")
_PAIRS = (
    "First",
    "Second",
    "Difference",
    "95%",
    "Only the first",
    "Only the second",
    "p, corrected",
)
_SEEDS = ("Runs", "Seeds", "Mean", "95%", "± deviation")


def _result(run: Mapping[str, Any]) -> list[str]:
    return [
        run["name"], run["status"], percent(run["test_accuracy"]), _ends(run["test_interval"]),
        percent(run["validation_accuracy"]), _ends(run["validation_interval"]),
        str(run["best_epoch"] or NONE), run["run"],
    ]  # fmt: skip


def _pair(pair: Mapping[str, Any]) -> list[str]:
    low, high = pair["interval"]
    return [
        pair["first"], pair["second"], f"{100 * pair['difference']:+.2f} points",
        f"{100 * low:+.2f} to {100 * high:+.2f}", f"{pair['only_first']:,}",
        f"{pair['only_second']:,}", f"{pair['p_corrected']:.2g}",
    ]  # fmt: skip


def _seed(spread: Mapping[str, Any]) -> list[str]:
    return [
        ", ".join(spread["runs"]), ", ".join(map(str, spread["seeds"])), percent(spread["mean"]),
        _ends(spread["interval"]), f"{100 * spread['deviation']:.2f} points",
    ]  # fmt: skip


def _ends(interval: Sequence[float] | None) -> str:
    return NONE if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def _origin(values: Mapping[str, Any]) -> str:
    return f"Made {values['created']} with Epochlab {values['lab_version']}."
