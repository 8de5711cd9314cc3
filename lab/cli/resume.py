"""`resume`: go on with a run where it was stopped."""

from __future__ import annotations

import argparse

from lab.cli.reporter import run_reported
from lab.runs.store import store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run's id, as `runs` lists it")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(perform=resume)


def resume(options: argparse.Namespace) -> int:
    row = store().run(options.run)  # reports a mistyped id before a progress bar begins
    return run_reported(row.id, as_json=options.json)
