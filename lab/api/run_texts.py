"""A run's progress and numbers as a person reads them: made once here, drawn by the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.config import KNOBS
from lab.metrics import METRICS
from lab.runs.rows import RunRow
from lab.words import NONE, duration, percent


def progress_values(run: RunRow) -> dict[str, Any] | None:
    """Returns the share that is done, in [0, 1], and one line; None where nothing is to be told.

    While a run does something else than training steps, both are of that.
    """
    if run.status == "queued":
        return {"share": 0.0, "text": run.progress_text or ""}
    if run.status == "preparing":
        return {"share": run.progress or 0.0, "text": run.progress_text or "Preparing"}
    if not run.total_steps:
        return None
    share, parts = run.progress, [f"Step {run.step:,} of {run.total_steps:,}"]
    if run.status == "running":
        if run.activity:
            parts = [run.progress_text]
            if run.activity_total:
                share = min(1.0, run.activity_done / run.activity_total)
        if run.requested:
            parts.append(f"{run.requested} requested")
    return {"share": share, "text": " · ".join(parts)}


def tile_values(
    run: RunRow, now: Mapping[str, float], learning_rate: float | None
) -> list[dict[str, str]]:
    """Returns label, value and help of each number; `now` are the newest metrics by column."""

    def tile(label: str, value: str, help: str = "") -> dict[str, str]:
        return {"label": label, "value": value, "help": help}

    settings = run.settings
    chosen_by = ""
    if settings.get("best_metric") in KNOBS["best_metric"].choices:
        chosen_by = f", chosen by {KNOBS['best_metric'].text(settings['best_metric']).lower()}"
    weights = "averaged weights" if settings.get("model_ema_decay") else "weights"
    mixed = ""
    if settings.get("mixup") or settings.get("cutmix"):
        mixed = "; of mixed pictures the class of the larger share counts"
    tiles = [
        tile("Epoch", f"{run.epoch} of {run.settings.get('epochs', NONE)}"),
        tile(
            "Training loss",
            METRICS["loss"].text(now.get("loss_smoothed")),
            "Of the newest batches, smoothed over a twentieth of an epoch.",
        ),
        tile(
            "Training accuracy",
            percent(now.get("accuracy_smoothed")),
            f"Of the newest batches, smoothed likewise; with dropout and augmentation on{mixed}.",
        ),
        tile(
            "Validation accuracy",
            percent(now.get("val_accuracy")),
            "At the end of the last whole epoch, on images that the network never trains on.",
        ),
    ]
    if run.best_epoch is not None:
        tiles.append(
            tile(
                "Best epoch",
                f"{run.best_epoch} ({percent(run.best_val_accuracy)})",
                f"The epoch whose weights are kept{chosen_by}, and its validation accuracy.",
            )
        )
    if run.test_accuracy is not None:
        tiles.append(
            tile(
                "Test accuracy",
                percent(run.test_accuracy),
                f"Of the {weights} of epoch {run.best_epoch}, measured once, on "
                f"{run.test_samples:,} images set apart.",
            )
        )
    tiles.append(tile("Learning rate", NONE if learning_rate is None else f"{learning_rate:.2g}"))
    if run.images_per_second:
        tiles.append(
            tile(
                "Images per second",
                f"{run.images_per_second:,.0f}",
                "Training images over the time spent on training steps.",
            )
        )
    if run.status == "running":
        left = NONE if run.seconds_left is None else f"about {duration(run.seconds_left)}"
        tiles.append(
            tile("Time left", left, "From what was measured so far; validation and test too.")
        )
    tiles.append(
        tile(
            "Training time",
            duration(run.seconds),
            "Of the training steps alone, without preparation, validation and test.",
        )
    )
    for metric in METRICS.values():
        value = run.test.get(metric.name, now.get(f"val_{metric.name}"))
        if not metric.shown and value is not None:
            where = "On the test images." if metric.name in run.test else "On validation images."
            tiles.append(tile(metric.title, metric.text(value), f"{where} {metric.about}"))
    return tiles
