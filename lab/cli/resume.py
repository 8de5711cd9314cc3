"""`resume`: go on with a run where it was stopped."""

from __future__ import annotations

import argparse

from lab.cli.find_run import find_run
from lab.cli.reporter import run_reported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, its start, or its name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(perform=resume)


def resume(options: argparse.Namespace) -> int:
    row = find_run(options.run)  # reports a mistyped id before a progress bar begins
    return run_reported(row.id, as_json=options.json)
