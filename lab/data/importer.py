"""From a folder or zip to a pack: recognise the layout, decode, decide classes and splits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.data.decode import Fit
from lab.data.pack import SPLITS, PackMeta, PackWriter, Rejected, Rejections
from lab.data.sources import SOURCE_FORMATS
from lab.data.sources.archive import Archive, open_archive
from lab.data.sources.source import ClassRule, Source
from lab.errors import DataError
from lab.home import require_free_space
from lab.progress import Cancel, Progress, Report, throttled

TEST_SHARE = 0.15
"""Share of each class that becomes the test set when the data set brings none."""
MAX_CLASSES = 1000
SHARED_PICTURE = "in more than one class"
"""Stands in the warning of `shared_pictures`."""
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}
TRAIN, TEST = SPLITS.index("train"), SPLITS.index("test")


@dataclass(frozen=True)
class ImportTarget:
    """What the pack will be: its name and texts, its classes, the formats it may come in."""

    name: str
    title: str
    story: str
    source: str
    licence: str
    classes: ClassRule
    formats: tuple[str, ...]
    expects: str
    """The layout wanted, in words, for the sentence that refuses another."""
    image_size: int
    fit: Fit


@dataclass(frozen=True)
class ImportReport:
    """The result of adding a data set. `accepted` is split -> class name -> images."""

    dataset: str
    layout: str
    accepted: dict[str, dict[str, int]]
    rejected: tuple[Rejected, ...]
    """The first thousand; `rejected_count` is how many there were."""
    rejected_count: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    meta: PackMeta
    seconds: float

    @property
    def total(self) -> int:
        """Images accepted."""
        return sum(sum(classes.values()) for classes in self.accepted.values())

    @property
    def sentence(self) -> str:
        """Such as "Added 90 images in 3 classes (80 training, 10 test)", notes and warnings."""
        counts = {split: sum(classes.values()) for split, classes in self.accepted.items()}
        parts = ", ".join(
            f"{count:,} {SPLIT_WORDS[split]}" for split, count in counts.items() if count
        )
        text = f"Added {self.total:,} images in {len(self.meta.class_names)} classes ({parts})."
        if self.rejected_count:
            text += f" {count_files(self.rejected_count)} could not be used."
        return " ".join([text, *self.notes, *self.warnings])


def import_images(
    target: ImportTarget, path: Path, folder: Path, *, progress: Report, cancel: Cancel
) -> ImportReport:
    """Decode the images at `path` into the pack at `folder`; the caller holds the pack's lock.

    Raises DataError when nothing (or less than two classes) can be used, ResourceError when the
    disk is too full, Cancelled; then `folder` is as it was.
    """
    started = time.monotonic()
    rejections = Rejections()
    progress(Progress(0, 0, f"Looking through {path}"))
    with open_archive(path, rejections) as archive:
        source = _recognise_source(archive, target, rejections)
        image_size = source.fixed_size or target.image_size
        # With room for names and labels.
        needed = source.total * (image_size * image_size * source.channels + 200)
        require_free_space(folder.parent, needed)
        report = throttled(progress)
        text = f"Decoding {path.name}"
        labels: list[int] = []
        split: list[int] = []
        digests: list[bytes] = []
        names: list[str] = []
        sizes: Counter[str] = Counter()
        with PackWriter(folder, image_size=image_size, channels=source.channels) as writer:
            images = source.images(
                image_size=image_size, fit=target.fit, rejections=rejections, cancel=cancel
            )
            for done, image in enumerate(images, 1):
                if image is not None:
                    writer.add(image.pixels[np.newaxis], [image.name])
                    labels.append(image.label)
                    split.append(SPLITS.index(image.split))
                    digests.append(image.digest)
                    names.append(image.name)
                    sizes[f"{image.size[0]}x{image.size[1]}"] += 1
                report(Progress(done, source.total, text, "images"))
            included = choose_classes(
                np.array(labels, dtype=np.int64),
                np.array(split, dtype=np.uint8),
                digests,
                source.class_names,
                rejections,
            )
            if len(included.class_names) < 2:
                raise DataError(_too_few_classes(path, target, included.class_names, rejections))
            progress(Progress(source.total, source.total, f"Writing {target.name}", "images"))
            meta = PackMeta(
                dataset=target.name,
                title=target.title,
                story=target.story,
                class_names=included.class_names,
                drawn=False,
                channels=source.channels,
                image_size=image_size,
                fit=target.fit,
                source=target.source,
                licence=target.licence,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                rejected=tuple(rejections.listed),
                rejected_count=rejections.count,
                original_sizes=dict(sizes.most_common(20)),
                notes=(f"Read as {source.layout}.", *included.notes),
                warnings=shared_pictures(included, digests, names),
            )
            meta = writer.finish(meta, included.labels, included.split, keep=included.keep)
    return ImportReport(
        dataset=target.name,
        layout=source.layout,
        accepted=meta.counts,
        rejected=meta.rejected,
        rejected_count=meta.rejected_count,
        notes=meta.notes,
        warnings=meta.warnings,
        meta=meta,
        seconds=time.monotonic() - started,
    )


def count_files(count: int) -> str:
    """Such as "1 file" or "1,200 files"."""
    return f"{count:,} file{'s' * (count != 1)}"


@dataclass(frozen=True)
class IncludedImages:
    """labels (N,), split (N,) and keep (N,) of all images read; labels index `class_names`."""

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    split: NDArray[np.uint8]
    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def choose_classes(
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    digests: Sequence[bytes],
    class_names: tuple[str, ...],
    rejections: Rejections,
) -> IncludedImages:
    """Leaves out the classes that cannot be learnt, and chooses test images if there are none.

    A class needs a training image and one more. Without any test image in the whole set, a share of
    each class's training images becomes the test set: those whose digest comes first. So the choice
    depends on the images alone, not on their order, names or size, and two copies of one image
    fall on the same side.
    """
    split = split.copy()
    notes: list[str] = []
    brings_test = bool((split == TEST).any())
    if not brings_test and len(labels):
        for label in range(len(class_names)):
            split[
                _choose_test_images(np.flatnonzero((labels == label) & (split == TRAIN)), digests)
            ] = TEST
        notes.append(
            f"The set brings no test images: {TEST_SHARE:.0%} of each class's training images, "
            "chosen by their content, are set apart for the test."
        )
    new_label = np.full(len(class_names), -1, dtype=np.int64)
    names: list[str] = []
    for label, name in enumerate(class_names):
        class_split = split[labels == label]
        if len(class_split) == 0:
            reason = "has no usable image"
        elif len(class_split) == 1:
            reason = "has only one usable image; training and test need one each"
        elif not (class_split == TRAIN).any():
            reason = "has no training images"
        else:
            if brings_test and not (class_split == TEST).any():
                notes.append(f"Class {name!r} has no test images.")
            new_label[label] = len(names)
            names.append(name)
            continue
        rejections.add(f"class {name!r}", f"{reason}: the class is left out")
    labels = new_label[labels]
    return IncludedImages(tuple(names), labels, split, labels >= 0, tuple(notes))


def shared_pictures(
    included: IncludedImages, digests: Sequence[bytes], names: Sequence[str]
) -> tuple[str, ...]:
    """Returns a sentence when the same file lies in two classes: one of the two is wrong.

    `digests` and `names` are those of all images read, as in `choose_classes`.
    """
    first: dict[bytes, int] = {}
    shared: dict[bytes, tuple[int, int]] = {}
    for i in np.flatnonzero(included.keep).tolist():
        before = first.setdefault(digests[i], i)
        if included.labels[before] != included.labels[i]:
            shared.setdefault(digests[i], (before, i))
    if not shared:
        return ()
    one, other = next(iter(shared.values()))
    subject = "1 picture is" if len(shared) == 1 else f"{len(shared):,} pictures are"
    example = "" if len(shared) == 1 else "for example "
    return (
        f"{subject} {SHARED_PICTURE}, {example}{names[one]} and {names[other]}. "
        "No network can learn both answers: keep each picture in one class.",
    )


def _choose_test_images(members: NDArray[np.int64], digests: Sequence[bytes]) -> list[int]:
    """TEST_SHARE of these images of one class, by digest; equal images stay together."""
    order = sorted(members.tolist(), key=lambda i: digests[i])
    if len(order) < 2:
        return []
    count = max(1, round(TEST_SHARE * len(order)))
    while count < len(order) - 1 and digests[order[count]] == digests[order[count - 1]]:
        count += 1
    return order[:count]


def _recognise_source(archive: Archive, target: ImportTarget, rejections: Rejections) -> Source:
    for name in target.formats:
        source = SOURCE_FORMATS[name](archive, target.classes, rejections)
        if source is None:
            continue
        if len(source.class_names) > MAX_CLASSES:
            raise DataError(
                f"{archive.display_path} has {len(source.class_names):,} classes; "
                f"at most {MAX_CLASSES:,} are allowed."
            )
        return source
    entries = sorted(folder + "/" for folder in archive.folders if "/" not in folder)
    entries += [file for file in archive.files if "/" not in file]
    listing = ", ".join(entries[:5]) + (", ..." if entries[5:] else "") if entries else "nothing"
    reason = f"; {rejections.listed[0]}" if rejections.listed else ""
    zips = [file for file in archive.files if file.casefold().endswith(".zip")]
    hint = f" Unpack it and add {zips[0]}." if zips else ""
    raise DataError(
        f"{archive.display_path} does not look like {target.title}: expected {target.expects}; "
        f"found {listing}{reason}.{hint}"
    )


def _too_few_classes(
    path: Path, target: ImportTarget, usable: Sequence[str], rejections: Rejections
) -> str:
    first = "; ".join(str(rejected) for rejected in rejections.listed[:3])
    more = f" (and {rejections.count - 3:,} more)" if rejections.count > 3 else ""
    left_out = f" Left out: {first}{more}." if first else ""
    problem = f"has only one usable class ({usable[0]})" if usable else "has no usable images"
    return (
        f"{path} {problem}, and a classifier needs two or more.{left_out} "
        f"Expected is {target.expects}."
    )
