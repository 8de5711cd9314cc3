"""`export RUN --as FORMAT`: a file that works without the lab; a card also of several runs.

`export RUN --to hf://owner/name`: its weights and its card on the Hugging Face Hub.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

from lab.cli.console import printable, progress_line
from lab.cli.find_run import find_run
from lab.download.hub import is_hub_address
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
    parser.add_argument("--as", dest="format", metavar="FORMAT", help=", ".join(EXPORTS.names()))
    parser.add_argument(
        "--to",
        metavar="PATH",
        help="the file to write, by default one named after the run, here; or hf://owner/name, "
        "without --as: weights and card on the Hugging Face Hub, private if it is new",
    )
    parser.add_argument(
        "--public", action="store_true", help="a new repository on the hub is for everybody"
    )
    parser.add_argument(
        "--checkpoint", default="best", help="best (default), last or a kept epoch-0005"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(perform=export)


def export(options: argparse.Namespace) -> int:
    from lab.export.exporting import export_to, file_name  # brings torch

    if is_hub_address(options.to or ""):
        return _push(options)
    if not options.format:
        raise ConfigError(f"--as is missing; it is one of {', '.join(EXPORTS.names())}.")
    if options.public:
        raise ConfigError(
            "--public is for --to hf://owner/name; a file is as public as its folder."
        )
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


def _push(options: argparse.Namespace) -> int:
    from lab.export.hub import push_to_hub  # brings torch

    if options.format or len(options.run) > 1:
        raise ConfigError(
            "On the hub goes one run, with its weights and its card; leave out --as, and name one."
        )
    run = find_run(options.run[0])
    with progress_line() as progress:
        pushed = push_to_hub(
            run,
            options.to,
            checkpoint=options.checkpoint,
            public=options.public,
            progress=progress,
        )
    if options.json:
        values = {"run": run.id, "checkpoint": options.checkpoint, **asdict(pushed)}
        print(json.dumps(values))
        return 0
    print(f"{pushed.url} has run {run.id}, as {pushed.address}.")
    print(printable(pushed.sentence))
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
