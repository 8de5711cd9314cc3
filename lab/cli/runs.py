"""`runs`: the list of runs."""

from __future__ import annotations

import argparse
import json
import sys

from rich.table import Table

from lab.cli.console import Console, run_column
from lab.experiments.results_csv import results_csv
from lab.metrics import METRICS
from lab.runs.store import store
from lab.words import percent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line, a run each")
    parser.add_argument("--csv", action="store_true", help="as CSV, with all settings")
    parser.set_defaults(perform=list_runs)


def list_runs(options: argparse.Namespace) -> int:
    rows = store().runs()
    if options.csv:
        sys.stdout.write(results_csv(rows).replace("\r\n", "\n"))
        return 0
    if options.json:
        for row in rows:
            values = {
                "run": row.id,
                "name": row.name,
                "parent": row.parent,
                "parent_epoch": row.parent_epoch,
                "status": row.status,
                "activity": row.activity,
                "activity_done": row.activity_done,
                "activity_total": row.activity_total,
                "activity_unit": row.activity_unit,
                "activity_seconds_left": row.activity_seconds_left,
                "seconds_left": row.seconds_left,
                "seconds": row.seconds,
                "elapsed": row.elapsed,
                **{f"best_val_{name}": row.best_val.get(name) for name in METRICS},
                **{f"test_{name}": row.test.get(name) for name in METRICS},
                "config": row.settings,
            }
            print(json.dumps(values))
        return 0
    table = Table(run_column(), "Name", "Status", "Validation", "Test")
    for row in rows:
        accuracies = percent(row.best_val_accuracy), percent(row.test_accuracy)
        link = f" (from {row.parent}, epoch {row.parent_epoch})" if row.parent else ""
        waits = f": {row.progress_text}" if row.status == "queued" and row.activity else ""
        table.add_row(row.id, row.name + link, row.status + waits, *accuracies)
    Console().print(table if rows else "No runs yet.")
    return 0
