"""`leak-free RUN`: a run's test accuracy without near-copies of what it was trained on."""

from __future__ import annotations

import argparse
import json

from lab.cli.console import printable, progress_line
from lab.data import catalog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, its start, or its name")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(perform=report)


def report(options: argparse.Namespace) -> int:
    from lab.cli.find_run import find_run  # these bring torch
    from lab.data.quality.duplicates import copy_groups
    from lab.evaluate.leak_free import known_groups, leak_free, leak_free_values
    from lab.evaluate.opened import open_data
    from lab.evaluate.predictions import predict, saved_predictions
    from lab.runs.store import store
    from lab.training.checkpoint import CheckpointMetadata

    run = find_run(options.run)
    folder = store().folder(run.id)
    card = CheckpointMetadata.read(folder)
    with progress_line() as progress:
        stored = catalog.open_pack(
            card.config.dataset, version=card.dataset_hash, progress=progress
        )
        copy_groups(stored, progress)
        answers = saved_predictions(folder, "best", "test") or predict(
            folder, "best", "test", progress=progress
        )
        pack, splits = open_data(card, progress=progress)
    groups = known_groups(pack)
    assert groups is not None
    honest = leak_free(answers, splits, groups)
    if options.json:
        print(json.dumps(leak_free_values(honest)))
        return 0
    low, high = honest.everything.interval
    print(
        f"{printable(run.name)}: {honest.everything.share:.1%} of {honest.everything.n:,} test "
        f"images, {honest.everything.units:,} independent pictures, are right (95% interval "
        f"{low:.1%} to {high:.1%})."
    )
    print(honest.sentence)
    return 0
