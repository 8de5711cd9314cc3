"""What an import would give, before anything is written: layout, classes, counts, a few pictures.

The preview and the import read a set by the same function with the same answers, so what was
previewed is what is imported. Files that are no pictures are told by their first bytes; only
pictures that are damaged further on are found by the import alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.data.decode import Fit
from lab.data.importer import (
    ImportTarget,
    choose_classes,
    classes_in_words,
    mostly_copies,
    recognise_source,
    too_few_classes,
)
from lab.data.pack import SPLIT_WORDS, SPLITS, Rejected, Rejections
from lab.data.sources.archive import open_archive
from lab.data.sources.photographs import LabelledFile, Photographs
from lab.data.sources.source import Question, Source
from lab.errors import DataError
from lab.progress import Cancel, Progress, Report, check_cancel

PICTURES_PER_CLASS = 5
CLASSES_WITH_PICTURES = 24
"""Of more classes pictures are decoded only when they are asked for by name."""
SAMPLE_SIDE = 128


@dataclass(frozen=True)
class Sample:
    """One picture as it would be stored, at most SAMPLE_SIDE wide; `pixels` (H, W, C) uint8."""

    name: str
    split: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Preview:
    """What `add_dataset` would write. `counts` is split -> class name -> images.

    `answers` holds the value of every question, chosen or by default; `samples` class name ->
    pictures. `rejected` are the first thousand of `rejected_count`.
    """

    path: str
    title: str
    layout: str
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    test_set_apart: bool
    """Whether the test part is chosen from the training images, for the set brings none."""
    questions: tuple[Question, ...]
    answers: dict[str, str]
    notes: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    rejected_count: int
    channels: int
    image_size: int
    size_is_fixed: bool
    """Whether the pictures come at one size and keep it (rows of a table)."""
    fit: Fit
    samples: dict[str, tuple[Sample, ...]]
    without: tuple[str, ...] = ()
    """Classes that were left out by choice."""

    @property
    def total(self) -> int:
        """Images that would be added."""
        return sum(sum(classes.values()) for classes in self.counts.values())

    @property
    def sentence(self) -> str:
        """Such as "Would add 9 images in 2 classes: cat, dog (7 training, 2 test)." and notes."""
        counts = {split: sum(classes.values()) for split, classes in self.counts.items()}
        parts = ", ".join(
            f"{count:,} {SPLIT_WORDS[split]}" for split, count in counts.items() if count
        )
        text = f"Would add {self.total:,} images in {classes_in_words(self.class_names)} ({parts})."
        if self.rejected_count:
            lines = (
                "1 line says" if self.rejected_count == 1 else f"{self.rejected_count:,} lines say"
            )
            text += f" {lines} what is left out."
        return " ".join([text, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of the pictures their names and splits."""
        values = asdict(replace(self, samples={}))
        values["samples"] = {
            name: [{"name": sample.name, "split": sample.split} for sample in samples]
            for name, samples in self.samples.items()
        }
        values["questions"] = [
            asdict(question) | {"answer": self.answers[question.key]} for question in self.questions
        ]
        return values | {"total": self.total, "sentence": self.sentence}


