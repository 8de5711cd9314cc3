"""`export RUN --as FORMAT`: a file that works without the lab."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab.cli.console import printable, progress_line
from lab.cli.find_run import find_run
from lab.export.formats import EXPORTS
from lab.words import duration, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "formats:\n" + "\n".join(f"  {e.name:12} {e.about}" for e in EXPORTS)
    parser.add_argument("run", metavar="RUN", help="a run's id, its start, or its name")
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

    run = find_run(options.run)
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
