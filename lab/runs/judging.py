"""Judges a run as it is in the store: gathers the evidence for `lab.evaluate.verdicts`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.errors import LabError
from lab.evaluate.verdicts.evidence import Copies
from lab.evaluate.verdicts.judge import Verdict, verdicts
from lab.runs.history import thinned_steps
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.training.failures import is_divergence
from lab.training.watch.layer_file import layer_history, newest_sample

if TYPE_CHECKING:
    from lab.evaluate.predictions import Predictions

AUTOMATIC_PIXELS = 20_000_000
"""Validation images of up to so many pixels, a few seconds of work, are predicted for judging a run
that has ended: 2,000 photographs of 224 x 224 are 100 million."""


@dataclass(frozen=True)
class Judgement:
    """The verdicts on one state of a run, and what they were judged by."""

    state: tuple[object, ...]
    verdicts: tuple[Verdict, ...] = ()
    judged_by: str = ""
    """So that silence is not taken for more than it is."""
    problem: str = ""
    """Why the run, or part of its evidence, could not be judged."""


def judge(
    store: Store, run: RunRow, state: tuple[object, ...] = (), *, may_predict: bool = True
) -> Judgement:
    """Returns the verdicts on `run` as it is now. Raises ConfigError for a run of another version
    of the lab.

    `may_predict`: predict the validation images of a run that has ended, where that takes seconds
    and has not been done; the answers are saved.
    """
    config = run.config
    may_go_on = run.is_live or run.status == "paused"
    predictions, problem = None, ""
    try:
        predictions = _predictions(
            store, run, may_go_on=may_go_on, may_predict=may_predict and not may_go_on
        )
    except LabError as error:  # its data set is gone, say; the curves can still be judged
        problem = f"The answers to single images are not judged. {error}"
    epochs, folder = store.epochs(run.id), store.folder(run.id)
    reached = verdicts(
        config,
        epochs,
        thinned_steps(store, run.id),
        layers=layer_history(folder),
        predictions=predictions,
        val_samples=run.val_samples or 0,
        train_samples=run.train_samples or 0,
        classes=len(run.class_names),
        best_epoch=run.best_epoch,
        test_samples=run.test_samples or 0,
        test_accuracy=run.test_accuracy,
        copies=None if predictions is None or may_go_on else _copies(folder, predictions),
        ended=not may_go_on,
        rate_changes=run.rate_changes,
        diverged_message=run.message
        if run.status == "failed" and is_divergence(run.message)
        else "",
    )
    return Judgement(
        state, reached, _judged_by(len(epochs), folder, predictions, may_go_on), problem
    )


def _copies(folder: Path, predictions: Predictions) -> Copies | None:
    """What near-copies mean for the run, judged on its validation images; None if not known."""
    from lab.evaluate.leak_free import known_groups, leak_free  # brings torch
    from lab.evaluate.opened import open_data
    from lab.training.checkpoint import CheckpointMetadata

    try:
        pack, splits = open_data(CheckpointMetadata.read(folder))
    except LabError:  # the data set is gone: the curves are judged all the same
        return None
    groups = known_groups(pack)
    if groups is None or not len(predictions):
        return None
    return Copies(
        straddling=leak_free(predictions, splits, groups).leaking / len(predictions),
        val_units=len(np.unique(groups[splits.val])),
        test_units=len(np.unique(groups[splits.test])),
    )


def _predictions(
    store: Store, run: RunRow, *, may_go_on: bool, may_predict: bool
) -> Predictions | None:
    if not run.has_weights or not run.val_samples:
        return None
    from lab.evaluate.predictions import predict, saved_predictions  # brings torch
    from lab.training.checkpoint import CheckpointMetadata

    folder = store.folder(run.id)
    saved = saved_predictions(folder, "best", "val", outdated=may_go_on)
    if saved is not None or not may_predict:
        return saved
    side = CheckpointMetadata.read(folder).preprocess.image_size
    if run.val_samples * side**2 > AUTOMATIC_PIXELS:
        return None
    return predict(folder, "best", "val")


def _judged_by(epochs: int, folder: Path, predictions: Predictions | None, may_go_on: bool) -> str:
    samples = newest_sample(folder)
    evidence = [
        f"the curves of {_count(epochs, 'finished epoch')}",
        f"{_count(samples[0], 'sampled step')} of its layers" if samples else "no layer samples",
        "no answers to single images yet"
        if predictions is None
        else f"the answers to {_count(len(predictions), 'validation image')}",
    ]
    wait = " Most signs show only after three to five epochs." if may_go_on else ""
    return f"Judged by {', '.join(evidence)}.{wait}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