def look(
    target: ImportTarget,
    path: Path,
    *,
    answers: Mapping[str, str],
    pictures_of: Sequence[str] | None,
    progress: Report,
    cancel: Cancel,
) -> Preview:
    """Reads the set at `path` as the import would, without decoding all of it.

    `pictures_of` names the classes of which pictures are decoded; None for the first few. Raises
    DataError where the import would, as far as the files' names tell it.
    """
    rejections = Rejections()
    progress(Progress(0, 0, f"Looking through {path.name}"))
    with open_archive(path, rejections, answers) as archive:
        source = recognise_source(archive, target, answers, rejections)
        check_cancel(cancel, "Looking")
        if isinstance(source, Photographs):
            if not pictures_of:  # else it is known from the first look
                source = source.without_other_files(rejections, progress, cancel)
            labels = [file.label for file in source.files]
            splits = [file.split for file in source.files]
            checksums = [source.archive.checksum(file.path) for file in source.files]
            shown = _sampled(source, pictures_of)
            samples = _decoded(replace(source, files=shown), target, cancel)
        else:
            labels, splits, samples = _read_all(source, rejections, pictures_of, progress, cancel)
            checksums = [b""] * len(labels)
        # Numbers where the content is not known yet: then any picture stands for itself.
        marks = [checksum or i.to_bytes(8, "big") for i, checksum in enumerate(checksums)]
        included = choose_classes(
            np.array(labels, dtype=np.int64),
            np.array([SPLITS.index(split) for split in splits], dtype=np.uint8),
            marks,
            source.class_names,
            rejections,
            without=target.without,
        )
        if len(included.class_names) < 2:
            raise DataError(too_few_classes(archive, target, included.class_names, rejections))
    kept_labels, kept_split = included.labels[included.keep], included.split[included.keep]
    counts = {
        split: {
            name: int(((kept_labels == label) & (kept_split == i)).sum())
            for label, name in enumerate(included.class_names)
        }
        for i, split in enumerate(SPLITS)
    }
    return Preview(
        path=str(path),
        title=target.title,
        layout=source.layout,
        class_names=included.class_names,
        counts=counts,
        test_set_apart=bool(counts["test"]) and not _brings_test(labels, splits),
        questions=source.questions,
        answers={question.key: question.answer(answers) for question in source.questions},
        notes=(f"Read as {source.layout}.", *source.notes, *included.notes, *mostly_copies(marks)),
        rejected=tuple(rejections.listed),
        rejected_count=rejections.count,
        channels=source.channels,
        image_size=source.fixed_size or target.image_size,
        size_is_fixed=source.fixed_size is not None,
        fit=target.fit,
        samples={name: samples[name] for name in included.class_names if name in samples},
        without=tuple(name for name in source.class_names if name in target.without),
    )


def _brings_test(labels: Sequence[int], splits: Sequence[str]) -> bool:
    trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    return any(
        split == "test" and label in trained for label, split in zip(labels, splits, strict=True)
    )


def _shown_classes(source: Source, pictures_of: Sequence[str] | None) -> set[int]:
    names = source.class_names[:CLASSES_WITH_PICTURES] if pictures_of is None else pictures_of
    return {source.class_names.index(name) for name in names if name in source.class_names}


def _sampled(source: Photographs, pictures_of: Sequence[str] | None) -> tuple[LabelledFile, ...]:
    """A few files of each class, spread over all of the class."""
    members: dict[int, list[LabelledFile]] = {
        label: [] for label in sorted(_shown_classes(source, pictures_of))
    }
    for file in source.files:
        if file.label in members:
            members[file.label].append(file)
    chosen: list[LabelledFile] = []
    for files in members.values():
        places = np.linspace(0, len(files) - 1, min(PICTURES_PER_CLASS, len(files)))
        chosen += (files[int(place)] for place in places)
    return tuple(chosen)


def _decoded(
    source: Photographs, target: ImportTarget, cancel: Cancel
) -> dict[str, tuple[Sample, ...]]:
    images = source.images(
        image_size=min(target.image_size, SAMPLE_SIDE),
        fit=target.fit,
        rejections=Rejections(),  # the import names those that cannot be decoded, all of them
        cancel=cancel,
    )
    samples: dict[str, list[Sample]] = {}
    for image in images:
        if image is not None:
            samples.setdefault(source.class_names[image.label], []).append(
                Sample(image.name, image.split, image.pixels)
            )
    return {name: tuple(pictures) for name, pictures in samples.items()}


def _read_all(
    source: Source,
    rejections: Rejections,
    pictures_of: Sequence[str] | None,
    progress: Report,
    cancel: Cancel,
) -> tuple[list[int], list[str], dict[str, tuple[Sample, ...]]]:
    """Labels, splits and samples of a source that names its labels only while it is read."""
    labels: list[int] = []
    splits: list[str] = []
    shown = _shown_classes(source, pictures_of)
    samples: dict[str, list[Sample]] = {}
    size = source.fixed_size or SAMPLE_SIDE
    images: Iterator[Any] = source.images(
        image_size=size, fit="stretch", rejections=rejections, cancel=cancel
    )
    for done, image in enumerate(images, 1):
        if done % 1000 == 0:
            progress(Progress(done, source.total, "Reading the labels", "images"))
        if image is None:
            continue
        labels.append(image.label)
        splits.append(image.split)
        pictures = samples.setdefault(source.class_names[image.label], [])
        if image.label in shown and len(pictures) < PICTURES_PER_CLASS:
            pictures.append(Sample(image.name, image.split, image.pixels))
    return labels, splits, {name: tuple(pictures) for name, pictures in samples.items()}
