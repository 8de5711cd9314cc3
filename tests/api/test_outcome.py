"""What a finished run reached, beside what needs no network."""

from __future__ import annotations

from dataclasses import replace

from lab.api.outcome import outcome
from lab.config import RunConfig
from lab.data import catalog
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack


def ended_run(**knobs: object) -> tuple[RunRow, int]:
    """A run that ended, whose answers to single images are not kept; and its test images."""
    images = sum(catalog.describe("tiny").counts["test"].values())
    row = store().run(store().create_run(RunConfig(dataset="tiny").changed(**knobs)))
    row = replace(
        row,
        status="completed",
        test={"accuracy": 0.9},
        test_samples=images,
        class_names=tuple(catalog.describe("tiny").class_names),
    )
    return row, images


def test_the_baseline_is_the_training_images_most_frequent_class() -> None:
    make_tiny_pack()
    row, images = ended_run()
    counts = catalog.describe("tiny").counts
    name = max(counts["train"], key=lambda each: counts["train"][each])
    share = counts["test"][name] / images
    assert outcome(row, store().folder(row.id)) == (
        f"90.0% of {images} test images are right. Always answering “{name}” would be right in "
        f"{100 * share:.1f}%."
    )


def test_it_is_guessing_where_the_classes_are_not_known() -> None:
    make_tiny_pack()
    reduced, _ = ended_run(reduced_class="top", reduced_class_keep=0.5)
    gone, _ = ended_run()
    assert "Guessing among 3 classes would be right in 33.3%." in outcome(
        reduced, store().folder(reduced.id)
    )
    catalog.remove_dataset("tiny")
    assert "Guessing among 3 classes" in outcome(gone, store().folder(gone.id))


def test_a_run_that_was_finished_early_says_how_far_it_trained() -> None:
    make_tiny_pack()
    row, _ = ended_run(epochs=10)
    folder = store().folder(row.id)
    early = replace(row, step=12, steps_per_epoch=5, total_steps=50, epoch=3)
    assert outcome(early, folder).endswith(" It trained 2 of 10 epochs.")
    whole = replace(row, step=50, steps_per_epoch=5, total_steps=50, epoch=10)
    assert "It trained" not in outcome(whole, folder)
