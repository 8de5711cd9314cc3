"""`storage`: what the lab's folder holds on the disk, and what can be cleaned."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.table import Table

from lab.cli.console import Console
from lab.home import lab_home, quota_bytes
from lab.runs.storage import KINDS, clean, usage
from lab.runs.store import store
from lab.words import size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line, a part each, with what was freed of it",
    )
    parser.add_argument(
        "--clean", choices=list(KINDS), action="append", default=[], help="delete what can go of it"
    )
    parser.add_argument(
        "--move-to",
        metavar="URL",
        default="",
        help="copy all runs and sweeps from the lab's file into this empty PostgreSQL database",
    )
    parser.set_defaults(perform=show)


def show(options: argparse.Namespace) -> int:
    console = Console()
    if options.move_to:
        return _move(options.move_to, console, as_json=options.json)
    freed = {name: clean(store(), name) for name in options.clean}
    if not options.json:
        for name, count in freed.items():
            console.print(f"{KINDS[name].title}: {size(count)} freed.")
    parts = usage(store())
    if options.json:
        for part in parts:
            print(json.dumps({**asdict(part), "freed": freed.get(part.name, 0)}))
        return 0
    table = Table("Part", "What it is", "Size", "Can go", "What goes")
    for part in parts:
        table.add_row(part.name, part.title, size(part.bytes), size(part.clearable), part.help)
    console.print(table)
    total, quota = sum(part.bytes for part in parts), quota_bytes()
    limit = f" of {size(quota)} (LAB_QUOTA_GB)" if quota else ""
    console.print(f"{lab_home()}: {size(total)}{limit}. Clean with --clean PART.")
    return 0


def _move(url: str, console: Console, *, as_json: bool) -> int:
    from lab.experiments.moving import move_to_postgresql  # brings Optuna

    counts = move_to_postgresql(url)
    if as_json:
        print(json.dumps({"moved": counts}))
        return 0
    table = Table("Table", "Rows, as in the file")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    console.print(table)
    console.print(
        "Moved; the old file is as it was, and no longer used once LAB_DATABASE_URL is set to the "
        "new address."
    )
    return 0
