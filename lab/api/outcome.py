"""What a run that has ended reached, in one or two sentences, against guessing."""

from __future__ import annotations

from pathlib import Path

from lab.data.catalog import describe
from lab.errors import LabError
from lab.evaluate.leak_free import saved_leak_free
from lab.evaluate.metrics import majority_baseline
from lab.evaluate.predictions import saved_predictions
from lab.runs.rows import RunRow
from lab.words import percent


def outcome(run: RunRow, folder: Path) -> str:
    """Returns what the run reached, or what it missed when it did not complete; "" while it may
    still change by itself."""
    if run.is_live:
        return ""
    if run.test_accuracy is not None:
        images = f"{run.test_samples:,} test images"
        honest = _leak_free(folder)
        return (
            f"{percent(run.test_accuracy)} of {images} are right. {_looks(run)}{honest}"
            f"{_baseline(run, folder)}{_cut_short(run)}"
        )
    if not run.step:
        return "It ended before its first step."
    if run.best_val_accuracy is None:
        total = f" of {run.total_steps:,}" if run.total_steps else ""
        return (
            f"It ended after step {run.step:,}{total}, before the first epoch was whole: nothing "
            "was validated, and no weights were kept."
        )
    reached = (
        f"{percent(run.best_val_accuracy)} of {run.val_samples:,} validation images were right "
        f"after epoch {run.best_epoch}. {_baseline(run, folder)}"
    )
    if run.status == "completed":
        if run.test_samples is None:  # left out by the run store
            return f"{reached} Test results are not shown yet."
        return f"{reached} The data set has no test images."
    return (
        f"{reached} It ended after {_whole_epochs(run)} of {_wanted(run)} epochs and was not "
        "tested: a longer run may reach more."
    )


def _whole_epochs(run: RunRow) -> int:
    if run.steps_per_epoch and not run.parent:  # a run that goes on may have had other steps
        return run.step // run.steps_per_epoch
    ends_within = bool(run.total_steps) and run.step < (run.total_steps or 0)
    return max(0, run.epoch - 1) if ends_within else run.epoch


def _wanted(run: RunRow) -> int:
    return int(run.settings.get("epochs", 0))


def _cut_short(run: RunRow) -> str:
    """Returns that a person, or early stopping, ended the training, with a space before it."""
    done, wanted = _whole_epochs(run), _wanted(run)
    is_short = run.step and not run.parent and done < wanted
    return f" It trained {done} of {wanted} epochs." if is_short else ""


def _looks(run: RunRow) -> str:
    """Returns how often the test images were looked at, with a space behind it; "" for once."""
    if run.test_looks < 2:
        return ""
    times = "twice" if run.test_looks == 2 else f"{run.test_looks} times"
    return (
        f"They have been looked at {times}: the run that this one starts from was tested, too, so "
        "the result may be a little too good. "
    )


def _leak_free(folder: Path) -> str:
    """Returns the sentence of the leak-free accuracy, with a space behind it; "" while the test
    images were not looked at one by one or nobody has looked for copies."""
    try:
        honest = saved_leak_free(folder)
    except LabError:  # the data set is gone
        return ""
    return f"{honest.sentence} " if honest is not None and honest.leaking else ""


def _baseline(run: RunRow, folder: Path) -> str:
    """Returns what needs no network: always the training images' most frequent class, as Results
    has it, or guessing where nothing is known of the classes."""
    for part in ("test", "val"):
        try:
            predictions = saved_predictions(folder, "best", part, outdated=True)
        except LabError:  # its file cannot be read
            predictions = None
        if predictions is not None and len(predictions):
            majority, share = majority_baseline(predictions.train_counts, predictions.labels)
            return _always(run.class_names[majority], share)
    try:
        counts = describe(run.dataset, run.settings.get("dataset_version", "")).counts
    except LabError:  # the data set is gone
        counts = {}
    train, judged = counts.get("train"), counts.get("test" if run.test_samples else "train")
    if train and judged and not run.settings.get("reduced_class"):
        name = max(train, key=lambda each: train[each])  # the first of equals
        return _always(name, judged.get(name, 0) / max(1, sum(judged.values())))
    classes = len(run.class_names)
    return f"Guessing among {classes} classes would be right in {percent(1 / max(1, classes))}."


def _always(name: str, share: float) -> str:
    return f"Always answering “{name}” would be right in {percent(share)}."
