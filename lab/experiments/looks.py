"""How many runs were tested on the same test images: the best of many is partly the luckiest."""

from __future__ import annotations

import functools
from pathlib import Path

from lab.errors import LabError
from lab.runs.rows import RunRow
from lab.runs.store import Store

MANY = 10
"""Up to so many runs nothing is said."""


def looks(run: RunRow, runs: Store) -> int:
    """Returns how many runs were tested on the run's version of its data set; at least 1 if it was
    tested itself."""
    version = _version(runs.folder(run.id))
    return sum(
        each.id == run.id or _version(runs.folder(each.id)) == version
        for each in runs.runs(status="completed")
        if each.dataset == run.dataset and each.test_accuracy is not None
    )


def looks_words(run: RunRow, runs: Store) -> str:
    """Returns the warning that so many looks deserve; empty for few."""
    if run.test_accuracy is None:
        return ""
    count = looks(run, runs)
    if count <= MANY:
        return ""
    return (
        f"{count:,} runs have been tested on these {run.test_samples or 0:,} test images: the best "
        "of so many is partly the luckiest, so choose by validation."
    )


@functools.lru_cache(maxsize=4096)
def _version(folder: Path) -> str:
    """The hash of the data that a run was trained on; empty where it is not known."""
    from lab.training.checkpoint import CheckpointMetadata  # brings torch

    try:
        return CheckpointMetadata.read(folder).dataset_hash
    except LabError:  # its folder is gone
        return ""
