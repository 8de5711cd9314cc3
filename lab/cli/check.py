"""`check`: what is wrong in a data set, or a run's accuracy without near-copies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from lab.cli.console import printable, progress_line
from lab.data import catalog
from lab.data.pack import SPLITS, Pack
from lab.data.quality.check import run_checks
from lab.data.quality.findings import CHECKS, Finding
from lab.errors import ConfigError, unknown_name
from lab.words import duration

LISTED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", help="the name of a data set, as `datasets list`")
    parser.add_argument(
        "--only",
        action="append",
        metavar="CHECK",
        default=[],
        help=f"only this check, repeatable: {', '.join(CHECKS.names())}",
    )
    parser.add_argument(
        "--again", action="store_true", help="look again instead of reading what was found"
    )
    parser.add_argument(
        "--run", metavar="RUN", help="also the run's test accuracy without near-copies"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with all findings")
    parser.set_defaults(perform=check)


def check(options: argparse.Namespace) -> int:
    if options.dataset is None and options.run is None:
        raise ConfigError("Give the name of a data set, or --run with the id of a run.")
    values: dict[str, Any] = {}
    if options.dataset is not None:
        values["checks"] = _check(options.dataset, options.only, options.again, options.json)
    if options.run is not None:
        values["leak_free"] = _leak_free(options.run, quiet=options.json)
    if options.json:
        print(json.dumps(values))
    return 0


def _check(name: str, names: Sequence[str], again: bool, quiet: bool) -> dict[str, Any]:
    if name not in (known := [info.name for info in catalog.list_datasets()]):
        raise ConfigError(unknown_name("data set", name, known))
    with progress_line() as report:
        pack = catalog.open_pack(name, progress=report)
        found = run_checks(pack, names, report, again=again)
    for check_name, result in {} if quiet else found.items():
        each = CHECKS.get(check_name)
        print(f"{each.title}: {result.count():,} (took {duration(result.seconds)})")
        for note in result.notes:
            print(f"  {note}")
        for kind, title in each.kinds.items():
            of_kind = [finding for finding in result.findings if finding.kind == kind]
            if of_kind:
                print(f"  {title}: {len(of_kind):,}")
            for finding in of_kind[:LISTED]:
                print(f"    {_in_words(pack, finding)}")
    return {
        check_name: {
            "figures": dict(result.figures),
            "notes": list(result.notes),
            "seconds": result.seconds,
            "findings": [_values(pack, finding) for finding in result.findings],
        }
        for check_name, result in found.items()
    }


def _in_words(pack: Pack, finding: Finding) -> str:
    names = [_picture(pack, row) for row in finding.rows[:3]]
    more = len(finding.rows) - len(names)
    words = " | ".join(names) + (f" and {more:,} more" if more > 0 else "")
    return words + (f" -> {finding.suggestion}" if finding.suggestion else "")


def _picture(pack: Pack, row: int) -> str:
    class_name = pack.meta.class_names[pack.labels[row]]
    return printable(f"{pack.names[row]} ({class_name}, {SPLITS[pack.split[row]]})")


def _values(pack: Pack, finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "rows": list(finding.rows),
        "names": [pack.names[row] for row in finding.rows],
        "score": finding.score,
        "suggestion": finding.suggestion,
    }


def _leak_free(text: str, *, quiet: bool) -> dict[str, Any]:
    from lab.cli.pictures import find_run  # these bring torch
    from lab.data.quality.duplicates import copy_groups
    from lab.evaluate.leak_free import known_groups, leak_free, leak_free_values
    from lab.evaluate.opened import open_data
    from lab.evaluate.predictions import predict, saved_predictions
    from lab.runs.store import store
    from lab.training.checkpoint import CheckpointMetadata

    run = find_run(text)
    folder = store().folder(run.id)
    card = CheckpointMetadata.read(folder)
    with progress_line() as report:
        stored = catalog.open_pack(card.config.dataset, version=card.dataset_hash, progress=report)
        copy_groups(stored, report)
        answers = saved_predictions(folder, "best", "test") or predict(
            folder, "best", "test", progress=report
        )
        pack, splits = open_data(card, progress=report)
    groups = known_groups(pack)
    assert groups is not None
    honest = leak_free(answers, splits, groups)
    if not quiet:
        low, high = honest.everything.interval
        print(
            f"{printable(run.name)}: {honest.everything.share:.1%} of {honest.everything.n:,} test "
            f"images, {honest.everything.units:,} independent pictures, are right (95 % interval "
            f"{low:.1%} to {high:.1%})."
        )
        print(honest.sentence)
    return leak_free_values(honest)
