"""`export RUN --as FORMAT`: a file that works without the lab; a card also of several runs."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from lab.cli.console import printable, progress_line
from lab.cli.find_run import find_run
from lab.errors import ConfigError
from lab.experiments.sweeps.table import sweep
from lab.export.formats import EXPORTS
from lab.home import atomic_file
from lab.runs.store import store
from lab.words import duration, size

SWEEP_ID = r"s-\d{8}-\d{6}-[0-9a-f]+"
CARDS = ("card", "card-json")
"""What there is of several runs, and of a sweep."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "formats:\n" + "\n".join(f"  {e.name:12} {e.about}" for e in EXPORTS)
    parser.add_argument(
        "run",
        nargs="+",
        metavar="RUN",
        help="a run's id, its start, or its name; for a card also several runs, or a sweep's id",
    )
    parser.add_argument(
        "--as", dest="format", required=True, metavar="FORMAT", help=", ".join(EXPORTS.names())
    )
    parser.add_argument(
        "--to", metavar="PATH", help="the file to write; by default one named after the run, here"
    )
    parser.add_argument(
        "--checkpoint", default="best", help="best (default), last or a kept epoch-0005"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(perform=export)


def export(options: argparse.Namespace) -> int:
    from lab.export.exporting import export_to, file_name  # brings torch

    if len(options.run) > 1 or re.fullmatch(SWEEP_ID, options.run[0]):
        return _card(options)
    run = find_run(options.run[0])
    path = Path(options.to or file_name(run, options.format)).expanduser()
    with progress_line() as progress:
        made = export_to(
            run, options.format, path, checkpoint=options.checkpoint, progress=progress
        )
    if options.json:
        values = {
            "run": run.id,
            "format": options.format,
            "checkpoint": options.checkpoint,
            "file": str(made.file),
            "bytes": made.bytes,
            "seconds": made.seconds,
            "sentences": made.written.sentences,
            **made.written.facts,
        }
        print(json.dumps(values))
        return 0
    print(f"{printable(str(made.file))}: {size(made.bytes)}, {duration(made.seconds)}.")
    for sentence in made.written.sentences:
        print(printable(sentence))
    return 0


def _card(options: argparse.Namespace) -> int:
    """The card of several runs, or of a sweep."""
    from lab.export.comparison_card import comparison_card  # these bring torch and optuna
    from lab.export.sweep_card import sweep_card

    if options.format not in CARDS:
        raise ConfigError(
            f"--as is {options.format!r}; of several runs or of a sweep there is "
            f"{' or '.join(CARDS)}."
        )
    if len(options.run) == 1:
        sheet = sweep_card(sweep(store(), options.run[0]))
        name = options.run[0]
    else:
        runs = [find_run(text) for text in dict.fromkeys(options.run)]
        with progress_line() as progress:
            sheet = comparison_card(runs, progress)
        name = f"comparison-of-{len(runs)}-runs"
    page = options.format == "card"
    path = Path(options.to or name + (".html" if page else ".json")).expanduser()
    with atomic_file(path) as temporary:
        temporary.write_text(sheet.html if page else sheet.json, encoding="utf-8")
    written = path.stat().st_size
    if options.json:
        print(json.dumps({"format": options.format, "file": str(path), "bytes": written}))
    else:
        print(f"{printable(str(path))}: {size(written)}.")
    return 0
